"""Bases elsewhere (KC-66): refused unless the app allows them, then fetched by the app and never by kustomize."""

import pytest

from tests.support.flux import Flux, message, ready
from tests.support.repositories import Repo, config_map
from tools.gitserver import GitServer


@pytest.fixture
def base(git_server: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A public repository with a base in a folder."""
    folder = tmp_path_factory.mktemp("base")
    repo = Repo(git_server, folder, f"base-{folder.name}")
    repo.push(
        {
            "deploy/kustomization.yaml": "resources: [cm.yaml, ../common]\n",
            "deploy/cm.yaml": config_map("far"),
            "common/kustomization.yaml": "resources: [cm.yaml]\n",
            "common/cm.yaml": config_map("common"),
        }
    )
    return repo


async def _app(flux: Flux, repo: Repo, entry: str, *, allowed: bool = True) -> None:
    flux.configure(remote_bases=allowed)
    repo.push({"kustomization.yaml": f"resources:\n- near.yaml\n- {entry}\n", "near.yaml": config_map("near")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run(patience=1)


@pytest.mark.parametrize("path", ["//deploy", "//deploy?ref=main"])
async def test_a_remote_base_is_built_and_followed(flux: Flux, repo: Repo, base: Repo, path: str) -> None:
    await _app(flux, repo, base.url + path)
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    assert [await flux.value(name) for name in ("near", "far", "common")] == ["1", "1", "1"]
    base.push({"deploy/cm.yaml": config_map("far", "2")})
    await flux.request("Kustomization", "app")
    await flux.run()
    assert await flux.value("far") == "2", "a branch may move: every pass looks"


async def test_a_commit_and_a_tag_can_be_named(flux: Flux, repo: Repo, base: Repo) -> None:
    commit = base.git("rev-parse", "HEAD").strip()
    base.git("tag", "v1")
    base.git("push", str(base.bare), "v1")
    base.push({"deploy/cm.yaml": config_map("far", "2")})
    for ref in (commit, "v1"):
        await _app(flux, repo, f"{base.url}//deploy?ref={ref}")
        assert await flux.value("far") == "1", message(await flux.ks("app"))


@pytest.mark.parametrize(
    "entry",
    [
        "https://github.com/example/app//deploy?ref=main",
        "github.com/example/app/deploy",
        "git@github.com:example/app.git//deploy",
        "ssh://git@github.com/example/app.git",
        "http://169.254.169.254/metadata/x.yaml",
    ],
)
async def test_they_are_refused_unless_allowed(flux: Flux, repo: Repo, entry: str) -> None:
    await _app(flux, repo, entry, allowed=False)
    app = await flux.ks("app")
    assert ready(app) == ("False", "BuildFailed")
    assert f"remote base '{entry}' is not allowed" in message(app)
    assert "FLUXLESS_REMOTE_BASES" in message(app)
    assert await flux.value("near") is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("git@github.com:example/app.git//deploy", "is not supported"),
        ("{url}//nowhere", "has no path 'nowhere'"),
        ("{url}//deploy?ref=nothing", "has no reference 'nothing'"),
        ("{server}/missing.git//x", "not found"),
        ("{server}/a/b/file.yaml", "cannot be had"),
    ],
)
async def test_one_that_cannot_be_had_is_named(
    flux: Flux, repo: Repo, base: Repo, git_server: GitServer, entry: str, words: str
) -> None:
    await _app(flux, repo, entry.format(url=base.url, server=git_server.url))
    assert ready(await flux.ks("app")) == ("False", "BuildFailed")
    assert words in message(await flux.ks("app")), message(await flux.ks("app"))

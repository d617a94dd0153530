"""What is in a GitRepository's artifact: submodules, includes, sparse checkouts (GR-10..12, GR-27)."""

import tarfile
from pathlib import Path

from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.repositories import Repo, config_map
from tools.gitserver import Access, GitServer


async def _files(flux: Flux, folder: Path, name: str = "repo") -> dict[str, str]:
    artifact = (await flux.repository(name))["status"]["artifact"]
    target = folder / "artifact.tar.gz"
    assert await flux.store.get_file(artifact["path"], target)
    with tarfile.open(target) as tar:
        return {entry.name: tar.extractfile(entry).read().decode() for entry in tar if entry.isfile()}  # type: ignore[union-attr]


def _other(git_server: GitServer, folder: Path, name: str) -> Repo:
    return Repo(git_server, folder, name)


def _link(repo: Repo, path: str, url: str, commit: str) -> None:
    """As `git submodule add` does, which would ask a server that runs in this very process."""
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    Path(repo.work / ".gitmodules").write_text(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
    repo.git("add", ".gitmodules")
    repo.git("commit", "--quiet", "-m", f"link {path}")
    repo.git("push", "--quiet", str(repo.bare), "main")


# -- submodules -------------------------------------------------------------------------------------------------------


async def test_submodules_within_submodules(flux: Flux, repo: Repo, git_server: GitServer, tmp_path: Path) -> None:
    inner = _other(git_server, tmp_path, f"{repo.bare.stem}-inner")
    inner.push({"deep.yaml": "deep"})
    middle = _other(git_server, tmp_path, f"{repo.bare.stem}-middle")
    middle.push({"mid.yaml": "mid"})
    _link(middle, "vendor/inner", inner.url, inner.head)
    repo.push({"a.yaml": config_map("a")})
    _link(repo, "lib", f"../{middle.bare.name}", middle.head)
    await flux.source(repo, "without")
    await flux.source(repo, "with", recurseSubmodules=True)
    await flux.run()
    assert sorted(await _files(flux, tmp_path, "without")) == ["a.yaml"]
    assert ready(await flux.repository("with")) == ("True", "Succeeded"), message(await flux.repository("with"))
    files = await _files(flux, tmp_path, "with")
    assert sorted(files) == ["a.yaml", "lib/mid.yaml", "lib/vendor/inner/deep.yaml"]
    assert (await flux.repository("with"))["status"]["observedRecurseSubmodules"] is True


async def test_credentials_go_to_submodules_of_the_same_server_only(
    flux: Flux, repo: Repo, git_server: GitServer, tmp_path: Path
) -> None:
    """GR-10, but another server must not learn them."""
    closed = GitServer(git_server.root, access=Access("me", "pass"))
    other = GitServer(git_server.root, access=Access("me", "pass"))
    here, there = await closed.start(), await other.start()
    try:
        inner = _other(git_server, tmp_path, f"{repo.bare.stem}-inner")
        inner.push({"deep.yaml": "deep"})
        await flux.secret("auth", {"username": "me", "password": "pass"})
        repo.push({"a.yaml": config_map("a")})
        url = repo.url.replace(git_server.url, here)
        for name, address in (("same", here), ("other", there)):
            _link(repo, "lib", f"{address}/{inner.bare.name}", inner.head)
            await flux.source(repo, name, url=url, secretRef={"name": "auth"}, recurseSubmodules=True)
            await flux.run(patience=0.3)
        assert ready(await flux.repository("same")) == ("True", "Succeeded"), message(await flux.repository("same"))
        refused = await flux.repository("other")
        assert ready(refused) == ("False", "AuthenticationFailed")
        assert "submodule 'lib': authentication required" in message(refused)
    finally:
        await closed.stop()
        await other.stop()


async def test_a_submodule_that_cannot_be_fetched_is_named(flux: Flux, repo: Repo, git_server: GitServer) -> None:
    repo.push({"a.yaml": config_map("a")})
    commit = "1" * 40
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},lib")
    repo.git("commit", "--quiet", "-m", "a link to nothing")
    repo.git("push", "--quiet", str(repo.bare), "main")
    await flux.source(repo, recurseSubmodules=True)
    await flux.run(patience=0.3)
    assert "submodule 'lib'" in message(await flux.repository())
    assert "has no URL in .gitmodules" in message(await flux.repository())


# -- sparse checkout --------------------------------------------------------------------------------------------------


async def test_only_what_is_listed_is_checked_out(flux: Flux, repo: Repo, tmp_path: Path) -> None:
    repo.push({"a.yaml": "a", "apps/x/b.yaml": "b", "apps/y/c.yaml": "c", "apps2/d.yaml": "d", "top/e.yaml": "e"})
    await flux.source(repo, sparseCheckout=["./apps/x", "top"])
    await flux.run()
    assert sorted(await _files(flux, tmp_path)) == ["apps/x/b.yaml", "top/e.yaml"]
    assert (await flux.repository())["status"]["observedSparseCheckout"] == ["./apps/x", "top"]
    await flux.source(repo, sparseCheckout=["apps"])
    await flux.run()
    assert sorted(await _files(flux, tmp_path)) == ["apps/x/b.yaml", "apps/y/c.yaml"]
    await flux.source(repo, sparseCheckout=["nowhere"])
    await flux.run(patience=0.3)
    found = await flux.repository()
    assert ready(found) == ("False", "GitOperationFailed")
    assert "sparse checkout dir 'nowhere' does not exist in repository" in message(found)


# -- includes ---------------------------------------------------------------------------------------------------------


async def test_artifacts_of_others_are_included(flux: Flux, repo: Repo, git_server: GitServer, tmp_path: Path) -> None:
    base = _other(git_server, tmp_path, f"{repo.bare.stem}-base")
    base.push({"deploy/x.yaml": "x 1", "deploy/y/z.yaml": "z", "other.yaml": "o"})
    repo.push({"a.yaml": "a", "lib/x.yaml": "mine"})
    await flux.source(base, "base")
    include = [
        {"repository": {"name": "base"}, "fromPath": "deploy", "toPath": "lib"},
        {"repository": {"name": "base"}},
    ]
    await flux.source(repo, include=include)
    await flux.run()
    found = await flux.repository()
    assert ready(found) == ("True", "Succeeded"), message(found)
    files = await _files(flux, tmp_path)
    assert files == {
        "a.yaml": "a",
        "base/deploy/x.yaml": "x 1",
        "base/deploy/y/z.yaml": "z",
        "base/other.yaml": "o",
        "lib/x.yaml": "x 1",
        "lib/y/z.yaml": "z",
    }
    assert found["status"]["observedInclude"] == include
    theirs = (await flux.repository("base"))["status"]["artifact"]
    assert [one["revision"] for one in found["status"]["includedArtifacts"]] == [theirs["revision"]] * 2

    base.push({"deploy/x.yaml": "x 2"})
    await flux.request("GitRepository", "base")
    await flux.run()  # nobody has asked for the other one
    assert (await _files(flux, tmp_path))["lib/x.yaml"] == "x 2"


async def test_an_include_that_is_not_there_is_waited_for(
    flux: Flux, repo: Repo, git_server: GitServer, tmp_path: Path
) -> None:
    base = _other(git_server, tmp_path, f"{repo.bare.stem}-base")
    base.push({"x.yaml": "x"})
    repo.push({"a.yaml": "a"})
    await flux.source(repo, include=[{"repository": {"name": "base"}, "toPath": "../../up"}])
    await flux.run()
    found = await flux.repository()
    assert ready(found) == ("False", "NotFound")
    assert message(found, "IncludeUnavailable") == message(found)
    assert "could not get resource for include 'base'" in message(found)
    await flux.source(base, "base")
    await flux.run()
    found = await flux.repository()
    assert ready(found) == ("True", "Succeeded"), message(found)
    assert message(found, "IncludeUnavailable") == "None"
    assert sorted(await _files(flux, tmp_path)) == ["a.yaml", "up/x.yaml"]
    await flux.patch(SOURCE, "GitRepository", "repo", {"spec": {"include": [
        {"repository": {"name": "base"}, "fromPath": "nowhere"}]}})  # fmt: skip
    await flux.run(patience=0.3)
    found = await flux.repository()
    assert ready(found) == ("False", "CopyFailure")
    assert "it has no directory 'nowhere'" in message(found)

"""GitRepository on a real Git server (GR-1..4, GR-20..28, SC-1..10)."""

import asyncio
import base64
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fluxless.api.kinds import by_name
from fluxless.artifacts.blob import AzureStore
from fluxless.artifacts.cache import ArtifactCache
from fluxless.engine.engine import Engine
from fluxless.git import objects
from fluxless.git.errors import RemoteUnavailable
from fluxless.git.ls_remote import ls_remote
from fluxless.kube.connect import ClusterConfig
from fluxless.source.git import PHASES, GitRepositoryRun
from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.repositories import Repo, config_map
from tests.support.tls import Authority
from tools.gitserver import Access, GitServer


async def _files(flux: Flux, folder: Path) -> list[str]:
    artifact = (await flux.repository())["status"]["artifact"]
    target = folder / "artifact.tar.gz"
    assert await flux.store.get_file(artifact["path"], target)
    with tarfile.open(target) as tar:
        entries = tar.getmembers()
    assert {entry.mode for entry in entries if entry.isfile()} <= {0o600, 0o700}
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries} == {(0, 0, 0)}
    return [entry.name for entry in entries if entry.isfile()]


async def test_every_kind_of_reference_finds_its_commit(flux: Flux, repo: Repo) -> None:
    first = repo.push({"a.yaml": config_map("a", "1")})
    repo.git("tag", "v1.0.0")
    repo.git("tag", "-a", "-m", "annotated", "v1.1.0")
    repo.git("tag", "v2.0.0-rc.1")
    second = repo.push({"a.yaml": config_map("a", "2")})
    repo.git("push", "--quiet", "--tags", str(repo.bare), "main:refs/heads/feature/x")
    expected: dict[str, tuple[dict[str, Any], str]] = {
        "branch": ({"branch": "feature/x"}, f"feature/x@sha1:{second}"),
        "tag": ({"tag": "v1.0.0"}, f"v1.0.0@sha1:{first}"),
        "semver": ({"semver": ">=1.0.0 <2.0.0"}, f"v1.1.0@sha1:{first}"),
        "name": ({"name": "refs/heads/main"}, f"refs/heads/main@sha1:{second}"),
        "commit": ({"commit": first}, f"sha1:{first}"),
        "commit-on-branch": ({"commit": first, "branch": "main"}, f"main@sha1:{first}"),
    }
    for name, (ref, _) in expected.items():
        await flux.source(repo, name, ref=ref)
    await flux.run()
    for name, (_, revision) in expected.items():
        found = await flux.repository(name)
        assert ready(found) == ("True", "Succeeded"), message(found)
        assert found["status"]["artifact"]["revision"] == revision


async def test_of_two_tags_of_one_version_the_newest_commit_wins(flux: Flux, repo: Repo) -> None:
    newer = repo.push({"a.yaml": config_map("a", "1")})
    repo.git("tag", "v1.0.0+a")
    repo.push({"a.yaml": config_map("a", "2")})
    repo.git("commit", "--amend", "--no-edit", GIT_COMMITTER_DATE="2001-01-01T00:00:00Z")
    repo.git("tag", "v1.0.0+b")
    repo.git("push", "--quiet", "--tags", str(repo.bare))
    await flux.source(repo, ref={"semver": "1.x"})
    await flux.run()
    assert (await flux.repository())["status"]["artifact"]["revision"] == f"v1.0.0+a@sha1:{newer}"


async def test_an_unchanged_remote_costs_one_question_and_no_write(
    flux: Flux, repo: Repo, git_server: GitServer
) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.run()
    before, asked = await flux.repository(), git_server.requests
    await flux.request("GitRepository", "repo")
    await flux.run()
    after = await flux.repository()
    assert git_server.requests - asked == 2  # the first time: capabilities of protocol version 2, then references
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert git_server.requests - asked == 3
    assert after["status"]["artifact"] == before["status"]["artifact"]
    assert after["status"]["conditions"] == before["status"]["conditions"]
    assert len(await flux.events("repo")) == 1


async def test_a_first_fetch_asks_for_the_references_once(flux: Flux, repo: Repo, git_server: GitServer) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    asked = git_server.requests
    await flux.run()
    assert ready(await flux.repository())[0] == "True"
    assert git_server.requests - asked == 3  # the references, then the pack: where it is shallow, and what is in it
    repo.push({"a.yaml": config_map("a", "2")})
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert git_server.requests - asked == 8  # here a fetch reads all references once more


async def test_a_server_that_forgets_version_2_is_asked_anew(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    from fluxless.git import ls_remote as room
    from fluxless.git.auth import Auth

    commit = repo.push({"a.yaml": "a"})
    await ls_remote(repo.url, Auth(), timeout=10)
    assert (repo.url, Auth()) in room._version_2
    real = room._post

    async def broken(*_: object) -> bytes:
        raise RemoteUnavailable(repo.url, "the server answers 400 Bad Request")

    monkeypatch.setattr(room, "_post", broken)
    with pytest.raises(RemoteUnavailable):
        await ls_remote(repo.url, Auth(), timeout=10)
    assert (repo.url, Auth()) not in room._version_2
    monkeypatch.setattr(room, "_post", real)
    assert (await ls_remote(repo.url, Auth(), timeout=10)).commit("refs/heads/main") == commit


async def test_references_of_pull_requests_are_asked_for_by_name_only(repo: Repo) -> None:
    from fluxless.git.auth import Auth

    commit = repo.push({"a.yaml": "a"})
    repo.git("push", "--quiet", str(repo.bare), "main:refs/pull/1/head", "main:refs/pull/2/head")
    assert sorted((await ls_remote(repo.url, Auth(), timeout=10)).commits) == ["HEAD", "refs/heads/main"]
    named = await ls_remote(repo.url, Auth(), timeout=10, also="refs/pull/2/head")
    assert named.commit("refs/pull/2/head") == commit
    assert "refs/pull/1/head" not in named.commits


async def test_what_is_ignored_stays_out_of_the_artifact(flux: Flux, repo: Repo, tmp_path: Path) -> None:
    repo.push({"a.yaml": "a", "img.png": "x", ".github/w.yaml": "w", "docs/d.md": "d", "docs/keep.md": "k"})
    await flux.source(repo)
    await flux.run()
    assert await _files(flux, tmp_path) == ["a.yaml", "docs/d.md", "docs/keep.md"]
    await flux.source(repo, ignore="docs/*\n!docs/keep.md\n")
    await flux.run()
    assert await _files(flux, tmp_path) == [".github/w.yaml", "a.yaml", "docs/keep.md", "img.png"]
    assert (await flux.repository())["status"]["observedIgnore"] == "docs/*\n!docs/keep.md\n"
    repo.push({"docs/.sourceignore": "d.md\n"})
    await flux.source(repo, ignore="*.png")
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert "docs/d.md" not in await _files(flux, tmp_path)


async def test_two_artifacts_are_kept_and_all_go_with_the_object(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": "0"})
    await flux.source(repo)
    await flux.run()
    for number in range(1, 5):
        repo.push({"a.yaml": str(number)})
        await flux.request("GitRepository", "repo")
        await flux.run()
    assert len([blob async for blob in flux.store.list("artifacts/")]) == 2
    await flux.delete(SOURCE, "GitRepository", "repo")
    await flux.run()
    assert [blob async for blob in flux.store.list("artifacts/")] == []
    assert await flux.get(SOURCE, "GitRepository", "repo") is None


async def test_what_the_status_points_at_is_never_deleted(flux: Flux, repo: Repo) -> None:
    """SC-7, also while no status can be written: the one on the API server keeps its artifact."""
    repo.push({"a.yaml": "0"})
    await flux.source(repo)
    await flux.run()
    shown = (await flux.repository())["status"]["artifact"]["path"]
    for number in range(1, 4):
        repo.push({"a.yaml": str(number)})
        survey = await flux.engine._survey(flux.name)
        run = GitRepositoryRun(by_name("GitRepository"), await flux.repository(), survey, flux.engine.services)
        for phase in PHASES:  # a worker that is killed before it writes the status
            await phase(run)
        assert await flux.store.stat(shown) is not None
        assert await flux.store.stat(run.artifact["path"]) is not None
    assert len([blob async for blob in flux.store.list("artifacts/")]) == 2
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert await flux.store.stat((await flux.repository())["status"]["artifact"]["path"]) is not None


async def test_two_workers_leave_an_artifact_for_every_status(
    flux: Flux, repo: Repo, control_plane: Path, azurite: str, tmp_path: Path
) -> None:
    """Both fetch and store the same sources at the same time; whoever writes last, its artifact is there."""
    repo.push({"a.yaml": config_map("a", "0")})
    await flux.source(repo)
    await flux.source(repo, "second")
    await flux.kustomization("app")
    await flux.run()
    flux.configure(artifact_retention=60.0)
    store = AzureStore.from_connection_string(azurite, flux.namespace)
    services = replace(flux.engine.services, store=store, artifacts=ArtifactCache(store, tmp_path / "second"))
    other = Engine({flux.name: ClusterConfig(flux.name, kubeconfig=str(control_plane))}, services)
    try:
        for number in range(1, 6):
            repo.push({"a.yaml": config_map("a", str(number))})
            await flux.request("GitRepository", "repo", "second")
            steps = await flux.engine.plan(flux.name, [], {})
            both = (engine.reconcile(flux.name, batch) for batch in steps.batches for engine in (flux.engine, other))
            await asyncio.gather(*both)
            for name in ("repo", "second"):
                artifact = (await flux.source_of("GitRepository", name))["status"]["artifact"]
                stored = await flux.store.stat(artifact["path"])
                assert stored is not None
                assert stored.digest == artifact["digest"]
    finally:
        await other.close()
    await flux.run()
    assert await flux.value("a") == "5"


async def test_an_artifact_that_has_vanished_is_made_again(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.run()
    path = (await flux.repository())["status"]["artifact"]["path"]
    await flux.store.delete(path)
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert await flux.store.stat(path) is not None


async def _secret(flux: Flux, **data: bytes | str) -> None:
    encoded = {
        key.replace("_", "."): base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
        for key, value in data.items()
    }
    names = {"name": "auth", "namespace": flux.namespace}
    await flux.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": names, "data": encoded}, manager="user")


@pytest.mark.parametrize("way", ["basic", "bearer"])
async def test_credentials_of_the_secret_open_the_repository(
    flux: Flux, repo: Repo, git_server: GitServer, way: str
) -> None:
    repo.push({"a.yaml": config_map("a")})
    access = Access(username="me", password="pass") if way == "basic" else Access(bearer="tok-en")
    closed = GitServer(git_server.root, access=access)
    url = await closed.start()
    try:
        repo.url = repo.url.replace(git_server.url, url)
        await flux.source(repo)
        await flux.run(patience=0.2)
        refused = await flux.repository()
        assert ready(refused) == ("False", "AuthenticationFailed")
        assert "authentication required for" in message(refused, "FetchFailed")
        assert "spec.secretRef" in message(refused)
        await _secret(flux, **({"username": "me", "password": "pass"} if way == "basic" else {"bearerToken": "tok-en"}))
        await flux.source(repo, secretRef={"name": "auth"})
        await flux.run(patience=0.2)
        assert ready(await flux.repository()) == ("True", "Succeeded"), message(await flux.repository())
        await _secret(flux, **({"username": "me", "password": "wro-ng"} if way == "basic" else {"bearerToken": "no"}))
        repo.push({"a.yaml": config_map("a", "2")})
        await flux.request("GitRepository", "repo")
        await flux.run(patience=0.2)
        found = await flux.repository()
        assert ready(found) == ("False", "AuthenticationFailed")
        assert "wro-ng" not in str(found["status"])
        assert found["status"]["artifact"]
    finally:
        await closed.stop()


async def test_a_private_ca_and_a_client_certificate_work_and_are_needed(
    flux: Flux, repo: Repo, git_server: GitServer, tmp_path: Path
) -> None:
    repo.push({"a.yaml": config_map("a")})
    authority = Authority(tmp_path)
    secured = GitServer(git_server.root, tls=authority.server_context(client_certificates=True))
    url = await secured.start()
    try:
        repo.url = repo.url.replace(git_server.url, url)
        await flux.source(repo)
        await flux.run(patience=0.2)
        assert "TLS certificate is not trusted" in message(await flux.repository())
        certificate, key = authority.issue("client")
        await _secret(flux, ca_crt=authority.certificate)
        await flux.source(repo, secretRef={"name": "auth"})
        await flux.run(patience=0.2)
        assert ready(await flux.repository())[0] == "False"
        await _secret(flux, ca_crt=authority.certificate, tls_crt=certificate, tls_key=key)
        await flux.request("GitRepository", "repo")
        await flux.run(patience=0.2)
        assert ready(await flux.repository()) == ("True", "Succeeded"), message(await flux.repository())
    finally:
        await secured.stop()


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        pytest.param({"ref": {"branch": "nope"}}, "GitOperationFailed", "branch 'nope'", id="unknown-branch"),
        pytest.param({"ref": {"tag": "nope"}}, "GitOperationFailed", "tag 'nope'", id="unknown-tag"),
        pytest.param({"ref": {"semver": "x.y"}}, "GitOperationFailed", "not a range", id="bad-semver"),
        pytest.param({"ref": {"semver": ">9"}}, "GitOperationFailed", "no match found for semver", id="no-match"),
        pytest.param({"ref": {"commit": "abc"}}, "GitOperationFailed", "full commit id", id="short-commit"),
        pytest.param({"ref": {"commit": "0" * 40}}, "GitOperationFailed", "not found", id="unknown-commit"),
        pytest.param({"url": "{server}/none.git"}, "GitOperationFailed", "repository not found", id="no-repository"),
        pytest.param({"url": "http://127.0.0.1:9/x.git"}, "GitOperationFailed", "unable to reach", id="no-server"),
        pytest.param({"secretRef": {"name": "nope"}}, "AuthenticationFailed", "not found", id="secret-missing"),
    ],
)
async def test_what_cannot_be_fetched_is_named(
    flux: Flux, repo: Repo, git_server: GitServer, spec: dict[str, Any], reason: str, words: str
) -> None:
    repo.push({"a.yaml": config_map("a")})
    spec = {key: value.format(server=git_server.url) if key == "url" else value for key, value in spec.items()}
    await flux.source(repo, **spec)
    await flux.run(patience=0.2)
    found = await flux.repository()
    assert ready(found) == ("False", reason), message(found)
    assert words in message(found)
    assert " — " in message(found)


async def test_a_worker_without_room_names_the_repository_and_clears_its_cache(
    flux: Flux, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo, "other")
    await flux.run()
    tree = await flux.engine.services.artifacts.tree((await flux.repository("other"))["status"]["artifact"])
    assert tree is not None
    os.utime(tree, (0, 0))  # not used for long
    with monkeypatch.context() as full:
        full.setattr(objects, "DISK_KEPT", 1 << 60)
        await flux.source(repo)
        await flux.run(patience=0.2)
    found = await flux.repository()
    assert ready(found) == ("False", "GitOperationFailed")
    assert f"no room for a commit of '{repo.url}' on the worker's disk, where " in message(found)
    assert not tree.exists()
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert ready(await flux.repository())[0] == "True"


async def test_a_repository_without_commits_is_called_empty(flux: Flux, repo: Repo, git_server: GitServer) -> None:
    repo.git_in(git_server.root, "init", "--quiet", "--bare", str(repo.bare))
    await flux.source(repo)
    await flux.run(patience=0.2)
    assert "is empty: it has no commits" in message(await flux.repository())


async def test_a_web_page_is_told_from_a_repository(flux: Flux, repo: Repo, git_server: GitServer) -> None:
    repo.push({"a.yaml": config_map("a")})

    async def _page(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", _page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await flux.source(repo, url=f"http://127.0.0.1:{runner.addresses[0][1]}/org/repo")
        await flux.run(patience=0.2)
        assert "which is not Git" in message(await flux.repository())
    finally:
        await runner.cleanup()


async def test_100_megabytes_and_5000_files_pass(flux: Flux, repo: Repo, tmp_path: Path) -> None:
    many = {f"many/f{number}.txt": f"{number}" for number in range(5000)}
    repo.push({"a.yaml": config_map("a"), "large.bin": "0123456789abcdef" * (100 * 65536), **many})
    await flux.source(repo, timeout="60s")
    await flux.run(limit=90)
    found = await flux.repository()
    assert ready(found) == ("True", "Succeeded"), message(found)
    assert len(await _files(flux, tmp_path)) == 5002


async def test_a_file_beyond_the_limit_is_refused_by_name(
    flux: Flux, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxless.git.tree.ARCHIVE_FILE", 1024)
    repo.push({"a.yaml": config_map("a"), "large.bin": "x" * 2048})
    await flux.source(repo)
    await flux.run(patience=0.2)
    assert "file 'large.bin'" in message(await flux.repository())
    await flux.source(repo, ignore="large.bin")
    await flux.run(patience=0.2)
    assert ready(await flux.repository())[0] == "True"


async def test_ls_remote_reads_peeled_tags_and_head(repo: Repo) -> None:
    from fluxless.git.auth import Auth

    commit = repo.push({"a.yaml": "a"})
    repo.git("tag", "-a", "-m", "annotated", "v1")
    repo.git("push", "--quiet", "--tags", str(repo.bare))
    refs = await ls_remote(repo.url, Auth(), timeout=10)
    assert refs.head == "refs/heads/main"
    assert refs.commits["refs/tags/v1"] != commit
    assert refs.commit("refs/tags/v1") == refs.commit("refs/heads/main") == commit

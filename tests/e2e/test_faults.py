"""kill -9 of the host in every phase, and neighbours that go away: the end state is right and nothing is stuck."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.flux import KUSTOMIZE, Flux, message, ready
from tests.support.hosted import Hosted, until
from tests.support.repositories import Repo, config_map, deployment
from tools import processes
from tools.azurite import launcher as azurite
from tools.gitserver import GitServer


@pytest_asyncio.fixture(loop_scope="session")
async def running(hosted: Hosted) -> AsyncIterator[Hosted]:
    """The environment; whatever a test has broken runs again afterwards."""
    yield hosted
    await hosted.start()


async def _applied(user: Flux, name: str, commit: str) -> bool:
    found = await user.ks(name)
    revision = (found.get("status") or {}).get("lastAppliedRevision") or ""
    return revision.endswith(commit) and ready(found)[0] == "True"


async def test_killed_while_fetching(running: Hosted, user: Flux, tmp_path: Path) -> None:
    slow = _SlowGit(running.env.git_root)
    await slow.start()
    repo = Repo(slow, tmp_path, f"slow-{time.time_ns()}")
    try:
        commit = repo.push({"a.yaml": config_map("a")})
        await user.source(repo)
        await user.kustomization("app")
        await asyncio.wait_for(slow.fetching.wait(), 30)
        running.kill()
        slow.open.set()
        await running.start()
        await until(lambda: _applied(user, "app", commit), "the artifact to be fetched again")
    finally:
        await slow.stop()


class _SlowGit(GitServer):
    """Holds every fetch until `open` is set."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.fetching = asyncio.Event()
        self.open = asyncio.Event()

    async def _serve(self, request):  # type: ignore[no-untyped-def]
        body = await request.read()
        if request.path.endswith("git-upload-pack") and b"want " in body:
            self.fetching.set()
            await self.open.wait()
        return await super()._serve(request)


@pytest.mark.parametrize("delay", [0.05, 0.2, 0.35, 0.5, 0.8])
async def test_killed_somewhere_between_push_and_healthy(
    running: Hosted, user: Flux, pushed: Repo, delay: float
) -> None:
    many = {f"o{number}.yaml": config_map(f"o{number}") for number in range(30)}
    pushed.push({**many, "gone.yaml": config_map("gone")})
    await user.source(pushed)
    await user.kustomization("app", wait=True)
    await until(lambda: _has(user, "gone"), "the first commit")
    changed = {name: text.replace("'1'", "'2'") for name, text in many.items()}
    commit = pushed.push({**changed, "gone.yaml": None, "web.yaml": deployment("web")})
    name = pushed.url.rpartition("/")[2].removesuffix(".git")
    await running.push(name)
    await asyncio.sleep(delay)
    running.kill()
    await running.start()
    await until(lambda: _applied(user, "app", commit), "the second commit")
    assert await user.value("gone") is None
    assert {await user.value(f"o{number}") for number in range(30)} == {"2"}
    entries = (await user.ks("app"))["status"]["inventory"]["entries"]
    assert len(entries) == 31


async def _has(user: Flux, name: str) -> bool:
    return await user.value(name) is not None and ready(await user.ks("app"))[0] == "True"


async def test_killed_in_a_health_wait_and_in_a_deletion(running: Hosted, user: Flux, pushed: Repo) -> None:
    pushed.push({"web.yaml": deployment("web", fails=True), "a.yaml": config_map("a")})
    await user.source(pushed)
    await user.kustomization("app", wait=True, timeout="5m")

    async def waiting() -> bool:
        return "Running health checks" in message(await user.ks("app"), "Reconciling")

    await until(waiting, "the health check")
    running.kill()
    await running.start()
    commit = pushed.push({"web.yaml": deployment("web")})
    await running.push(pushed.url.rpartition("/")[2].removesuffix(".git"))
    await until(lambda: _applied(user, "app", commit), "the new revision to end the wait", limit=90)
    await user.delete(KUSTOMIZE, "Kustomization", "app")
    running.kill()
    await running.start()

    async def gone() -> bool:
        return await user.get(KUSTOMIZE, "Kustomization", "app") is None and await user.value("a") is None

    await until(gone, "the deletion")


async def test_the_api_server_is_away_for_a_while(running: Hosted, user: Flux, pushed: Repo) -> None:
    pushed.push({"a.yaml": config_map("a", "1")})
    await user.source(pushed)
    await user.kustomization("app")
    await until(lambda: _has_value(user, "1"), "the first commit")
    folder = running.env.folder / "cluster"
    server = processes.running(folder, "apiserver")
    assert server is not None
    server.suspend()
    try:
        pushed.push({"a.yaml": config_map("a", "2")})
        name = pushed.url.rpartition("/")[2].removesuffix(".git")
        status, text, seconds = await running.push(name)
        assert status == 202
        assert "1 cluster(s) did not answer and will be told later" in text
        assert seconds < 8.0, "GitHub gives up after ten"
        await asyncio.sleep(12)
    finally:
        server.resume()
    await until(lambda: _has_value(user, "2"), "the delivery to be passed on", limit=90)


async def _has_value(user: Flux, value: str) -> bool:
    return await user.value("a") == value


async def test_azurite_is_away_for_a_while(running: Hosted, user: Flux, pushed: Repo) -> None:
    pushed.push({"a.yaml": config_map("a", "1")})
    await user.source(pushed, interval="2s")
    await user.kustomization("app")
    await until(lambda: _has_value(user, "1"), "the first commit")
    folder = running.env.folder / "azurite"
    azurite.stop(folder, kill=True)
    try:
        pushed.push({"a.yaml": config_map("a", "2")})
        name = pushed.url.rpartition("/")[2].removesuffix(".git")
        status, _, _ = await running.push(name)
        assert status == 503
        await asyncio.sleep(8)
    finally:
        await asyncio.to_thread(azurite.start, folder)
    await until(lambda: _has_value(user, "2"), "the poll to find the commit", limit=90)

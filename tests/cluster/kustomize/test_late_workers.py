"""No late worker harms: one that stood still while another went on applies nothing old and prunes nothing new.

Two engines over one cluster and one store; the first is held at one of its requests, as by a machine that stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fluxless.artifacts.blob import AzureStore
from fluxless.artifacts.cache import ArtifactCache
from fluxless.engine.engine import Engine
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig
from fluxless.reconcile.records import applied_name
from fluxless.reconcile.services import Services, Settings
from fluxless.reconcile.world import Ref
from tests.support.flux import Flux, ready
from tests.support.repositories import Repo, config_map

LEASE = 1.0
MANY = 20
"""More than a worker writes at once."""
Asked = Callable[[str, str, dict[str, str]], bool]
"""By method, path and query."""


class Late:
    """A worker that stops at the first request that `at` says, and goes on when it is let go."""

    def __init__(self, engine: Engine, cluster: Cluster, at: Asked) -> None:
        self.engine = engine
        self.stopped = asyncio.Event()
        self._go = asyncio.Event()
        self._ask = cluster.request

        async def request(method: str, path: str, **more: Any) -> dict[str, Any]:
            if at(method, path, dict(more.get("query") or {})):
                self.stopped.set()
                await self._go.wait()
            return await self._ask(method, path, **more)

        cluster.request = request  # type: ignore[method-assign]

    async def work(self) -> None:
        """Plan, and reconcile what is due, until everything that was begun has come to its end."""
        finished: dict[str, list[list[Any]]] = {}
        for _ in range(4):
            steps = await self.engine.plan("test", [], finished)
            done = await asyncio.gather(*(self.engine.reconcile("test", batch) for batch in steps.batches))
            finished = dict(zip(steps.batches, done, strict=True))

    async def go(self, working: asyncio.Task[None]) -> None:
        """Wake up, later by a second than the other has written, since managed fields tell times by the second; and
        end.
        """
        await asyncio.sleep(1.1)
        self._go.set()
        await asyncio.wait_for(working, 30)


@pytest.fixture
def workers(control_plane: Path, azurite: str, flux: Flux, tmp_path: Path) -> Callable[[Asked], Any]:
    """Makes the late worker; `flux` is the other one."""
    flux.configure(apply_lease=LEASE)

    @contextlib.asynccontextmanager
    async def late(at: Asked) -> AsyncIterator[Late]:
        store = AzureStore.from_connection_string(azurite, flux.namespace)
        settings = Settings(health_inline=1.0, health_poll=1.0, source_spacing=0.0, apply_lease=LEASE)
        services = Services(store, ArtifactCache(store, tmp_path / "late"), settings)
        engine = Engine({"test": ClusterConfig("test", kubeconfig=str(control_plane))}, services)
        try:
            yield Late(engine, await engine.cluster("test"), at)
        finally:
            await engine.close()

    return late


def manifests(value: str, *names: str) -> dict[str, str | None]:
    return {f"{name}.yaml": config_map(name, value) for name in names}


MAPS = tuple(f"m{number:02}" for number in range(MANY))


async def values(flux: Flux) -> dict[str, str | None]:
    return {name: await flux.value(name) for name in MAPS}


async def begin(flux: Flux, repo: Repo, *, value: str = "first") -> None:
    repo.push(manifests(value, *MAPS))
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True"


async def push(flux: Flux, repo: Repo, files: dict[str, str | None]) -> str:
    commit = repo.push(files)
    await flux.request("GitRepository", "repo")
    return commit


def is_write(method: str, path: str, query: dict[str, str]) -> bool:
    return method == "PATCH" and "/configmaps/" in path and "dryRun" not in query


@pytest.mark.parametrize("stage", ["dry-run", "first write"])
async def test_a_worker_that_wakes_up_late_applies_no_old_revision(
    flux: Flux, repo: Repo, workers: Callable[[Asked], Any], stage: str
) -> None:
    await begin(flux, repo)
    await push(flux, repo, manifests("old", *MAPS))

    def at(method: str, path: str, query: dict[str, str]) -> bool:
        dry = method == "PATCH" and "/configmaps/" in path and "dryRun" in query
        return dry if stage == "dry-run" else is_write(method, path, query)

    async with workers(at) as late:
        working = asyncio.create_task(late.work())
        await asyncio.wait_for(late.stopped.wait(), 30)
        commit = await push(flux, repo, manifests("new", *MAPS))
        await asyncio.sleep(LEASE)
        await flux.run()
        assert set((await values(flux)).values()) == {"new"}
        await late.go(working)
    landed = [name for name, value in (await values(flux)).items() if value != "new"]
    assert len(landed) <= (8 if stage == "first write" else 0)  # only what was in flight
    assert (await flux.ks("app"))["status"]["lastAppliedRevision"].endswith(commit)
    await flux.request("Kustomization", "app")
    await flux.run()
    assert set((await values(flux)).values()) == {"new"}


async def test_a_worker_that_wakes_up_late_prunes_nothing_that_a_newer_revision_has_added(
    flux: Flux, repo: Repo, workers: Callable[[Asked], Any]
) -> None:
    await begin(flux, repo)
    await push(flux, repo, {"m03.yaml": None})

    def at(method: str, path: str, query: dict[str, str]) -> bool:
        return method == "GET" and path.endswith("/configmaps/m03")

    async with workers(at) as late:
        working = asyncio.create_task(late.work())
        await asyncio.wait_for(late.stopped.wait(), 30)
        await push(flux, repo, manifests("back", "m03"))
        await asyncio.sleep(LEASE)
        await flux.run()
        assert await flux.value("m03") == "back"
        await late.go(working)
    assert await flux.value("m03") == "back"
    inventory = (await flux.ks("app"))["status"]["inventory"]["entries"]
    assert any("_m03_" in entry["id"] for entry in inventory)


async def test_a_worker_that_wakes_up_late_says_nothing_old(
    flux: Flux, repo: Repo, workers: Callable[[Asked], Any]
) -> None:
    await begin(flux, repo)
    await push(flux, repo, manifests("old", *MAPS))

    def at(method: str, path: str, query: dict[str, str]) -> bool:
        return method == "PATCH" and path.endswith("/kustomizations/app/status")

    async with workers(at) as late:
        working = asyncio.create_task(late.work())
        await asyncio.wait_for(late.stopped.wait(), 30)
        commit = await push(flux, repo, {**manifests("new", *MAPS), **manifests("new", "more")})
        await flux.run()
        await late.go(working)
    status = (await flux.ks("app"))["status"]
    assert status["lastAppliedRevision"].endswith(commit)
    assert any("_more_" in entry["id"] for entry in status["inventory"]["entries"])


async def test_two_workers_at_once_take_turns(flux: Flux, repo: Repo, workers: Callable[[Asked], Any]) -> None:
    """Nothing is applied beside a worker whose lease is good; it is applied when that worker has gone."""
    await begin(flux, repo)
    await push(flux, repo, manifests("old", *MAPS))
    lease = 15.0
    flux.configure(apply_lease=lease)
    async with workers(is_write) as late:
        services = late.engine.services
        late.engine.services = replace(services, settings=replace(services.settings, apply_lease=lease))
        working = asyncio.create_task(late.work())
        await asyncio.wait_for(late.stopped.wait(), 30)
        await push(flux, repo, manifests("new", *MAPS))
        await flux.run(patience=0.5)
        assert set((await values(flux)).values()) == {"first"}
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    await flux.run(patience=lease)
    assert set((await values(flux)).values()) == {"new"}


async def test_an_apply_costs_one_more_request_to_the_store_at_most(flux: Flux, repo: Repo) -> None:
    await begin(flux, repo)
    name = applied_name(flux.name, Ref("Kustomization", flux.namespace, "app"))
    counted: list[str] = []
    store = flux.engine.services.store
    get, put = store.get, store.put

    async def counting_get(which: str) -> Any:
        counted.extend(["get"] if which == name else [])
        return await get(which)

    async def counting_put(which: str, *args: Any, **more: Any) -> Any:
        counted.extend(["put"] if which == name else [])
        return await put(which, *args, **more)

    store.get, store.put = counting_get, counting_put  # type: ignore[method-assign, assignment]
    await push(flux, repo, manifests("new", *MAPS))
    await flux.run()
    assert counted == ["get", "put", "put"]  # the turn, and what was applied, which ends it
    counted.clear()
    await flux.request("Kustomization", "app")
    await flux.run()
    assert counted == ["get"]

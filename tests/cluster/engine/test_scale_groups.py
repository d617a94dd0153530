"""Webhooks, plans and batches run in different workers: here every one is an engine of its own over the same store."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fluxless.artifacts.blob import AzureStore
from fluxless.artifacts.cache import ArtifactCache
from fluxless.engine import intake
from fluxless.engine.doors import Answer
from fluxless.engine.doors.github import github
from fluxless.engine.engine import Engine
from fluxless.engine.reach import ClusterAway
from fluxless.kube.client import Cluster
from fluxless.kube.connect import read_clusters
from fluxless.kube.errors import Unreachable
from fluxless.limits import CLUSTER_SLOTS
from fluxless.reconcile.services import Services
from fluxless.reconcile.status import RECONCILE_ANNOTATION
from tests.support.counting import CountingStore
from tests.support.flux import SOURCE
from tests.support.hosted import until
from tools.fleet import Fault, Fleet

NOTIFY = "notification.toolkit.fluxcd.io/v1"
COUNT = 100
TOKEN = "t0ken"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted here is requests: a busy machine changes nothing about them."""
    monkeypatch.setattr(intake, "PATIENCE", 30.0)


class Group:
    """Many clusters behind one control plane, and workers for them; each cluster is a namespace of its name."""

    def __init__(self, fleet: Fleet, cluster: Cluster, azurite: str, folder: Path) -> None:
        self.fleet = fleet
        self.cluster = cluster
        self.names = [f"g{uuid.uuid4().hex[:6]}-{number}" for number in range(COUNT)]
        self._azurite = azurite
        self._container = f"g-{uuid.uuid4().hex[:8]}"
        self._folder = folder
        self._workers: list[Engine] = []
        self.later = 0.0

    def worker(self) -> tuple[Engine, CountingStore]:
        """One that knows nothing yet. Its clock is `later` than ours."""
        store = CountingStore(AzureStore.from_connection_string(self._azurite, self._container))
        services = Services(store, ArtifactCache(store, self._folder / str(len(self._workers))), clock=self._now)
        engine = Engine(read_clusters(self.fleet.setting(self.names)), services)
        self._workers.append(engine)
        return engine, store

    def _now(self) -> float:
        return time.time() + self.later

    async def put(self, name: str, kind: str, spec: dict[str, Any]) -> None:
        """An object in a cluster."""
        await self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager="user")
        version = NOTIFY if kind == "Receiver" else SOURCE
        metadata = {"name": "app", "namespace": name}
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
        await self.cluster.apply(body, manager="user")

    async def source(self, name: str, url: str, *, suspend: bool = True) -> None:
        """A GitRepository that is never fetched."""
        await self.put(name, "GitRepository", {"interval": "1h", "url": url, "suspend": suspend})

    async def requested(self, *names: str) -> list[str]:
        """The requests for a reconciliation that stand at the GitRepositories."""
        resource = await self.cluster.resource(SOURCE, "GitRepository")
        found = [await self.cluster.get(resource, "app", name) for name in names]
        return [str((one or {})["metadata"].get("annotations", {}).get(RECONCILE_ANNOTATION, "")) for one in found]

    def asked(self, before: Counter[str]) -> dict[str, int]:
        """Which clusters were asked since, and how often."""
        return dict(self.fleet.requests - before)

    async def close(self) -> None:
        """End."""
        await asyncio.gather(*(worker.close() for worker in self._workers))


@pytest_asyncio.fixture(loop_scope="session")
async def group(cluster: Cluster, control_plane: Path, azurite: str, tmp_path: Path) -> AsyncIterator[Group]:
    fleet = Fleet(control_plane)
    await fleet.start()
    group = Group(fleet, cluster, azurite, tmp_path)
    yield group
    await group.close()
    await fleet.stop()
    there = {obj["metadata"]["name"] for obj in await cluster.list(await cluster.resource("v1", "Namespace"))}
    for name in there & set(group.names):
        for version, kind in ((NOTIFY, "Receiver"), (SOURCE, "GitRepository"), (SOURCE, "OCIRepository")):
            resource = await cluster.resource(version, kind)
            for obj in await cluster.list(resource, name):
                await cluster.patch(resource, obj["metadata"]["name"], name, body={"metadata": {"finalizers": None}})
                await cluster.delete(resource, obj["metadata"]["name"], name)
        await cluster.delete(await cluster.resource("v1", "Namespace"), name)


async def _plan(engine: Engine, names: list[str]) -> None:
    slots = asyncio.Semaphore(8)

    async def one(name: str) -> None:
        async with slots:
            await engine.plan(name, [], {})

    await asyncio.gather(*map(one, names))


def _push(url: str) -> Answer:
    body = json.dumps({"repository": {"clone_url": url}}).encode()
    headers = {
        "x-github-event": "push",
        "x-github-delivery": str(uuid.uuid4()),
        "x-hub-signature-256": "sha256=" + hmac.new(b"s", body, hashlib.sha256).hexdigest(),
    }
    return github(headers, body, "s")


async def test_a_webhook_asks_the_clusters_that_it_concerns_and_no_other(group: Group) -> None:
    url = f"https://example.org/{uuid.uuid4().hex}.git"
    concerned = {group.names[number] for number in (3, 50, 99)}
    await asyncio.gather(*(group.source(name, url) for name in concerned))
    await group.source(group.names[7], "https://example.org/another")
    planner, planned = group.worker()
    await _plan(planner, group.names)
    planned.since()
    await _plan(planner, group.names)
    assert planned.since() == {"get": COUNT}, "a plan without news reads its schedule, and that is all"

    webhooks, store = group.worker()
    before = group.fleet.requests.copy()
    began = time.monotonic()
    answer = await webhooks.intake.accept(_push(url))
    cold = time.monotonic() - began
    assert (set(answer.woken), answer.missed) == (concerned, ()), answer
    assert set(group.asked(before)) == concerned
    assert store.since() == {"list": 1, "get": COUNT}
    first = await group.requested(*sorted(concerned))
    assert all(first)

    before = group.fleet.requests.copy()
    began = time.monotonic()
    answer = await webhooks.intake.accept(_push(url))
    warm = time.monotonic() - began
    assert set(answer.woken) == concerned
    assert group.asked(before) == dict.fromkeys(concerned, 1), "no more than the annotation"
    assert store.since() == {"list": 1}
    assert all(later > earlier for later, earlier in zip(await group.requested(*sorted(concerned)), first, strict=True))
    print(f"a webhook for {COUNT} clusters: {cold:.2f} s in a new worker, {warm:.2f} s after that")

    before = group.fleet.requests.copy()
    answer = await webhooks.intake.accept(_push("https://example.org/nobodys"))
    assert (answer.status, answer.woken, answer.missed) == (202, (), ())
    assert group.asked(before) == {}


async def test_what_is_new_is_found_before_it_is_fetched(group: Group) -> None:
    """So that no push is lost between the first fetch of an object and the plan that tells webhooks of it."""
    del group.names[2:]
    name, url = group.names[0], f"https://example.org/{uuid.uuid4().hex}.git"
    await group.source(group.names[1], url)
    (planner, _), (webhooks, _) = group.worker(), group.worker()
    await _plan(planner, group.names)
    await group.source(name, url, suspend=False)
    assert (await webhooks.intake.accept(_push(url))).woken == (group.names[1],)
    steps = await planner.plan(name, [], {})
    assert steps.batches, "it is handed out, and not begun"
    assert set((await webhooks.intake.accept(_push(url))).woken) == {name, group.names[1]}


async def test_a_cluster_without_an_index_is_asked_itself(group: Group) -> None:
    planned, never = group.names[0], group.names[1]
    del group.names[2:]
    url = f"https://example.org/{uuid.uuid4().hex}.git"
    await asyncio.gather(*(group.source(name, url) for name in group.names))
    planner, store = group.worker()
    await _plan(planner, [planned])
    webhooks, _ = group.worker()
    assert set((await webhooks.intake.accept(_push(url))).woken) == {planned, never}
    await store.put(f"index/{planned}.json", b'{"version": 99}')
    assert set((await webhooks.intake.accept(_push(url))).woken) == {planned, never}


async def test_what_one_worker_finds_away_is_away_for_all(group: Group) -> None:
    del group.names[2:]
    here, away = group.names
    url = f"https://example.org/{uuid.uuid4().hex}.git"
    await asyncio.gather(*(group.source(name, url) for name in group.names))
    (one, store), (another, others), (webhooks, listed) = group.worker(), group.worker(), group.worker()
    await _plan(one, group.names)
    group.fleet.faults[away] = Fault.DROPS
    store.since()
    for planner in (one, another):
        with pytest.raises(Unreachable):
            await planner.plan(away, [], {})
    assert (store.since(), others.since()) == ({"get": 1, "put": 1}, {"get": 1, "put": 2})

    before = group.fleet.requests.copy()
    for planner in (one, another, group.worker()[0]):
        with pytest.raises(ClusterAway, match=r"it is asked again in \d+ s"):
            await planner.plan(away, [], {})
    answer = await webhooks.intake.accept(_push(url))
    assert (answer.woken, [missed.cluster for missed in answer.missed]) == ((here,), [away])
    assert away not in group.asked(before), "nobody waits for it once more"
    assert (store.since(), listed.since()) == ({"get": 1}, {"list": 1, "get": 3})

    group.fleet.faults.clear()
    group.later = 60.0
    await another.plan(away, [], {})
    assert others.since() == {"get": 2, "put": 1, "delete": 1}
    await another.plan(away, [], {})
    assert others.since() == {"get": 1}
    assert set((await webhooks.intake.accept(_push(url))).woken) == {here, away}


async def test_two_workers_share_the_slots_of_a_cluster(group: Group) -> None:
    """And its batches: no object is in two of them, whoever works on which."""
    name = group.names[0]
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(3600), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/x.git"
    await group.source(name, url, suspend=False)
    await group.put(name, "OCIRepository", {"interval": "1h", "url": url.replace("http", "oci"), "insecure": True})
    workers = [engine for engine, _ in (group.worker(), group.worker())]
    for engine in workers:
        engine._shares._after, engine._shares._every = 0.0, 0.5
    steps = await workers[0].plan(name, [], {})
    assert len(steps.batches) == 2
    again = await workers[1].plan(name, steps.batches, {})
    assert (again.batches, again.counts["inFlight"]) == ([], 2)
    working = [
        asyncio.create_task(engine.reconcile(name, batch)) for engine, batch in zip(workers, steps.batches, strict=True)
    ]

    async def come(total: int) -> None:
        async def have() -> bool:
            return [engine.services.slots.total(name) for engine in workers] == [total, total]

        await until(have, f"both workers to have {total} slots")

    try:
        await come(CLUSTER_SLOTS // 2)
        working[0].cancel()
        await come(CLUSTER_SLOTS)
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        silent.close()


async def test_a_receiver_is_found_on_its_cluster_and_its_secret_stays_there(group: Group) -> None:
    name = group.names[5]
    spec = {"type": "generic-hmac", "resources": [{"kind": "GitRepository", "name": "app"}]}
    await group.source(name, "https://example.org/x")
    await group.put(name, "Receiver", spec | {"secretRef": {"name": "token"}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": name}}
    await group.cluster.apply(secret | {"stringData": {"token": TOKEN}}, manager="user")
    del group.names[10:]
    planner, store = group.worker()
    await _plan(planner, group.names)
    steps = await planner.plan(name, [], {})
    await asyncio.gather(*(planner.reconcile(name, batch) for batch in steps.batches))

    webhooks, _ = group.worker()
    path = f"/hook/{hashlib.sha256(f'{TOKEN}app{name}'.encode()).hexdigest()}"
    signed = {"x-signature": "sha256=" + hmac.new(TOKEN.encode(), b"{}", hashlib.sha256).hexdigest()}
    before = group.fleet.requests.copy()
    answer = await webhooks.intake.hook(path, signed, b"{}")
    assert (answer.status, answer.woken) == (200, (name,)), "before the next plan, on its cluster"
    assert set(group.asked(before)) == {name}

    await planner.plan(name, [], {})
    before = group.fleet.requests.copy()
    answer = await webhooks.intake.hook(path, signed, b"{}")
    assert (answer.status, answer.woken) == (200, (name,))
    assert group.asked(before) == {name: 2}, "the receiver and the annotation: the Secret was read a moment ago"
    assert (await webhooks.intake.hook(path, {"x-signature": "sha256=00"}, b"{}")).status == 400

    before = group.fleet.requests.copy()
    assert (await webhooks.intake.hook(f"/hook/{'0' * 64}", signed, b"{}")).status == 404
    assert group.asked(before) == {}
    found = await store.get(f"index/{name}.json")
    assert found is not None
    assert f"Receiver/{name}/app" in found[0].decode()
    assert not [word for word in (TOKEN, path, "hook", "example") if word in found[0].decode()]

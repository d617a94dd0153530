"""The slots of a cluster are for all workers together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from fluxless.artifacts.directory import DirectoryStore
from fluxless.artifacts.store import Stored, StoreUnavailable
from fluxless.engine.shares import Shares
from fluxless.reconcile.records import work_prefix
from fluxless.reconcile.slots import Slots
from tests.support.counting import CountingStore


class Counted:
    """Objects that are worked on at this moment, in all workers."""

    def __init__(self) -> None:
        self.now = self.failing = self.since = self.failing_since = 0

    async def comes_to(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds of what is worked on at most in a while."""
        async with asyncio.timeout(20.0):
            while True:
                self.since = self.failing_since = 0
                await asyncio.sleep(0.2)
                if holds():
                    return

    @contextlib.contextmanager
    def one(self, *, failing: bool) -> Iterator[None]:
        self.now, self.failing = self.now + 1, self.failing + failing
        self.since, self.failing_since = max(self.since, self.now), max(self.failing_since, self.failing)
        try:
            yield
        finally:
            self.now, self.failing = self.now - 1, self.failing - failing


class Worker:
    """One that works on as many objects as it may."""

    def __init__(self, store: CountingStore, counted: Counted, every: float = 0.05) -> None:
        self.slots = Slots(each=32, failing=8, everything=96)
        self.shares = Shares(store, self.slots, after=every, every=every)
        self._counted = counted
        self._stopped = False

    async def work(self, cluster: str = "c") -> None:
        """A batch, until `stop`: in three namespaces, some objects have failed before."""

        async def one(number: int) -> None:
            while not self._stopped:
                failing = number % 2 == 0
                async with self.slots.taken(cluster, f"n{number % 3}", failing=failing):
                    with self._counted.one(failing=failing):
                        await asyncio.sleep(0.005)

        async with self.shares.at_work(cluster):
            await asyncio.gather(*(one(number) for number in range(120)))

    def stop(self) -> None:
        self._stopped = True


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(DirectoryStore(tmp_path))


async def _counted(store: CountingStore) -> None:
    """Wait until somebody has looked who else is there, more than once."""
    lists = 0
    async with asyncio.timeout(20.0):
        while lists < 3:
            await asyncio.sleep(0.02)
            lists += store.since().get("list", 0)


async def test_workers_of_one_cluster_have_its_slots_together(store: CountingStore) -> None:
    counted = Counted()
    workers = [Worker(store, counted, 0.5) for _ in range(4)]
    working = [asyncio.create_task(worker.work()) for worker in workers]
    await counted.comes_to(lambda: counted.since > 64)  # nobody knows of the others yet
    await counted.comes_to(lambda: 8 <= counted.since <= 32 and 2 <= counted.failing_since <= 8)

    for worker in workers[1:]:
        worker.stop()
    await asyncio.gather(*working[1:])
    await counted.comes_to(lambda: counted.since > 16)  # who is alone has them all
    workers[0].stop()
    await working[0]
    assert [blob.name async for blob in store.list(work_prefix("c"))] == []


async def test_other_clusters_count_for_nothing(store: CountingStore) -> None:
    counted = Counted()
    one, another = Worker(store, counted), Worker(store, Counted())
    working = [asyncio.create_task(one.work("c")), asyncio.create_task(another.work("c-1"))]
    await _counted(store)
    await counted.comes_to(lambda: counted.since > 16)
    one.stop()
    another.stop()
    await asyncio.gather(*working)


async def test_work_that_is_over_soon_costs_no_request(store: CountingStore) -> None:
    worker = Worker(store, Counted(), every=5.0)
    for _ in range(3):
        async with worker.shares.at_work("c"), worker.shares.at_work("c"):
            await asyncio.sleep(0.01)
    assert store.since() == {}


async def test_a_worker_that_died_is_counted_no_more(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted()
    await store.put(f"{work_prefix('c')}dead", b"")
    listed = store.list

    async def old(prefix: str) -> AsyncIterator[Stored]:
        async for blob in listed(prefix):
            yield Stored(blob.name, 0, "", modified=0.0) if blob.name.endswith("dead") else blob

    monkeypatch.setattr(store, "list", old)
    worker = Worker(store, counted)
    working = asyncio.create_task(worker.work())
    await _counted(store)
    await counted.comes_to(lambda: counted.since > 16)
    worker.stop()
    await working
    assert [blob.name async for blob in listed(work_prefix("c"))] == []


async def test_a_store_that_is_away_stops_no_work(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> str:
        raise StoreUnavailable("no answer")

    for verb in ("put", "delete"):
        monkeypatch.setattr(store, verb, away)
    counted = Counted()
    worker = Worker(store, counted)
    working = asyncio.create_task(worker.work())
    await counted.comes_to(lambda: counted.since > 16)
    worker.stop()
    await working

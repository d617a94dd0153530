"""Plans leave what webhooks find objects by; a webhook reads that, and no more of it than has changed."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from fluxless import limits
from fluxless.artifacts.directory import DirectoryStore
from fluxless.artifacts.store import PreconditionFailed
from fluxless.engine import index
from fluxless.engine.directory import Directory, git_key
from fluxless.engine.index import Index, keep, tell_away
from fluxless.engine.reach import Away, ClusterAway
from fluxless.engine.schedule import Schedule
from fluxless.reconcile.records import away_name, directory_name
from fluxless.reconcile.world import Ref, World
from tests.support.counting import CountingStore


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(DirectoryStore(tmp_path))


def world(*repositories: str) -> World:
    objects: dict[Ref, dict[str, Any]] = {}
    for name in repositories:
        ref = Ref("GitRepository", "n", name)
        objects[ref] = {"kind": ref.kind, "metadata": {}, "spec": {"url": f"https://example.org/{name}"}}
    return World(objects, 0.0)


def again(schedule: Schedule) -> Schedule:
    """As the next plan reads it."""
    return Schedule.from_json(json.loads(json.dumps(schedule.to_json())))


async def directory(of: Index, cluster: str) -> Directory | None:
    return await of.directory(cluster, await of.listed())


async def names(of: Index, cluster: str, *repositories: str) -> list[str] | None:
    found = await directory(of, cluster)
    keys = [git_key(f"https://example.org/{name}") for name in repositories]
    return None if found is None else [ref.name for ref in found.having(keys)]


async def test_a_plan_writes_once_and_only_what_is_new(store: CountingStore) -> None:
    schedule = Schedule()
    await keep(store, "c", world("a"), schedule, anew=False)
    assert store.since() == {"put": 1}
    for _ in range(3):
        schedule = again(schedule)
        await keep(store, "c", world("a"), schedule, anew=False)
    assert store.since() == {}
    await keep(store, "c", world("a", "b"), schedule, anew=False)
    assert store.since() == {"put": 1}
    assert await names(Index(store, time.time), "c", "a", "b", "z") == ["a", "b"]


async def test_a_late_plan_writes_over_nothing_newer(store: CountingStore) -> None:
    late = Schedule()
    await keep(store, "c", world("a"), late, anew=False)
    newer = again(late)
    await keep(store, "c", world("a", "b"), newer, anew=False)
    with pytest.raises(PreconditionFailed):
        await keep(store, "c", world("z"), late, anew=False)
    assert await names(Index(store, time.time), "c", "a", "b", "z") == ["a", "b"]
    await keep(store, "c", world("a", "b"), again(newer), anew=True)  # it plans again, and makes sure
    assert await names(Index(store, time.time), "c", "a", "b", "z") == ["a", "b"]


async def test_one_that_was_deleted_is_written_with_the_next_news(store: CountingStore) -> None:
    schedule = Schedule()
    await keep(store, "c", world("a"), schedule, anew=False)
    await store.delete(directory_name("c"))
    assert await names(Index(store, time.time), "c", "a") is None
    with pytest.raises(PreconditionFailed):
        await keep(store, "c", world("b"), schedule, anew=False)
    await keep(store, "c", world("b"), schedule, anew=True)
    assert await names(Index(store, time.time), "c", "b") == ["b"]


async def test_a_hundred_clusters_are_one_list_and_what_has_changed(store: CountingStore) -> None:
    clusters = [f"c-{number}" for number in range(100)]
    schedules = {name: Schedule() for name in clusters}
    for name in clusters:
        await keep(store, name, world("a"), schedules[name], anew=False)
    reading = Index(store, time.time)
    store.since()

    async def webhook() -> int:
        found = await asyncio.gather(*(names(reading, name, "b") for name in clusters))
        return sum(bool(one) for one in found)

    assert await webhook() == 0
    assert store.since() == {"list": 1, "get": 100}
    await keep(store, "c-7", world("a", "b"), schedules["c-7"], anew=False)
    store.since()
    assert await webhook() == 1  # the one that was planned a moment ago
    assert store.since() == {"list": 1, "get": 1}
    assert await webhook() == 1
    assert store.since() == {"list": 1}


async def test_a_storm_of_webhooks_is_a_few_lists(store: CountingStore) -> None:
    await keep(store, "c", world("a"), Schedule(), anew=False)
    reading = Index(store, time.time)
    store.since()
    await asyncio.gather(*(directory(reading, "c") for _ in range(500)))
    assert store.since() == {"list": 1, "get": 1}


async def test_a_cluster_is_away_until_it_is_asked_again(store: CountingStore) -> None:
    now = 1000.0
    reading = Index(store, lambda: now)
    await tell_away(store, "c", Away(2, now + 15.0, "no answer"))
    listed = await reading.listed()
    store.since()
    for _ in range(3):
        with pytest.raises(ClusterAway, match=r"'c' is away; it is asked again in 15 s. It said last: no answer"):
            await reading.refuse_away("c", listed)
    await reading.refuse_away("d", listed)
    assert store.since() == {"get": 1}
    now += 15.0
    await reading.refuse_away("c", listed)


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b'{"away": 1}', b'{"away": [9, 1e15, "poisoned"]}'])
async def test_a_mark_that_is_not_ours_keeps_nobody_away(store: CountingStore, data: bytes) -> None:
    await store.put(away_name("c"), data)
    reading = Index(store, time.time)
    await reading.refuse_away("c", await reading.listed())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"version": 99}', b'{"version": 1, "objects": 3}'])
async def test_what_is_not_understood_counts_as_lost(store: CountingStore, data: bytes) -> None:
    await store.put(directory_name("c"), data)
    assert await directory(Index(store, time.time), "c") is None


async def test_too_large_a_directory_is_not_read(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "DIRECTORY", 300)
    schedule = Schedule()
    await keep(store, "c", world(*"abcdefghij"), schedule, anew=False)
    assert await directory(Index(store, time.time), "c") is None
    await store.put(directory_name("d"), b"{" + b" " * 300 + b"}")
    store.since()
    assert await directory(Index(store, time.time), "d") is None
    assert store.since() == {"list": 1}
    await keep(store, "c", world(*"abcdefghij"), again(schedule), anew=False)
    assert store.since() == {}, "it is told and written once"


def test_ten_thousand_objects_have_room() -> None:
    many = world(*(f"{'n' * 40}-{number}" for number in range(10_000)))
    assert len(json.dumps(Directory.of(many).to_json())) < limits.DIRECTORY

"""Waking a loop that runs: of many workers one raises the events, and each sees to it that a plan comes."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fluxless.artifacts.directory import DirectoryStore
from fluxless.artifacts.store import StoreUnavailable
from fluxless.reconcile.records import wake_name, write_json
from functions import host, names, nudge
from functions.nudge import Mark
from functions.orchestrators import TURNS

BEGUN = "2026-11-28T00:00:00"
START = ("start", {"cluster": "dev", "again": True, "turns": TURNS})


class Loop:
    """A durable client, and the `sync` behind it: a raised event of its turn lets it begin the next."""

    def __init__(self, turn: int = 7, *, hears: bool = True) -> None:
        self.turn, self.hears = turn, hears
        self.begun = BEGUN
        self.state = "Running"
        self.calls: list[Any] = []

    async def get_status(self, instance: str = "sync-dev") -> Any:
        return SimpleNamespace(
            runtime_status=SimpleNamespace(value=self.state),
            last_updated_time=datetime.now(UTC),
            custom_status={"turn": self.turn, "begun": self.begun},
        )

    async def raise_event(self, instance: str, name: str, data: Any) -> None:
        self.calls.append(name)
        if self.hears and name == names.wake_event(self.turn):
            self.turn += 1

    async def start_new(self, name: str, instance: str, given: Any) -> None:
        self.calls.append(("start", given))

    async def news(self) -> None:
        """As `wake` brings them."""
        await nudge.with_news(self, "dev", "sync-dev", await self.get_status())

    async def heard(self) -> None:
        """Until the worker looks no more."""
        await asyncio.wait_for(asyncio.gather(*nudge._following), 10)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    store = DirectoryStore(tmp_path)
    monkeypatch.setattr(host, "engine", lambda: SimpleNamespace(services=SimpleNamespace(store=store)))
    return store


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(nudge, "LOOK_FIRST", 0.02)
    monkeypatch.setattr(nudge, "LOOK_LAST", 1.0)
    nudge._marks.clear()
    yield
    assert not nudge._needed


async def _mark(store: DirectoryStore, turn: int, at: float = 0.0, begun: str = BEGUN) -> None:
    await write_json(store, wake_name("dev"), asdict(Mark(begun, turn, at)))


async def test_news_wake_the_present_wait_and_the_next(store: DirectoryStore) -> None:
    loop = Loop()
    await loop.news()
    assert loop.calls == ["wake-7", "wake-8"]
    await loop.heard()
    assert loop.turn == 9


async def test_many_news_share_one_wake(store: DirectoryStore) -> None:
    loop = Loop(hears=False)
    await asyncio.gather(*(loop.news() for _ in range(50)))
    assert loop.calls == ["wake-7", "wake-8"]
    loop.turn = 9
    await loop.heard()


async def test_what_another_worker_has_undertaken_is_left_to_it(store: DirectoryStore) -> None:
    loop = Loop()
    await _mark(store, 8)
    await loop.news()
    assert loop.calls == []
    loop.turn = 9  # it does
    await loop.heard()
    assert loop.calls == []


async def test_what_it_has_undertaken_in_part_is_done_in_part(store: DirectoryStore) -> None:
    loop = Loop()
    await _mark(store, 7)
    await loop.news()
    assert loop.calls == ["wake-8"]
    loop.turn = 9
    await loop.heard()


async def test_a_worker_that_undertook_it_and_died_is_made_up_for(store: DirectoryStore) -> None:
    loop = Loop()
    await _mark(store, 8)
    await loop.news()
    await loop.heard()
    assert loop.calls == ["wake-7", "wake-8"]


async def test_marks_of_a_former_loop_count_nothing(store: DirectoryStore) -> None:
    loop = Loop(turn=1)
    await _mark(store, 99, begun="2026-11-27T00:00:00")
    await loop.news()
    assert loop.calls == ["wake-1", "wake-2"]
    await loop.heard()


async def test_a_loop_that_ends_without_having_heard_is_begun_anew(store: DirectoryStore) -> None:
    loop = Loop(hears=False)
    await loop.news()
    loop.state = "Completed"
    await loop.heard()
    assert loop.calls == ["wake-7", "wake-8", START]


@pytest.mark.parametrize("change", [{"turn": 9}, {"begun": "2026-11-29T00:00:00", "turn": 1}])
async def test_a_loop_that_ends_with_the_plan_that_was_needed_is_left_alone(
    store: DirectoryStore, change: dict[str, Any]
) -> None:
    loop = Loop(hears=False)
    await loop.news()
    vars(loop).update(change, state="Completed")
    await loop.heard()
    assert START not in loop.calls


async def test_a_new_history_that_has_not_said_its_turn_yet_has_not_heard(store: DirectoryStore) -> None:
    loop = Loop(hears=False)
    await loop.news()
    loop.begun, loop.turn = "", 0
    await asyncio.sleep(0.1)
    assert nudge._needed
    loop.begun, loop.turn = BEGUN, 9
    await loop.heard()


async def test_without_the_store_a_worker_wakes_as_if_it_were_alone(
    monkeypatch: pytest.MonkeyPatch, store: DirectoryStore
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(store, "get", away)
    monkeypatch.setattr(store, "put", away)
    loop = Loop(hears=False)
    await loop.news()
    assert loop.calls == ["wake-7", "wake-8"]
    loop.turn = 9
    await loop.heard()


def test_pauses_grow_in_a_storm_and_are_short_again_after_it() -> None:
    mark, now, pauses = Mark(BEGUN, 1, 0.0), 0.0, []
    for number in range(6):
        now += mark.pause
        mark = mark.following(BEGUN, number, now)
        pauses.append(mark.pause)
    assert pauses == [0.5, 1.0, 2.0, 2.0, 2.0, 2.0]
    assert mark.following(BEGUN, 9, now + 4.1).pause == nudge.NEWS_EVERY
    assert mark.left(now + 0.5) == 1.5
    assert mark.left(now - 1000) == 2.0


async def test_a_loop_of_a_former_release_is_woken_as_that_release_did(store: DirectoryStore) -> None:
    loop = Loop()
    loop.begun = ""
    await loop.news()
    assert loop.calls == ["wake-7", "wake-8"]

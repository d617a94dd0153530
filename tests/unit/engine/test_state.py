"""State is data, not truth: what is malformed, poisoned or of a newer release counts as lost, and is told once."""

from __future__ import annotations

import copy
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluxless.apply.record import AppliedRecord
from fluxless.apply.record import Entry as Applied
from fluxless.artifacts.directory import DirectoryStore
from fluxless.engine.directory import Directory
from fluxless.engine.directory import from_json as directory
from fluxless.engine.metering import RETIRED, Meter
from fluxless.engine.reach import Away
from fluxless.engine.schedule import Entry, Schedule, Turn
from fluxless.helm.memory import Memory as ReleaseMemory
from fluxless.kept import Malformed
from fluxless.kustomize.run import Memory
from fluxless.reconcile.drift_history import history
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.records import HEARTBEAT, heartbeat, read_state, schedule_name
from fluxless.reconcile.world import Ref

NAME = schedule_name("prod")
SCHEDULE = Schedule(
    {Ref("Kustomization", "apps", "web"): Entry(1, "r", "s", 10.0, 2, "b", "r", 5.0, True, "c")},
    f'{"0" * 32} "0x1"',
    Away(2, 3.0, "no answer"),
    Turn("2026-11-28T00:00:00", 7),
    ["b"],
)
DIRECTORY = Directory({"k": [Ref("GitRepository", "apps", "web")]}, {"p": Ref("Receiver", "apps", "push")}, True)
APPLIED = AppliedRecord("i", "r", ("web", "apps"), {"a_b__ConfigMap": Applied("v1", "d", "u", "m", True)}, {"x": "v1"})
CHECK = {
    "first": "t",
    "last": "t",
    "times": 1,
    "mode": "reported",
    "revision": "r",
    "objects": [{"subject": "s", "drift": "changed", "fields": [{"path": "/a", "manager": "m"}]}],
}
Read = Callable[[dict[str, Any]], Any]
KEPT: dict[str, tuple[Read, dict[str, Any]]] = {
    "schedule": (Schedule.from_json, SCHEDULE.to_json()),
    "kustomization": (Memory.from_json, Memory(APPLIED, 3.0, True).to_json()),
    "release": (
        ReleaseMemory.from_json,
        ReleaseMemory(1, True, 2.0, "install", "s", 3.0, 4, 5.0, APPLIED).to_json(),
    ),
    "heartbeat": (heartbeat, {"at": 1.0, "tidied": 2.0}),
    "directory": (directory, DIRECTORY.to_json()),
    "drift": (history, {"checks": [CHECK]}),
}
ODD: tuple[Any, ...] = (None, True, -1, 1.5, float("inf"), float("nan"), "", "x", [], [[]], {}, {"x": {}}, 10**400)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def changed(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    found = copy.deepcopy(document)
    at: Any = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return found


@pytest.mark.parametrize("kind", KEPT)
def test_what_was_kept_is_read(kind: str) -> None:
    read, document = KEPT[kind]
    found = read(json.loads(json.dumps(document)))
    kept = found.to_json() if hasattr(found, "to_json") else found
    assert kept in (document, (1.0, 2.0), [CHECK])


@pytest.mark.parametrize("kind", KEPT)
def test_no_field_of_another_kind_is_taken(kind: str) -> None:
    """Whatever stands in any place, the document is either read into what it was made of or refused as malformed."""
    read, document = KEPT[kind]
    refused = 0
    for path in places(document):
        for value in ODD if path else ():
            try:
                found = read(changed(document, path, value))
            except ValueError:
                refused += 1
                continue
            again = found.to_json() if hasattr(found, "to_json") else found
            assert json.loads(json.dumps(again)) is not None
    assert refused > len(places(document)), kind


@pytest.mark.parametrize(
    "document",
    [
        {"version": 2, "entries": {}},
        {"version": 1},
        {"version": 1, "entries": []},
        {"version": 1, "entries": {"no-reference": SCHEDULE.to_json()["entries"]["Kustomization/apps/web"]}},
        {"version": 1, "entries": {"Kustomization/apps/web": [*([0] * 10), "a field of a newer release"]}},
        {"version": 1, "entries": {"Kustomization/apps/web": ["one", "", "", None, 0, "", "", 0.0, 0]}},
        {"version": 1, "entries": {"Kustomization/apps/web": [1, "", "", "soon", 0, "", "", 0.0, 0]}},
        {"version": 1, "entries": {"Kustomization/apps/web": {"generation": 1}}},
        {"version": 1, "entries": {}, "index": "0"},
        {"version": 1, "entries": {}, "away": [1, 2.0]},
        {"version": 1, "entries": {}, "away": [1, "soon", ""]},
        {"version": 1, "entries": {}, "index": "0" * 32 + " a\r\nb: c"},
    ],
)
async def test_a_schedule_that_is_not_ours_is_lost(store: DirectoryStore, document: dict[str, Any]) -> None:
    await store.put(NAME, json.dumps(document).encode())
    found, etag = await read_state(store, NAME, Schedule.from_json)
    assert found == Schedule()
    assert etag is not None  # the next plan writes over it


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a": ' * 50_000]
)
async def test_what_is_no_document_is_lost(store: DirectoryStore, data: bytes) -> None:
    await store.put(NAME, data)
    assert (await read_state(store, NAME, Schedule.from_json))[0] == Schedule()


async def test_a_loss_is_told_once_for_every_content(store: DirectoryStore, caplog: pytest.LogCaptureFixture) -> None:
    name = "state/told-once/schedule.json"
    with caplog.at_level(logging.ERROR):
        for data in (b"{", b"{", b"[1]"):
            await store.put(name, data)
            for _ in range(3):
                await read_state(store, name, Schedule.from_json)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert all(f"alert=state-lost blob={name} " in text for text in told)


async def test_an_absent_document_is_no_loss(store: DirectoryStore, caplog: pytest.LogCaptureFixture) -> None:
    assert (await read_state(store, NAME, Schedule.from_json)) == (Schedule(), None)
    assert caplog.records == []


@pytest.mark.parametrize("data", [[], ["z"], ["r", "soon"], "r", None, {}, [1, 2], ["r", True]])
def test_an_outcome_of_another_release_is_refused(data: Any) -> None:
    with pytest.raises((Malformed, ValueError), match=r"."):
        Outcome.from_json(data)


def test_an_outcome_comes_back() -> None:
    assert Outcome.from_json(Outcome(State.WAITING, 1.25).to_json()) == Outcome(State.WAITING, 1.25)


async def test_counts_of_another_release_are_left_out(store: DirectoryStore) -> None:
    meter = Meter(store, lambda: 100.0)
    await store.put("state/metrics/a.json", json.dumps({"at": 99, "counted": {"x": [["y"]]}}).encode())
    await store.put("state/metrics/b.json", json.dumps({"at": "now", "counted": {}}).encode())
    await store.put(RETIRED, json.dumps({"counted": [], "merged": [{}]}).encode())
    assert (await meter.total()).counted == {}
    await meter.retire(set())


async def test_random_bytes_never_stop_a_plan(store: DirectoryStore) -> None:
    chance, whole = random.Random(7), json.dumps(SCHEDULE.to_json()).encode()
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        await store.put(NAME, bytes(data))
        found, _ = await read_state(store, NAME, Schedule.from_json)
        assert isinstance(found, Schedule)
        found.settle("b", [Outcome(State.READY, 1.0)])


def test_a_malformed_field_is_a_value_error() -> None:
    assert issubclass(Malformed, ValueError)


async def test_the_heartbeat_of_another_release_is_none(store: DirectoryStore) -> None:
    await store.put(HEARTBEAT, b'{"at": "12:00"}')
    assert (await read_state(store, HEARTBEAT, heartbeat))[0] == (float("-inf"), 0.0)

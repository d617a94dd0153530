"""Lets the intervals of all objects of a kind pass at once, by the schedule that the app keeps in its store."""

from __future__ import annotations

import asyncio
import time

from fluxless.artifacts.blob import AzureStore
from fluxless.engine.schedule import Entry, Schedule
from fluxless.reconcile.records import read_state, schedule_name, write_json
from tools.bench.work import LIMIT


async def interval_pass(connection: str, kind: str) -> None:
    """Until the plan has settled the checks."""
    store = AzureStore.from_connection_string(connection, "fluxless")
    try:
        name = schedule_name("dev")
        schedule, etag = await read_state(store, name, Schedule.from_json)
        past = time.time() - 1
        for entry in _entries(schedule, kind):
            entry.next = past
        await write_json(store, name, schedule.to_json(), if_match=etag)
        async with asyncio.timeout(LIMIT):
            while _still_due(  # noqa: ASYNC110 -- blobs set no event
                (await read_state(store, name, Schedule.from_json))[0], kind, past
            ):
                await asyncio.sleep(0.2)
    finally:
        await store.close()


def _entries(schedule: Schedule, kind: str) -> list[Entry]:
    return [entry for ref, entry in schedule.entries.items() if ref.kind == kind]


def _still_due(schedule: Schedule, kind: str, moment: float) -> bool:
    return any(entry.next is None or entry.next <= moment + 1 for entry in _entries(schedule, kind))

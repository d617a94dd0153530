"""Lets the intervals of all objects of a kind pass at once, by the schedule that the app keeps in its store."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fluxless.artifacts.blob import AzureStore
from fluxless.reconcile.records import read_json, schedule_name, write_json
from tools.bench.work import LIMIT


async def interval_pass(connection: str, kind: str) -> None:
    """Until the plan has settled the checks."""
    store = AzureStore.from_connection_string(connection, "fluxless")
    try:
        name = schedule_name("dev")
        document, etag = await read_json(store, name)
        past = time.time() - 1
        for entry in _entries(document, kind):
            entry[3] = past  # Entry.next
        await write_json(store, name, document, if_match=etag)
        async with asyncio.timeout(LIMIT):
            while _still_due(  # noqa: ASYNC110 -- blobs set no event
                document := (await read_json(store, name))[0], kind, past
            ):
                await asyncio.sleep(0.2)
    finally:
        await store.close()


def _entries(document: dict[str, Any], kind: str) -> list[list[Any]]:
    return [entry for ref, entry in document["entries"].items() if ref.startswith(f"{kind}/")]


def _still_due(document: dict[str, Any], kind: str, moment: float) -> bool:
    return any(entry[3] is None or entry[3] <= moment + 1 for entry in _entries(document, kind))

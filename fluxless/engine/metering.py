"""What all workers of the app have counted: each keeps its own numbers in the store, and whoever asks adds them up.

1. A worker writes its document a while after something was counted, at most every `EVERY` seconds, and nobody else
   writes it. One that has been silent for `NEW_AFTER` begins a new document, counting from nothing.
2. Documents that nobody can be writing any more are added to one of the retired by the housekeeping, which notes whose
   numbers it has before it deletes them: no reader ever counts them twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluxless import metrics
from fluxless.api.failure import Problem
from fluxless.artifacts.store import PreconditionFailed, Store
from fluxless.kept import listed, mapping, number, text
from fluxless.metrics import Series
from fluxless.reconcile import records

log = logging.getLogger("fluxless.engine")
EVERY = 15.0
"""Seconds between two writes."""
NEW_AFTER = 1800.0
RETIRED_AFTER = 3600.0
"""Seconds since its last write: well after its worker would have begun another."""
ALIVE = 300.0
"""Seconds since its last write for which a worker is taken to be there."""
FOLDER = "state/metrics/"
RETIRED = "state/metrics-retired.json"


@dataclass(frozen=True, slots=True)
class Total:
    """`counted` by metric; `workers` are the gauges of those that are there, by the name of the worker."""

    counted: dict[str, Series]
    workers: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A document: what was counted, when it was written (seconds since the epoch), the gauges of its worker, and whose
    numbers are in it already.
    """

    counted: dict[str, Series]
    at: float
    gauges: dict[str, float]
    merged: list[str]

    @classmethod
    def read(cls, document: dict[str, Any]) -> _Kept:
        """Raises `Malformed`."""
        return cls(
            metrics.from_json(document.get("counted", {})),
            number(document.get("at", 0)),
            {name: number(value) for name, value in mapping(document.get("gauges", {})).items()},
            [text(name) for name in listed(document.get("merged", []))],
        )


class Meter:
    """The numbers of this worker. `clock` gives seconds since the epoch."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._name = ""
        self._written = float("-inf")
        self._counted: metrics.Document = {}
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    def touch(self) -> None:
        """Something was counted: see to it that it is written soon."""
        if not self._closed and (self._writing is None or self._writing.done()):
            self._writing = asyncio.get_running_loop().create_task(self._later())

    async def _later(self) -> None:
        await asyncio.sleep(EVERY)
        await self.flush()

    async def flush(self) -> None:
        """Write. What cannot be written now is written the next time: numbers only grow."""
        now = self._clock()
        if self._name and now - self._written > NEW_AFTER:
            self._name = ""
            metrics.forget(self._counted)
        if not self._name:
            self._name = f"{int(now):x}-{secrets.token_hex(4)}"
        counted = metrics.snapshot()
        document = {"at": now, "counted": counted, "gauges": _process() | metrics.gauges}
        try:
            await records.write_json(self._store, f"{FOLDER}{self._name}.json", document)
            self._written, self._counted = now, counted
        except Problem as problem:
            log.warning("metrics not kept: %s", problem)

    async def close(self) -> None:
        """Write what is left; what is counted from now on is not written any more."""
        self._closed = True
        if self._writing is not None and not self._writing.done():
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
            await self.flush()

    async def total(self) -> Total:
        """Of all workers, as they were written last. Raises `StoreUnavailable`."""
        retired, _ = await records.read_state(self._store, RETIRED, _Kept.read)
        found = await self._documents()
        documents = {name: document for name, document in found.items() if name not in retired.merged}
        now = self._clock()
        alive = {name: document.gauges for name, document in documents.items() if now - document.at < ALIVE}
        return Total(metrics.total(document.counted for document in (retired, *documents.values())), alive)

    async def retire(self, objects: Collection[metrics.Labels]) -> None:
        """Add up the documents of workers that are no more. Of objects, only those given (as values of
        `metrics.OBJECT`) are kept. Raises `StoreUnavailable`.
        """
        retired, etag = await records.read_state(self._store, RETIRED, _Kept.read)
        documents = await self._documents()
        gone = {name for name, one in documents.items() if self._clock() - one.at > RETIRED_AFTER}
        if not gone:
            return
        counted = metrics.total([retired.counted, *(documents[name].counted for name in gone - set(retired.merged))])
        per_object = metrics.RECONCILE_DURATION.name
        if per_object in counted:
            counted[per_object] = {key: numbers for key, numbers in counted[per_object].items() if key in objects}
        document = {"counted": metrics.to_json(counted), "merged": sorted(gone)}
        try:
            await records.write_json(self._store, RETIRED, document, if_match=etag, only_if_absent=etag is None)
        except PreconditionFailed:
            return  # another heartbeat is at it
        await asyncio.gather(*(self._store.delete(f"{FOLDER}{name}.json") for name in gone))

    async def _documents(self) -> dict[str, _Kept]:
        names = [blob.name async for blob in self._store.list(FOLDER)]
        found = await asyncio.gather(*(records.read_state(self._store, name, _Kept.read) for name in names))
        return {
            name.removeprefix(FOLDER).removesuffix(".json"): document
            for name, (document, etag) in zip(names, found, strict=True)
            if etag is not None
        }


def _process() -> dict[str, float]:
    """This worker's own use of the machine."""
    known = {"process_cpu_seconds_total": round(time.process_time(), 2)}
    with contextlib.suppress(OSError):  # only Linux tells
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        known["process_resident_memory_bytes"] = float(pages * mmap.PAGESIZE)
    return known

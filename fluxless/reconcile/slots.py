"""How many objects a worker works on at the same time: more would only make each of them take longer.

Every cluster has slots of its own, and in it every namespace its share, so that one that does not answer holds up no
other; and what has failed before gets only some of them, so that it holds up nothing that is well. A cluster's slots
are for all workers together: who shares them with others has a part (`engine/shares.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar

from fluxless.fair_slots import FairSlots, tenant
from fluxless.limits import CLUSTER_SLOTS, FAILING_SLOTS, WORKER_SLOTS

_held: ContextVar[tuple[tuple[FairSlots, str], ...]] = ContextVar("held", default=())


class Slots:
    """A slot is taken for one object; while the object only waits, it is given back."""

    def __init__(self, each: int = CLUSTER_SLOTS, failing: int = FAILING_SLOTS, everything: int = WORKER_SLOTS) -> None:
        self._each, self._few = each, failing
        self._clusters: dict[str, FairSlots] = {}
        self._failing: dict[str, FairSlots] = {}
        self._all = FairSlots(everything)

    def share(self, cluster: str, workers: int) -> None:
        """So many workers work on a cluster, this one included: it has its part of the slots, one at least."""
        for slots, total in ((self._clusters, self._each), (self._failing, self._few)):
            if cluster in slots:
                slots[cluster].resize(max(1, total // workers))

    def total(self, cluster: str) -> int:
        """The slots that this worker has for a cluster."""
        return self._clusters[cluster].total if cluster in self._clusters else self._each

    @contextlib.asynccontextmanager
    async def taken(self, cluster: str, namespace: str = "", *, failing: bool = False) -> AsyncIterator[None]:
        """Hold a slot; `failing`: the object has failed before. What runs meanwhile is the work of the namespace."""
        whose = f"{cluster}/{namespace}"
        own = self._clusters.setdefault(cluster, FairSlots(self._each))
        few = self._failing.setdefault(cluster, FairSlots(self._few))
        wanted = (*([(few, whose)] if failing else []), (own, whose), (self._all, cluster))
        async with contextlib.AsyncExitStack() as stack:
            for slots, who in wanted:
                await stack.enter_async_context(slots.taken(who))
            held, worked_for = _held.set(wanted), tenant.set(whose)
            try:
                yield
            finally:
                tenant.reset(worked_for)
                _held.reset(held)


@contextlib.asynccontextmanager
async def given_back() -> AsyncIterator[None]:
    """Let others have the slot that is held, if one is."""
    held = _held.get()
    for slots, who in held:
        slots.release(who)
    try:
        yield
    finally:
        left = list(held)
        try:
            while left:
                await left[0][0].acquire(left[0][1])
                del left[0]
        finally:
            for slots, who in left:
                slots.take(who)

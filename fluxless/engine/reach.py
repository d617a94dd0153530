"""Which clusters are away, and when is one asked again? In a worker's memory only: losing it costs one attempt.

A cluster that does not answer costs its plans their time limit. So after a few failures it is left alone for a while
that doubles, and then asked for a sign of life within seconds before anything else is tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.kube.client import Cluster
from fluxless.kube.errors import Unreachable

log = logging.getLogger("fluxless.engine")
TOLERATED = 2
"""Failures in a row after which a cluster counts as away."""
FIRST_PAUSE = 15.0
LONGEST_PAUSE = 120.0
SIGN_OF_LIFE_WITHIN = 4.0
"""Seconds."""


class ClusterAway(Problem):
    """The cluster did not answer lately; nothing was sent to it now."""

    def __init__(self, name: str, seconds: float, why: str) -> None:
        text = f"cluster {name!r} is away; it is asked again in {seconds:.0f} s. It said last: {why}"
        step = "check that the cluster runs and that the app can reach its address"
        super().__init__(Failure(FailureClass.INTERNAL, text, next_step=step))


@dataclass(slots=True)
class _Known:
    failures: int = 0
    until: float = 0.0
    why: str = ""


class Reach:
    """`clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}

    @contextlib.asynccontextmanager
    async def asking(self, name: str, connect: Callable[[str], Awaitable[Cluster]]) -> AsyncIterator[None]:
        """Around whatever needs the cluster's answer. Raises `ClusterAway` while it is left alone."""
        self.refuse_away(name)
        known = self._known.setdefault(name, _Known())
        try:
            cluster = await connect(name)
            if known.failures:
                await _sign_of_life(cluster)
            yield
        except Problem as problem:
            if isinstance(problem, Unreachable) or known.failures >= TOLERATED:
                self._note(name, known, str(problem.failures[0].message))
            raise
        if known.failures >= TOLERATED:
            log.warning("cluster=%s answers again", name)
        known.failures, known.until = 0, 0.0

    def refuse_away(self, name: str) -> None:
        """Raises `ClusterAway` while the cluster is left alone."""
        known = self._known.get(name, _Known())
        left = known.until - self._clock()
        if known.failures >= TOLERATED and left > 0:
            raise ClusterAway(name, left, known.why)

    def _note(self, name: str, known: _Known, why: str) -> None:
        known.failures += 1
        known.why = why
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** max(0, known.failures - TOLERATED))
        known.until = self._clock() + pause
        if known.failures == TOLERATED:
            log.error("cluster=%s alert=cluster-unreachable %s", name, why)


async def _sign_of_life(cluster: Cluster) -> None:
    try:
        async with asyncio.timeout(SIGN_OF_LIFE_WITHIN):
            await cluster.request("GET", "/version")
    except TimeoutError:
        raise Unreachable(f"cluster {cluster.name!r}: no answer within {SIGN_OF_LIFE_WITHIN:.0f} s") from None

"""Which clusters are away, and when is one asked again? It stands in the cluster's schedule, so that what one worker
has found out holds for all; losing it costs one attempt.

A cluster that does not answer costs its plans their time limit. So after a few failures it is left alone for a while
that doubles, and then asked for a sign of life within seconds before anything else is tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.kept import Malformed, listed, number, text, whole
from fluxless.kube.client import Cluster
from fluxless.kube.errors import Unreachable

log = logging.getLogger("fluxless.engine")
TOLERATED = 2
"""Failures in a row after which a cluster counts as away."""
FIRST_PAUSE = 15.0
LONGEST_PAUSE = 120.0
SIGN_OF_LIFE_WITHIN = 4.0
"""Seconds."""
WORDS = 500
"""Characters of what was said that are kept."""


class ClusterAway(Problem):
    """The cluster did not answer lately; nothing was sent to it now."""

    def __init__(self, name: str, seconds: float, why: str) -> None:
        text = f"cluster {name!r} is away; it is asked again in {seconds:.0f} s. It said last: {why}"
        step = "check that the cluster runs and that the app can reach its address"
        super().__init__(Failure(FailureClass.INTERNAL, text, next_step=step))


@dataclass(frozen=True, slots=True)
class Away:
    """Failures in a row, the time (seconds since the epoch) until which nothing is asked, and what was said last."""

    failures: int
    until: float
    why: str

    def to_json(self) -> list[Any]:
        """As the schedule keeps it."""
        return [self.failures, round(self.until, 3), self.why]

    @classmethod
    def from_json(cls, data: Any) -> Away:
        """The reverse of `to_json`. Raises `Malformed`."""
        fields = listed(data)
        if len(fields) != 3:
            raise Malformed(f"{len(fields)} fields instead of 3")
        return cls(whole(fields[0]), number(fields[1]), text(fields[2]))

    @property
    def left_alone(self) -> bool:
        """Whether it has failed often enough for that."""
        return self.failures >= TOLERATED

    def refuse(self, name: str, now: float) -> None:
        """Raises `ClusterAway` while it is left alone. No pause of ours is longer than the longest."""
        left = self.until - now
        if self.left_alone and 0 < left <= LONGEST_PAUSE:
            raise ClusterAway(name, left, self.why)


class Reach:
    """What this worker knows of all clusters. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, Away] = {}

    def learn(self, name: str, away: Away | None) -> None:
        """What all workers know of a cluster, from its schedule; None: it answers."""
        if away is None:
            self._known.pop(name, None)
        else:
            self._known[name] = away

    def known(self, name: str) -> Away | None:
        """What the schedule is to keep."""
        return self._known.get(name)

    @contextlib.asynccontextmanager
    async def asking(self, name: str, connect: Callable[[str], Awaitable[Cluster]]) -> AsyncIterator[None]:
        """Around whatever needs the cluster's answer. Raises `ClusterAway` while it is left alone."""
        self.refuse_away(name)
        known = self._known.get(name)
        try:
            cluster = await connect(name)
            if known is not None:
                await _sign_of_life(cluster)
            yield
        except Problem as problem:
            if isinstance(problem, Unreachable) or (known is not None and known.left_alone):
                self._note(name, 1 if known is None else known.failures + 1, str(problem.failures[0].message))
            raise
        if known is not None and known.left_alone:
            log.warning("cluster=%s answers again", name)
        self.learn(name, None)

    def refuse_away(self, name: str) -> None:
        """Raises `ClusterAway` while the cluster is left alone."""
        if (known := self._known.get(name)) is not None:
            known.refuse(name, self._clock())

    def _note(self, name: str, failures: int, why: str) -> None:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(10, max(0, failures - TOLERATED)))
        self._known[name] = Away(failures, self._clock() + pause, why[:WORDS])
        if failures == TOLERATED:
            log.error("cluster=%s alert=cluster-unreachable %s", name, why)


async def _sign_of_life(cluster: Cluster) -> None:
    try:
        async with asyncio.timeout(SIGN_OF_LIFE_WITHIN):
            await cluster.request("GET", "/version")
    except TimeoutError:
        raise Unreachable(f"cluster {cluster.name!r}: no answer within {SIGN_OF_LIFE_WITHIN:.0f} s") from None

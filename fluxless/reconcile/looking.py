"""A short look at what has to become ready, inside a step: what takes longer is a durable wait (KC-93)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from fluxless.apply.health import Look, Target, look
from fluxless.apply.objects import KubeObject
from fluxless.reconcile.judgement import Judge
from fluxless.reconcile.target import TargetRun

FIRST_PAUSE = 0.3
"""Seconds before the second look; every further pause is twice as long."""
LONGEST_PAUSE = 1.0
"""Seconds between two looks inside a step."""


async def look_for_a_while(
    run: TargetRun,
    targets: Iterable[Target],
    judge: Callable[[], Judge],
    *,
    known: Mapping[str, KubeObject],
    fleeting: Iterable[str] = (),
    say: Callable[[], None],
) -> Look:
    """Look until all is well, something has failed, or the step has waited long enough. `judge` makes one
    for each look. `known`, `fleeting` as in
    `apply.health.look`; `say` tells of the wait when there is one. Raises `ApiProblem`.
    """
    listed, passing = list(targets), set(fleeting)

    def look_once(**more: Any) -> Awaitable[Look]:
        return look(run.census, listed, fleeting=passing, judge=judge(), **more)

    asked = run.services.clock()
    found = await look_once(known=known)  # the census of a step is never older than its survey
    if is_over(run, found):
        return found
    say()
    pause, until = FIRST_PAUSE, run.services.clock() + run.services.settings.health_inline
    while not is_over(run, found) and run.services.clock() < until:
        await run.rest(pause)
        # Looks of other steps that began after our last one count for us as well: one LIST serves all who wait.
        found, asked = await look_once(since=asked + pause / 2), run.services.clock()
        pause = min(LONGEST_PAUSE, pause * 2)
    return found


def is_over(run: TargetRun, found: Look) -> bool:
    """Whether looking on cannot change what is to be said; with `fail_fast` the first failed object ends the check."""
    return not found.pending or (bool(found.failed) and run.services.settings.fail_fast)

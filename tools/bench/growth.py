"""What a plan, a check, a look at a source and a commit take by the number of applications: what `fluxless cost`
reckons with. Everything is woken by hand, so that no tick of the timer is counted in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import aiohttp

from tools import environment
from tools.bench.idle import Invocations, invocations, periods
from tools.bench.interval import interval_pass
from tools.bench.meter import Meter
from tools.bench.work import OBJECTS, Work
from tools.demo import push
from tools.sample import Repository

SIZES = (1, 25, 100, 250)
"""Applications over one source; 250 is the largest batch of checks."""
ROUNDS = 5
SETTLED = 4.0
"""Seconds after which nothing more is under way."""
TIMER = "0 0 * * * *"
"""Of the app: practically never."""


class Growth:
    """The measurements over one environment."""

    def __init__(self, env: environment.Environment, work: Work, meter: Meter, repository: Repository) -> None:
        self._env = env
        self._work = work
        self._meter = meter
        self._repository = repository

    async def measure(self) -> None:
        """All sizes one after the other on the same cluster."""
        for size in SIZES:
            await self._woken(self._work.create(size))
            await asyncio.sleep(SETTLED)
            await self._one(size)

    async def _one(self, size: int) -> None:
        """Plans are all that a wake with nothing to do leads to, and one batch what an interval leads to."""
        before = await invocations(self._env)
        for _ in range(ROUNDS):
            await self._wake()
            await asyncio.sleep(1.0)
        self._mean("plan", size, before, await invocations(self._env))
        for name, kind in (("check", "Kustomization"), ("look", "GitRepository")):
            before = await invocations(self._env)
            for _ in range(ROUNDS):
                await self._woken(interval_pass(self._env.blob_connection, kind))
            await asyncio.sleep(SETTLED)
            self._mean("reconcile", size, before, await invocations(self._env), called=name)
        before, known = await invocations(self._env), await self._all_periods()
        for number in range(ROUNDS):
            await self._commit(size, f"{size}-{number}")
        busy = _covered(await self._all_periods() - known) / ROUNDS
        self._commits(size, busy, before, await invocations(self._env))

    async def _commit(self, size: int, release: str) -> None:
        self._repository.write("podinfo/objects.yaml", OBJECTS.replace('release: "1"', f'release: "{release}"'))
        commit = self._repository.commit("A change")
        await push(self._env, "bench")
        await self._work.all_ready(size, revision=commit)
        await asyncio.sleep(SETTLED)

    def _mean(self, function: str, size: int, before: Invocations, after: Invocations, called: str = "") -> None:
        count, seconds = _since(function, before, after)
        name = called or function
        self._meter.note(f"{name} at {size}", f"{seconds / count * 1000:.1f} ms", f"mean of {count}")

    def _commits(self, size: int, busy: float, before: Invocations, after: Invocations) -> None:
        """`busy` are the seconds of a commit in which anything was executed: batches overlap."""
        spent = {name: _since(name, before, after) for name in sorted(after)}
        each = {name: (count / ROUNDS, seconds / ROUNDS) for name, (count, seconds) in spent.items() if count}
        text = ", ".join(f"{count:.1f} {name} {seconds * 1000:.0f} ms" for name, (count, seconds) in each.items())
        self._meter.note(f"commit for {size}", f"{busy * 1000:.0f} ms", text)

    async def _all_periods(self) -> set[tuple[float, float]]:
        return {period for spent in (await periods(self._env)).values() for period in spent}

    async def _woken(self, work: Awaitable[None]) -> None:
        """Wake the app each second until the work is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await self._wake()
            await asyncio.wait({task}, timeout=1.0)
        await task

    async def _wake(self) -> None:
        headers, url = {"x-functions-key": self._env.functions_key}, f"{self._env.functions_url}/api/sync"
        async with aiohttp.ClientSession() as http, http.post(url, headers=headers) as answer:
            answer.raise_for_status()


def _since(function: str, before: Invocations, after: Invocations) -> tuple[int, float]:
    count, seconds, _ = after.get(function, (0, 0.0, 0.0))
    earlier, spent, _ = before.get(function, (0, 0.0, 0.0))
    return count - earlier, seconds - spent


def _covered(spent: set[tuple[float, float]]) -> float:
    """Seconds of the clock that lie in at least one of the periods."""
    total, end = 0.0, float("-inf")
    for began, seconds in sorted(spent):
        total += max(0.0, began + seconds - max(began, end))
        end = max(end, began + seconds)
    return total

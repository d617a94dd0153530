"""An hour in which nothing happens: 100 applications at an interval of ten minutes, the timer as it is by default.

What every function costs while nobody pushes, from ten real minutes; the rest of the hour is five times the same.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import aiohttp

from fluxless.cli.costs import billed
from tools import environment
from tools.bench.meter import Meter
from tools.bench.work import Work

APPLICATIONS = 100
INTERVAL = 600.0
"""Seconds: each object's interval passes once in the measurement."""
SETTLED = 45.0
"""Seconds after which only the timer has something to do."""
Invocations = Mapping[str, tuple[int, float, float]]
"""Number, seconds, and seconds as Flex Consumption bills them if none overlaps another, by function."""


async def measure(env: environment.Environment, work: Work, meter: Meter) -> None:
    """Create the applications, wait, and note what an interval cost."""
    await work.create(APPLICATIONS, source="10m", interval="10m")
    await asyncio.sleep(SETTLED)
    before, blobs, requests = await invocations(env), await _blobs(env), await meter.read()
    await asyncio.sleep(INTERVAL)
    after, hours = await invocations(env), 3600.0 / INTERVAL
    total = raw = bill = 0.0
    for name in sorted(after):
        known = before.get(name, (0, 0.0, 0.0))
        count, seconds, paid = (new - old for new, old in zip(after[name], known, strict=True))
        if count:
            each = seconds / count
            meter.note(f"idle hour, {name}", f"{count * hours:.0f} × {each * 1000:.1f} ms = {seconds * hours:.1f} s")
        total, raw, bill = total + count * hours, raw + seconds * hours, bill + paid * hours
    meter.note("idle hour, function time", f"{raw:.1f} s", "at most 60 s were asked")
    meter.note("idle hour, executions", f"{total:.0f}", f"{bill:.0f} s at a second each at least, none overlapping")
    spent = sum(((await meter.read()).requests - requests.requests).values())
    meter.note("idle hour, requests to the API server", f"{spent * hours:.0f}")
    meter.note("idle hour, requests to Blob", f"{(await _blobs(env) - blobs) * hours:.0f}")


async def invocations(env: environment.Environment) -> Invocations:
    """Of all functions since the host has started."""
    found = await periods(env)
    times = {name: [seconds for _, seconds in spent] for name, spent in found.items()}
    return {name: (len(spent), sum(spent), sum(billed(seconds) for seconds in spent)) for name, spent in times.items()}


async def periods(env: environment.Environment) -> dict[str, list[tuple[float, float]]]:
    """When invocations began, on a clock of the host, and their seconds, by function."""
    async with aiohttp.ClientSession() as http, http.get(f"{env.functions_url}/admin/invocations") as answer:
        found = await answer.json()
    return {name: [(began, seconds) for began, seconds in times] for name, times in found.items()}


async def _blobs(env: environment.Environment) -> float:
    """As the workers had counted them a few seconds ago."""
    headers = {"x-functions-key": env.functions_key}
    async with aiohttp.ClientSession() as http, http.get(f"{env.functions_url}/api/metrics", headers=headers) as answer:
        text = await answer.text()
    return sum(map(float, re.findall(r"^fluxless_store_requests_total\{[^}]*\} (\S+)", text, re.MULTILINE)))

"""Time, requests, CPU and memory of a piece of work. Requests are the API server's own count, everybody's included."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

out = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Reading:
    """The API server's counters and the workers' at one moment."""

    requests: Counter[str]
    server_cpu: float
    worker_cpu: float


@dataclass(slots=True)
class Children:
    """The memory of the processes that workers start, in MiB: of the largest one, and the most of all together."""

    largest: int = 0
    together: int = 0

    def look(self, workers: list[psutil.Process]) -> None:
        """Now."""
        sizes = []
        for worker in workers:
            for child in worker.children():
                with contextlib.suppress(psutil.Error):
                    sizes.append(child.memory_info().rss >> 20)
        self.largest = max([self.largest, *sizes])
        self.together = max(self.together, sum(sizes))


class Meter:
    """`workers` are the processes that reconcile; `beside` are (seconds, requests) of Flux by name and size."""

    def __init__(
        self, kubeconfig: Path, workers: list[psutil.Process], beside: dict[tuple[str, int], tuple[float, int]]
    ) -> None:
        self._kubeconfig = kubeconfig
        self._workers = workers
        self._beside = beside
        self.rows: list[str] = []

    async def read(self) -> Reading:
        """Now."""
        text = await self._metrics()
        requests: Counter[str] = Counter()
        for labels, value in re.findall(r"^apiserver_request_total\{([^}]*)\} (\S+)", text, re.MULTILINE):
            known = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if known["verb"] != "WATCH":
                requests[known["verb"] + (" (dry)" if known.get("dry_run") else "")] += int(float(value))
        cpu = re.search(r"^process_cpu_seconds_total (\S+)", text, re.MULTILINE)
        times = [worker.cpu_times() for worker in self._workers]
        return Reading(requests, float(cpu[1]) if cpu else 0.0, sum(each.user + each.system for each in times))

    async def _metrics(self) -> str:
        import aiohttp

        config = json.loads(self._kubeconfig.read_text())
        token, server = config["users"][0]["user"]["token"], config["clusters"][0]["cluster"]["server"]
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as http, http.get(f"{server}/metrics", headers=headers, ssl=False) as answer:
            return await answer.text()

    def memory(self) -> int:
        """MiB of the workers."""
        return int(sum(worker.memory_info().rss for worker in self._workers)) >> 20

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[Children]:
        """Look at what the workers have started, ten times a second."""
        seen = Children()

        async def watch() -> None:
            while True:
                seen.look(self._workers)
                await asyncio.sleep(0.1)

        task = asyncio.create_task(watch())
        try:
            yield seen
        finally:
            task.cancel()

    async def measure(self, name: str, size: int, work: Callable[[], Awaitable[None]]) -> tuple[float, int]:
        """Run it and print what it took; (seconds, requests)."""
        before, began = await self.read(), time.monotonic()
        async with self._watching() as seen:
            await work()
        seconds = time.monotonic() - began
        after = await self.read()
        difference = after.requests - before.requests
        total = sum(difference.values())
        verbs = ", ".join(f"{verb} {count}" for verb, count in sorted(difference.items()))
        known = self._beside.get((name, size))
        versus = ""
        if known is not None:
            versus = f"{seconds / known[0]:.2f} of Flux's time"
            versus += f", {total / known[1]:.2f} of its requests" if known[1] else ""
        out.print(f"{name} {size}: {seconds:.2f} s, {total} requests ({verbs}); {versus}")
        out.print(
            f"    API server CPU {after.server_cpu - before.server_cpu:.1f} s, worker CPU "
            f"{after.worker_cpu - before.worker_cpu:.1f} s, worker memory {self.memory()} MiB"
        )
        if seen.together:
            out.print(f"    processes that it started: the largest {seen.largest} MiB, {seen.together} MiB together")
        self.rows.append(f"| {name} {size} | {seconds:.2f} s | {total} | {self.memory()} MiB | {versus} |")
        return seconds, total

    def note(self, name: str, value: str, beside: str = "") -> None:
        """A row of its own."""
        out.print(f"{name}: {value} {beside}".rstrip())
        self.rows.append(f"| {name} | {value} | | | {beside} |")

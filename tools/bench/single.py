"""One cluster: creation, forced no-ops, drift passes, a chain, a webhook, many objects, Kustomizations that fail."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from tools import environment
from tools.bench.interval import interval_pass
from tools.bench.meter import Meter
from tools.bench.work import NAMESPACE, OBJECTS, Work, kustomization
from tools.demo import push
from tools.sample import Repository

FLUX = {
    ("create", 100): (22.7, 7385),
    ("create", 500): (109.7, 24932),
    ("no-op", 100): (14.5, 2856),
    ("no-op", 500): (88.1, 14217),
    ("chain", 10): (271.7, 0),
}
"""Seconds and requests of Flux 2.9, measured once for this project: what docs/benchmarks.md compares with."""
SETTLED = 4.0
"""Seconds after which the controllers and the app have nothing more to do."""


class Single:
    """The measurements over one environment."""

    def __init__(self, env: environment.Environment, work: Work, meter: Meter, repository: Repository) -> None:
        self.env = env
        self.work = work
        self.meter = meter
        self.repository = repository

    async def sizes(self, sizes: list[int]) -> None:
        """Create, force a no-op, let drift be looked for."""
        for size in sizes:
            await self.meter.measure("create", size, lambda size=size: self.work.create(size))  # type: ignore[misc]
            await self._passes(size)

    async def _passes(self, size: int) -> None:
        await asyncio.sleep(SETTLED)
        await self.meter.measure("no-op", size, lambda: self.work.request(size))
        await asyncio.sleep(SETTLED)
        await self.meter.measure("drift pass", size, self.drift_pass)
        await self._clear()

    async def chain(self) -> None:
        """Ten that depend on each other."""
        await self.meter.measure("chain", 10, lambda: self.work.create(10, chained=True))
        await self._clear()

    async def objects(self, count: int = 200, each: int = 50) -> None:
        """10,000 objects of five kinds: creation, no-op, drift pass, and a commit that changes one file."""
        self.repository.write("many/objects.yaml", _many(each))
        self.repository.commit("Many objects")
        spec: dict[str, Any] = {"path": "./many", "wait": False}
        name = f"{count * each} objects, create"
        await self.meter.measure(name, count, lambda: self.work.create(count, **spec))
        await asyncio.sleep(SETTLED)
        await self.meter.measure(f"{count * each} objects, no-op", count, lambda: self.work.request(count))
        await asyncio.sleep(SETTLED)
        await self.meter.measure(f"{count * each} objects, drift pass", count, self.drift_pass)
        await asyncio.sleep(SETTLED)
        text = _many(each).replace("value: first", "value: second", 1)
        name = f"{count * each} objects, one changed file"
        await self.meter.measure(name, count, lambda: self._push("many/objects.yaml", text, count))
        await self._clear()

    async def failing(self, count: int = 100) -> None:
        """A commit for as many healthy ones, without and with as many that fail again and again."""
        await self.work.create(count)
        await asyncio.sleep(SETTLED)
        alone = [await self._commit("a commit alone", count, number) for number in (2, 3)]
        for number in range(count):
            broken = kustomization(number, name=f"bad-{number}", path="./broken", retryInterval="5s", wait=False)
            await self.work.cluster.apply(broken, manager="bench")
        self.repository.write("broken/objects.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_Valid}\n")
        await self._commit("a commit with which others begin to fail", count, 4)
        beside = [await self._commit("a commit beside as many that fail", count, number) for number in (5, 6)]
        await self.meter.measure("20 s of failures tried again every 5 s", count, lambda: asyncio.sleep(20))
        delay = statistics.mean(beside) - statistics.mean(alone)
        seconds = f"{statistics.mean(alone):.2f} s alone, {statistics.mean(beside):.2f} s beside {count} that fail"
        self.meter.note(f"a commit for {count} healthy ones", seconds, f"delayed by {delay:.2f} s")
        await self._clear()

    async def _commit(self, name: str, count: int, number: int) -> float:
        text = OBJECTS.replace('release: "1"', f'release: "{number}"')
        seconds, _ = await self.meter.measure(name, count, lambda: self._push("podinfo/objects.yaml", text, count))
        await asyncio.sleep(SETTLED)
        return seconds

    async def _push(self, name: str, text: str, count: int) -> None:
        self.repository.write(name, text)
        commit = self.repository.commit("A change")
        await push(self.env, "bench")
        await self.work.all_ready(count, revision=commit)

    async def webhook(self, rounds: int = 5) -> None:
        """A signed push until the object is in the cluster."""
        await self.work.create(1)
        await asyncio.sleep(SETTLED)
        taken: list[float] = []
        deployments = await self.work.cluster.resource("apps/v1", "Deployment")
        for number in range(2, rounds + 2):
            self.repository.write("podinfo/objects.yaml", OBJECTS.replace('release: "1"', f'release: "{number}"'))
            self.repository.commit(f"Release {number}")
            began = time.monotonic()
            await push(self.env, "bench")
            async with asyncio.timeout(60):
                while True:
                    found = await self.work.cluster.get(deployments, "podinfo-0", NAMESPACE)
                    if found and found["metadata"].get("annotations", {}).get("release") == str(number):
                        break
                    await asyncio.sleep(0.02)
            taken.append(time.monotonic() - began)
            await asyncio.sleep(SETTLED)
        text = ", ".join(f"{seconds:.2f}" for seconds in taken)
        self.meter.note("push webhook to applied", f"{statistics.median(taken):.2f} s of {text}", "Flux: 0.7 s")
        await self._clear()

    async def drift_pass(self) -> None:
        """Let every interval pass now; until the plan has settled the checks."""
        await interval_pass(self.env.blob_connection, "Kustomization")

    async def _clear(self) -> None:
        await self.work.delete_all()
        await asyncio.sleep(SETTLED)


def _many(each: int) -> str:
    """As many objects of five kinds."""
    bodies = (
        ("v1", "ConfigMap", "data:\n  value: first\n"),
        ("v1", "Secret", "stringData:\n  value: first\n"),
        ("v1", "ServiceAccount", ""),
        ("v1", "Service", "spec:\n  clusterIP: None\n  ports:\n    - port: 80\n"),
        ("rbac.authorization.k8s.io/v1", "Role", "rules: []\n"),
    )
    texts = [
        f"apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: many-${{INDEX}}-{number}\n{body}"
        for number in range(each // len(bodies))
        for version, kind, body in bodies
    ]
    return "---\n".join(texts)

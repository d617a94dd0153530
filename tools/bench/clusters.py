"""Many clusters from one app, by simulation: plans, ticks and heartbeats, with none and with some that are away."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from itertools import pairwise
from pathlib import Path

import psutil

from fluxless.artifacts.blob import AzureStore
from fluxless.artifacts.cache import ArtifactCache
from fluxless.artifacts.directory import DirectoryStore
from fluxless.engine.engine import Engine
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect, read_clusters
from fluxless.reconcile.records import HEARTBEAT, heartbeat, read_state
from fluxless.reconcile.services import Services
from tools import environment, processes
from tools.bench.meter import Meter
from tools.bench.work import KUSTOMIZE, SOURCE
from tools.demo import push
from tools.devcluster import launcher
from tools.fleet import Fault, Fleet
from tools.sample import Repository

AWAY = (0, 1, 10, 30)
TICK = 10.0
"""Seconds between two ticks of the timer."""


async def run(folder: Path, count: int) -> list[str]:
    """Measure; the rows of the table."""
    kubeconfig = await asyncio.to_thread(launcher.start, folder / "cluster", node=False)
    fleet = Fleet(kubeconfig)
    await fleet.start()
    names = [f"c-{number}" for number in range(count)]
    extra = {"FLUXLESS_CLUSTERS": fleet.setting(names)}
    try:
        env = await asyncio.to_thread(
            environment.up,
            folder,
            timer=f"*/{TICK:.0f} * * * * *",
            extra=extra,
            host_arguments=("--no-replay-check",),
        )
        cluster = await connect(ClusterConfig("all", kubeconfig=str(kubeconfig)))
        worker = processes.running(folder, "host")
        assert worker is not None
        measured = Clusters(env, fleet, cluster, names, Meter(kubeconfig, [psutil.Process(worker.pid)], {}))
        try:
            await measured.run(Repository(folder / "work", env.git_root / "fleet.git"))
        finally:
            await cluster.close()
        return measured.meter.rows
    finally:
        await asyncio.to_thread(environment.down, folder)
        await fleet.stop()


class Clusters:
    """The measurements."""

    def __init__(
        self, env: environment.Environment, fleet: Fleet, cluster: Cluster, names: list[str], meter: Meter
    ) -> None:
        self.env, self.fleet, self.cluster, self.names, self.meter = env, fleet, cluster, names, meter

    async def run(self, repository: Repository) -> None:
        """One after the other."""
        many = len(self.names)
        repository.create({"a.yaml": _config_map(1)})
        await asyncio.gather(*(self._join(name) for name in self.names))
        began = time.monotonic()
        await self._applied(1, self.names)
        self.meter.note(f"{many} clusters, first apply of all", f"{time.monotonic() - began:.1f} s")
        await self._plans()
        await self._idle()
        for number, away in enumerate((a for a in AWAY if a < many), 2):
            gone = dict(zip(self.names[:away], [Fault.HANGS, Fault.DROPS, Fault.FAILS] * many, strict=False))
            self.fleet.faults.update(gone)
            others = [name for name in self.names if name not in gone]
            repository.write("a.yaml", _config_map(number))
            repository.commit(f"Release {number}")
            began = time.monotonic()
            beats = asyncio.create_task(self._heartbeats(3 * TICK))
            _, _, answered = await push(self.env, "fleet")
            await self._applied(number, others)
            seconds = time.monotonic() - began
            gap = await beats
            text = f"{seconds:.1f} s, webhook answered in {answered:.2f} s, longest between heartbeats {gap:.1f} s"
            self.meter.note(f"{many} clusters, {away} away: a push to all others", text)
        self.fleet.faults.clear()
        await self._applied(number, self.names)
        self.meter.note(f"{many} clusters, memory of the worker", f"{self.meter.memory()} MiB")

    async def _join(self, name: str) -> None:
        await self.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        names = {"name": "app", "namespace": name}
        source = {"interval": "60m", "url": f"{self.env.git_url}/fleet.git", "ref": {"branch": "main"}}
        body = {"apiVersion": SOURCE, "kind": "GitRepository", "metadata": names, "spec": source}
        await self.cluster.create(body)
        ref = {"kind": "GitRepository", "name": "app"}
        spec = {"interval": "60m", "prune": True, "sourceRef": ref, "targetNamespace": name}
        await self.cluster.create({"apiVersion": KUSTOMIZE, "kind": "Kustomization", "metadata": names, "spec": spec})

    async def _applied(self, number: int, names: list[str]) -> None:
        resource = await self.cluster.resource("v1", "ConfigMap")
        async with asyncio.timeout(300):
            while True:
                found = {
                    obj["metadata"]["namespace"]: obj["data"].get("value")
                    for obj in await self.cluster.list(resource)
                    if obj["metadata"]["name"] == "a"
                }
                if all(found.get(name) == str(number) for name in names):
                    return
                await asyncio.sleep(0.2)

    async def _plans(self) -> None:
        """One plan for each cluster, one after the other, in a process of its own that knows them already."""
        store = DirectoryStore(self.env.folder / "plans")
        services = Services(store, ArtifactCache(store, self.env.folder / "plans-cache"))
        text = (self.env.folder / "host.env").read_text()
        found = re.search(r"^FLUXLESS_CLUSTERS=(.*)$", text, re.MULTILINE)
        assert found is not None
        engine = Engine(read_clusters(found[1]), services)
        try:
            for name in self.names:
                await engine.plan(name, [], {})
            taken: list[float] = []
            for name in self.names:
                began = time.monotonic()
                await engine._plan(name, [], {}, draining=False)
                taken.append(time.monotonic() - began)
        finally:
            await engine.close()
        text = f"{statistics.mean(taken) * 1000:.0f} ms, longest {max(taken) * 1000:.0f} ms"
        self.meter.note(f"{len(self.names)} clusters, one plan", text)

    async def _idle(self) -> None:
        """A minute in which nothing happens."""
        before = self.fleet.requests.total()
        cpu = (await self.meter.read()).worker_cpu
        gap = await self._heartbeats(60.0)
        requests = self.fleet.requests.total() - before
        used = (await self.meter.read()).worker_cpu - cpu
        text = f"{requests} requests, {used:.1f} s of worker CPU, longest between heartbeats {gap:.1f} s"
        self.meter.note(f"{len(self.names)} clusters, an idle minute (a tick every {TICK:.0f} s)", text)

    async def _heartbeats(self, seconds: float) -> float:
        """The longest time between two heartbeats."""
        store = AzureStore.from_connection_string(self.env.blob_connection, "fluxless")
        found: set[float] = set()
        try:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                (at, _), _ = await read_state(store, HEARTBEAT, heartbeat)
                found.add(at)
                await asyncio.sleep(0.2)
        finally:
            await store.close()
        moments = sorted(found)
        return max((b - a for a, b in pairwise(moments)), default=seconds)


def _config_map(number: int) -> str:
    return json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": str(number)}}
    )

"""The same work for Flux's own controllers, where their binaries are given: what ours is compared with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fluxless.cli.install import install
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from tools import controllers, environment, processes
from tools.bench.meter import Meter
from tools.bench.releases import Releases
from tools.bench.sources import Sources
from tools.bench.work import OBJECTS, Work
from tools.devcluster import launcher
from tools.sample import Repository

KUSTOMIZATIONS = (controllers.SOURCE, controllers.KUSTOMIZE)
SOURCES = (controllers.SOURCE,)
RELEASES = (controllers.SOURCE, controllers.HELM)
Figures = dict[tuple[str, int], tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Theirs:
    """A control plane on which Flux's controllers run, and a Git server."""

    cluster: Cluster
    git_root: Path
    git_url: str
    meter: Meter

    def rows(self) -> list[str]:
        """Of the table."""
        return [f"| Flux: {row[2:]}" for row in self.meter.rows]


@asynccontextmanager
async def _controllers(folder: Path, names: Sequence[str]) -> AsyncIterator[Theirs]:
    config = await asyncio.to_thread(launcher.start, folder / "cluster")
    git_root, git_url = await asyncio.to_thread(environment.start_git, folder)
    cluster = await connect(ClusterConfig("flux", kubeconfig=str(config)))
    running = controllers.Controllers(folder / "controllers", config, everywhere=True, names=names)
    try:
        await install(cluster)
        await controllers.define_other_kinds(cluster)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}
        await cluster.apply(body, manager="bench")
        await asyncio.to_thread(running.start)
        found = [processes.running(folder / "controllers", name) for name in names]
        meter = Meter(config, [process for process in found if process is not None], {})
        yield Theirs(cluster, git_root, git_url, meter)
    finally:
        await asyncio.to_thread(running.stop)
        await cluster.close()
        await asyncio.to_thread(processes.stop, folder, "git")
        await asyncio.to_thread(launcher.stop, folder / "cluster")


async def measure(folder: Path, sizes: list[int]) -> tuple[Figures, list[str]]:
    """(seconds, requests) by measurement and size, and the rows of the table."""
    found: Figures = {}
    async with _controllers(folder, KUSTOMIZATIONS) as flux:
        work = Work(flux.cluster, flux.git_url)
        await work.prepare()
        Repository(folder / "work", flux.git_root / "bench.git").create({"podinfo/objects.yaml": OBJECTS})
        for size in sizes:
            create = await flux.meter.measure("create", size, lambda size=size: work.create(size))  # type: ignore[misc]
            await asyncio.sleep(4)
            no_op = await flux.meter.measure("no-op", size, lambda size=size: work.request(size))  # type: ignore[misc]
            found[("create", size)], found[("no-op", size)] = create, no_op
            await work.delete_all()
        return found, flux.rows()


async def sources(folder: Path, sizes: list[int], registry: str) -> tuple[Figures, list[str]]:
    """The same of source-controller alone, over sources."""
    async with _controllers(folder, SOURCES) as flux:
        work = Sources(flux.cluster, folder, flux.git_root, flux.git_url, registry)
        await work.prepare(max(sizes))
        return await work.sizes(flux.meter, sizes), flux.rows()


async def releases(folder: Path, sizes: list[int], registry: str) -> tuple[Figures, list[str]]:
    """The same of helm-controller, over HelmReleases."""
    async with _controllers(folder, RELEASES) as flux:
        work = Releases(flux.cluster, folder, registry)
        await work.prepare()
        return await work.sizes(flux.meter, sizes), flux.rows()

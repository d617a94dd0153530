"""The same work for Flux's own controllers, where their binaries are given: what ours is compared with."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fluxless.cli.install import install
from fluxless.kube.connect import ClusterConfig, connect
from tools import controllers, environment, processes
from tools.bench.meter import Meter
from tools.bench.work import OBJECTS, Work
from tools.devcluster import launcher
from tools.sample import Repository

Figures = dict[tuple[str, int], tuple[float, int]]


async def measure(folder: Path, sizes: list[int]) -> tuple[Figures, list[str]]:
    """(seconds, requests) by measurement and size, and the rows of the table."""
    config = await asyncio.to_thread(launcher.start, folder / "cluster")
    git_root, git_url = await asyncio.to_thread(environment.start_git, folder)
    cluster = await connect(ClusterConfig("flux", kubeconfig=str(config)))
    both = controllers.Controllers(folder / "controllers", config, everywhere=True)
    found: Figures = {}
    try:
        await install(cluster)
        await controllers.define_other_kinds(cluster)
        for name in ("flux-system",):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await cluster.apply(body, manager="bench")
        work = Work(cluster, git_url)
        await work.prepare()
        Repository(folder / "work", git_root / "bench.git").create({"podinfo/objects.yaml": OBJECTS})
        await asyncio.to_thread(both.start)
        running = [processes.running(folder / "controllers", name) for name in controllers.BINARIES]
        meter = Meter(config, [process for process in running if process is not None], {})
        for size in sizes:
            create = await meter.measure("create", size, lambda size=size: work.create(size))  # type: ignore[misc]
            await asyncio.sleep(4)
            no_op = await meter.measure("no-op", size, lambda size=size: work.request(size))  # type: ignore[misc]
            found[("create", size)], found[("no-op", size)] = create, no_op
            await work.delete_all()
        return found, [f"| Flux: {row[2:]}" for row in meter.rows]
    finally:
        await asyncio.to_thread(both.stop)
        await cluster.close()
        await asyncio.to_thread(processes.stop, folder, "git")
        await asyncio.to_thread(launcher.stop, folder / "cluster")

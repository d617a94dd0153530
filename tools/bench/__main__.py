"""`python -m tools.bench [--sizes 100,500,1000] [--only NAME,…]`; the names are those of ALL below, and `flux`.

With FLUX_SOURCE_CONTROLLER and FLUX_KUSTOMIZE_CONTROLLER, `--only flux,create` measures Flux's own controllers first,
and compares with that instead of the figures in `single.py`. `sources` and `releases` measure Flux's source-controller,
and with FLUX_HELM_CONTROLLER its helm-controller, first where they are given.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from tools import controllers, environment, processes
from tools.bench import builds, clusters, idle, memory, theirs
from tools.bench.growth import TIMER, Growth
from tools.bench.interval import interval_pass
from tools.bench.meter import Meter, out
from tools.bench.releases import Releases
from tools.bench.single import FLUX, Single
from tools.bench.sources import Sources
from tools.bench.work import OBJECTS, Work
from tools.places import ROOT, STATE
from tools.registry import launcher as registry
from tools.sample import Repository

FOLDER = STATE / "bench"
ONE_CLUSTER = ("create", "chain", "webhook", "objects", "failing")
ALL = (*ONE_CLUSTER, "sources", "releases", "builds", "memory", "idle", "growth", "clusters", "import")


async def _sources(sizes: list[int]) -> list[str]:
    folder = FOLDER / "sources"
    rows: list[str] = []
    beside: theirs.Figures = {}
    async with _registry() as address:
        if not controllers.missing(*theirs.SOURCES):
            beside, rows = await theirs.sources(FOLDER / "flux-sources", sizes, address)
        async with _app(folder) as (env, cluster, worker):
            meter = Meter(env.kubeconfig, [worker], beside)
            work = Sources(cluster, folder, env.git_root, env.git_url, address)
            await work.prepare(max(sizes))
            await work.sizes(meter, sizes)
            await work.large(meter, env.blob_connection, f"{env.functions_url}/api/sync", env.functions_key)
            return rows + meter.rows


async def _releases(sizes: list[int]) -> list[str]:
    folder = FOLDER / "releases"
    rows: list[str] = []
    beside: theirs.Figures = {}
    async with _registry() as address:
        if not controllers.missing(*theirs.RELEASES):
            beside, rows = await theirs.releases(FOLDER / "flux-releases", sizes, address)
        async with _app(folder) as (env, cluster, worker):
            meter = Meter(env.kubeconfig, [worker], beside)
            work = Releases(cluster, folder, address)
            await work.prepare()
            await work.sizes(meter, sizes, lambda: interval_pass(env.blob_connection, "HelmRelease"))
            return rows + meter.rows


@asynccontextmanager
async def _registry() -> AsyncIterator[str]:
    folder = FOLDER / "registry"
    address = await asyncio.to_thread(registry.start, folder)
    try:
        yield address
    finally:
        await asyncio.to_thread(registry.stop, folder)


@asynccontextmanager
async def _app(
    folder: Path, timer: str = "*/1 * * * * *"
) -> AsyncIterator[tuple[environment.Environment, Cluster, psutil.Process]]:
    """Our app with everything around it, its cluster, and its worker."""
    env = await asyncio.to_thread(environment.up, folder, timer=timer, host_arguments=("--no-replay-check",))
    cluster = await connect(ClusterConfig("dev", kubeconfig=str(env.kubeconfig)))
    try:
        worker = processes.running(folder, "host")
        if worker is None:
            raise RuntimeError("the function host does not run")
        yield env, cluster, worker
    finally:
        await cluster.close()
        await asyncio.to_thread(environment.down, folder)


async def _one_cluster(only: set[str], sizes: list[int], beside: theirs.Figures) -> list[str]:
    folder = FOLDER / "single"
    async with _app(folder) as (env, cluster, worker):
        meter = Meter(env.kubeconfig, [worker], FLUX | beside)
        repository = Repository(folder / "work", env.git_root / "bench.git")
        repository.create({"podinfo/objects.yaml": OBJECTS})
        work = Work(cluster, env.git_url)
        await work.prepare()
        single = Single(env, work, meter, repository)
        if "create" in only:
            await single.sizes(sizes)
        for name in ONE_CLUSTER[1:]:
            if name in only:
                await getattr(single, name)()
        return meter.rows


async def _idle() -> list[str]:
    folder = FOLDER / "idle"
    async with _app(folder, timer="") as (env, cluster, worker):
        meter = Meter(env.kubeconfig, [worker], {})
        Repository(folder / "work", env.git_root / "bench.git").create({"podinfo/objects.yaml": OBJECTS})
        work = Work(cluster, env.git_url)
        await work.prepare()
        await idle.measure(env, work, meter)
        return meter.rows


async def _growth() -> list[str]:
    folder = FOLDER / "growth"
    async with _app(folder, timer=TIMER) as (env, cluster, worker):
        meter = Meter(env.kubeconfig, [worker], {})
        repository = Repository(folder / "work", env.git_root / "bench.git")
        repository.create({"podinfo/objects.yaml": OBJECTS})
        work = Work(cluster, env.git_url)
        await work.prepare()
        await Growth(env, work, meter, repository).measure()
        return meter.rows


async def _run(only: set[str], sizes: list[int]) -> list[str]:
    environment.allow_addresses()
    rows: list[str] = []
    beside: theirs.Figures = {}
    if "flux" in only:
        beside, rows = await theirs.measure(FOLDER / "flux", sizes)
    if only & set(ONE_CLUSTER):
        rows += await _one_cluster(only, sizes, beside)
    if "sources" in only:
        rows += await _sources([size for size in sizes if size <= 500])
    if "releases" in only:
        rows += await _releases([size for size in sizes if size <= 500])
    if "builds" in only:
        rows.append(await builds.measure())
    if "memory" in only:
        rows += await memory.measure(FOLDER / "memory")
    if "idle" in only:
        rows += await _idle()
    if "growth" in only:
        rows += await _growth()
    if "clusters" in only:
        for count in (10, 100):
            rows += await clusters.run(FOLDER / f"clusters-{count}", count)
    if "import" in only:
        seconds = statistics.median(_import_time() for _ in range(3))
        rows.append(f"| import function_app | {seconds:.2f} s | | | |")
    return rows


def _import_time() -> float:
    code = "import time; t = time.perf_counter(); import function_app; print(time.perf_counter() - t)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return float(done.stdout)


def main() -> int:
    """Set up, measure, print a table, take down."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench")
    parser.add_argument("--sizes", default="100,500,1000")
    parser.add_argument("--only", default=",".join(ALL))
    options = parser.parse_args()
    only = set(options.only.split(","))
    if "flux" in only and (missing := controllers.missing(*theirs.KUSTOMIZATIONS)):
        out.print(f"set {' and '.join(missing)} to Flux's binaries")
        return 2
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        rows = asyncio.run(_run(only, [int(size) for size in options.sizes.split(",")]))
    except (RuntimeError, TimeoutError) as error:
        out.print(f"[red]error:[/red] {error or 'timed out'}")
        return 1
    out.print("\n| measure | time | requests | memory | beside Flux |\n|---|---|---|---|---|")
    for row in rows:
        out.print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Builds of different paths at once, without a cluster: what a commit costs that changes many applications."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from fluxless.kustomize.build import build
from tools import binaries
from tools.bench.work import OBJECTS

PATHS = 100
RUNS = 5


async def measure() -> str:
    """A row of the table: the median of the runs, the slowest in brackets."""
    os.environ[binaries.KUSTOMIZE.setting] = str(await asyncio.to_thread(binaries.find, binaries.KUSTOMIZE))
    with tempfile.TemporaryDirectory(prefix="fluxless-bench-") as folder:
        tree = Path(folder)
        for number in range(PATHS):
            path = tree / "apps" / str(number)
            path.mkdir(parents=True)
            (path / "objects.yaml").write_text(OBJECTS)
            about = f"resources: [objects.yaml]\nnamespace: app-{number}\nimages: [{{name: x, newTag: '{number}'}}]\n"
            (path / "kustomization.yaml").write_text(about)
        took = [await _run(tree, turn) for turn in range(RUNS)]
    return f"| {PATHS} different paths | {statistics.median(took):.2f} s ({max(took):.2f} s) | | | |"


async def _run(tree: Path, turn: int) -> float:
    began = time.perf_counter()
    await asyncio.gather(*(build(tree, f"sha256:{turn}", {"path": f"apps/{number}"}, {}) for number in range(PATHS)))
    return time.perf_counter() - began

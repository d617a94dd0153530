"""Plays the corpus with Fluxless and with Flux's own controllers, each over a control plane of its own, and compares.

    FLUX_SOURCE_CONTROLLER=… FLUX_KUSTOMIZE_CONTROLLER=… FLUX_HELM_CONTROLLER=… python -m tests.parity.compare

takes `--only PATTERN`, `--subject ROOM` and `--keep FOLDER`. Without a helm-controller, HelmReleases are left out.

Prints every difference that `differences.py` does not explain, then how often each explanation was needed. The exit
code is 1 when there was an unknown one. `--keep` writes both sides' records as JSON, for `diff -r`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fluxless.artifacts.directory import DirectoryStore
from fluxless.cli.install import install
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from tests.parity import flux_side, fluxless_side
from tests.parity.corpus import SUBJECTS
from tests.parity.differences import known
from tests.parity.play import Played, Side
from tests.parity.scenario import Scenario
from tests.parity.stock import stocked
from tools import binaries, controllers
from tools.devcluster import launcher as devcluster
from tools.gitserver import GitServer

ABSENT = "(absent)"
LISTS = ("events", "changes", "inventory", "conditions", "managers")
"""Compared as sets, so that one entry too many is one difference."""


async def with_fluxless(scenarios: Sequence[Scenario], folder: Path) -> Played:
    """The records of our side."""
    async with _control_plane(folder) as (config, cluster):
        await install(cluster)
        store = DirectoryStore(folder / "store")
        async with fluxless_side.working(config, store, folder) as worker:
            return await _play(cluster, folder, scenarios, read=fluxless_side.reader(store), idle=worker.idle)


PATIENCE: dict[str, Any] = {"at_once": 16, "quiet": 2.0, "events_within": 30.0}
"""Flux sends events one after the other, behind its statuses."""


async def with_flux(scenarios: Sequence[Scenario], folder: Path) -> Played:
    """The records of the other side."""
    async with _control_plane(folder) as (config, cluster):
        await flux_side.define(cluster)
        async with flux_side.working(config, folder):
            return await _play(cluster, folder, scenarios, read=flux_side.read, **PATIENCE)


@contextlib.asynccontextmanager
async def _control_plane(folder: Path) -> AsyncIterator[tuple[Path, Cluster]]:
    config = await asyncio.to_thread(devcluster.start, folder / "cluster")
    cluster = await connect(ClusterConfig("parity", kubeconfig=str(config)))
    try:
        yield config, cluster
    finally:
        await cluster.close()
        await asyncio.to_thread(devcluster.stop, folder / "cluster")


async def _play(cluster: Cluster, folder: Path, scenarios: Sequence[Scenario], **options: Any) -> Played:
    root = folder / "git"
    root.mkdir()
    server = GitServer(root)
    await server.start()
    try:
        async with stocked(folder / "stock") as marks:
            return await Side(cluster, server, folder / "work", marks, **options).play(scenarios)
    finally:
        await server.stop()


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(path, ours, theirs) of every leaf that differs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs} - {"said"}):
            yield from differences(ours.get(key, ABSENT), theirs.get(key, ABSENT), f"{path}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and path.rsplit("/", 1)[-1] in LISTS:
        for item in sorted([item for item in ours if item not in theirs], key=str):
            yield f"{path}/{_word(item)}", "there", ABSENT
        for item in sorted([item for item in theirs if item not in ours], key=str):
            yield f"{path}/{_word(item)}", ABSENT, "there"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{path}/{place}")
    elif ours != theirs:
        yield path, ours, theirs


def _word(item: Any) -> str:
    return " ".join(item) if isinstance(item, list) else str(item)


def report(ours: Played, theirs: Played) -> int:
    """Print what differs; how many differences nobody has explained."""
    unknown, needed = 0, Counter[str]()
    for name in ours:
        for path, mine, other in differences(ours[name], theirs[name]):
            explained = known(name, path)
            if explained is not None:
                needed[explained.why] += 1
                continue
            unknown += 1
            print(f"{name}: {path}\n    Fluxless: {json.dumps(mine)[:300]}\n    Flux:     {json.dumps(other)[:300]}")
    for why, count in needed.most_common():
        print(f"{count:4} known: {why}")
    print(f"{len(ours)} scenarios, {sum(needed.values())} known differences, {unknown} unknown")
    return unknown


def _write(folder: Path, played: Played) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in played.items():
        (folder / f"{name}.json").write_text(json.dumps(records, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.compare")
    parser.add_argument("--only", default="*", help="names of scenarios, as a pattern")
    parser.add_argument("--subject", default="*", help="rooms of the corpus, as a pattern")
    parser.add_argument("--keep", type=Path, help="a folder for the records of both sides")
    arguments = parser.parse_args()
    if missing := controllers.missing(*flux_side.NEEDED):
        print(f"set {' and '.join(missing)} to Flux's binaries", file=sys.stderr)
        return 2
    scenarios = [
        scenario
        for subject in SUBJECTS
        if fnmatchcase(subject.__name__.rpartition(".")[2], arguments.subject)
        for scenario in subject.SCENARIOS
        if fnmatchcase(scenario.name, arguments.only)
    ]
    if controllers.missing(controllers.HELM):
        scenarios = [scenario for scenario in scenarios if not scenario.of_releases]
    for binary in binaries.SHIPPED:
        os.environ[binary.setting] = str(binaries.find(binary))
    with tempfile.TemporaryDirectory(prefix="fluxless-parity-") as folder:
        ours = asyncio.run(with_fluxless(scenarios, Path(folder) / "fluxless"))
        theirs = asyncio.run(with_flux(scenarios, Path(folder) / "flux"))
    if arguments.keep:
        _write(arguments.keep / "fluxless", ours)
        _write(arguments.keep / "flux", theirs)
    return 1 if report(ours, theirs) else 0


if __name__ == "__main__":
    sys.exit(main())

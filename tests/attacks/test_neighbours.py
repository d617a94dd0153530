"""All of it at once, beside a tenant who does nothing wrong: his commits take at most twice as long as alone."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fluxless.kube.client import Cluster
from tests.support.flux import KUSTOMIZE, Flux, message
from tests.support.registry import Images
from tests.support.repositories import Repo, config_map
from tools.gitserver import GitServer

pytestmark = pytest.mark.alone

COMMITS = 20
RUNS = 3
"""Measurements under attack, each between two without, of which one has to hold: what else the machine does comes and
goes, and a tenant who has no share waits for ever.
"""
HANGING = 8
"""Builds that do not come to an end, of one namespace."""
ASKED_EVERY = 2.0
"""Seconds after which the attackers ask for everything again."""


class Driver:
    """Plans and reconciles as the orchestration does: whoever is busy keeps no batch of another from starting."""

    def __init__(self, flux: Flux) -> None:
        self._flux = flux
        self._running: dict[asyncio.Task[list[list[Any]]], str] = {}

    async def drive(self) -> None:
        finished: dict[str, list[list[Any]]] = {}
        while True:
            steps = await self._flux.engine.plan(self._flux.name, list(self._running.values()), finished)
            finished = {}
            for batch in steps.batches:
                task = asyncio.create_task(self._flux.engine.reconcile(self._flux.name, batch))
                self._running[task] = batch
            pause = asyncio.create_task(asyncio.sleep(min(0.1, steps.wake_after or 0.1)))
            done, _ = await asyncio.wait([pause, *self._running], return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in self._running if task in done]:
                finished[self._running.pop(task)] = await task

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


@contextlib.asynccontextmanager
async def _driven(flux: Flux) -> AsyncIterator[None]:
    driver = Driver(flux)
    driving = asyncio.create_task(driver.drive())
    try:
        yield
    finally:
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
        await driver.stop()


async def _median(flux: Flux, repo: Repo, numbers: Iterator[int]) -> float:
    """Seconds from a push to the object of it, of `COMMITS` commits."""
    took: list[float] = []
    for number in itertools.islice(numbers, COMMITS):
        repo.push({"a.yaml": config_map("a", str(number))})
        start = time.monotonic()
        await flux.request("GitRepository", "repo")
        async with asyncio.timeout(30):
            while await flux.value("a") != str(number):  # noqa: ASYNC110  nobody else's event: the cluster is asked
                await asyncio.sleep(0.02)
        took.append(time.monotonic() - start)
    return statistics.median(took)


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await reader.read()
    writer.close()


def _loop(letter: str) -> str:
    """A Kustomization that renders one of the next name, and so on."""
    return (
        f"apiVersion: {KUSTOMIZE}\nkind: Kustomization\nmetadata:\n  name: {letter}${{n}}\n  namespace: ${{here}}\n"
        "spec:\n  interval: 10m\n  prune: true\n  suspend: ${pause}\n  path: ./loop\n"
        "  sourceRef: {kind: GitRepository, name: bombs}\n"
        "  postBuild: {substitute: {n: '${n}x', here: '${here}', pause: '${pause}'}}\n"
    )


def _heavy() -> dict[str, str | None]:
    """A build that takes its time and then fails: every patch is tried on every object."""
    names = [f"c{number}" for number in range(120)]
    patches = "".join(
        "  - target: {kind: ConfigMap, name: 'c.*'}\n"
        f"    patch: |\n      - {{op: add, path: /data/p{number}, value: x}}\n"
        for number in range(120)
    )
    missing = "{source: {kind: ConfigMap, name: none}, targets: [{select: {name: c1}, fieldPaths: [data.x]}]}"
    return {
        "heavy/kustomization.yaml": f"resources: [all.yaml]\npatches:\n{patches}replacements:\n  - {missing}\n",
        "heavy/all.yaml": "---\n".join(config_map(name) for name in names),
    }


def _aliases() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bomb\ndata:\n" + "".join(
        f"  {line}\n" for line in lines
    )


def _tree_bomb(repo: Repo) -> None:
    tree = repo.git("rev-parse", "HEAD^{tree}").strip()
    for _ in range(12):
        (repo.work / ".entries").write_text("".join(f"040000 tree {tree}\td{number}\n" for number in range(10)))
        tree = repo.git("-c", "alias.made=!git mktree < .entries", "made").strip()
    commit = repo.git("commit-tree", tree, "-m", "bomb").strip()
    repo.git("push", "-q", "-f", str(repo.bare), f"{commit}:refs/heads/tree")


async def _attack(flux: Flux, images: Images, bombs: Repo, hanging: str) -> dict[str, list[str]]:
    """Everything that a tenant may write, and the names of it by kind."""
    bombs.push(
        {
            "bomb/a.yaml": _aliases(),
            "loop/ks.yaml": _loop("k"),
            "loop/x.yaml": f"{config_map('x')}".replace("  name: x\n", "  name: x\n  namespace: ${here}\n"),
            f"{'a' * 60}.txt": "x",
            **_heavy(),
        }
    )
    _tree_bomb(bombs)
    await images.push(bombs.work, {"a.yaml": config_map("a")}, "1.0.0", "a" * 100)
    await flux.source(bombs, "bombs")
    await flux.source(bombs, "stars", ignore="*a" * 30 + "b")
    await flux.source(bombs, "tree", ref={"branch": "tree"})
    await flux.oci(images, "filter", ref={"semver": ">=1.0.0", "semverFilter": "(a+)+$|((a|a)*)*b"})
    here = {"n": "1", "here": flux.namespace, "pause": "true"}
    await flux.kustomization("k0", "bombs", path="./loop", postBuild={"substitute": here}, targetNamespace=None)
    await flux.kustomization("aliases", "bombs", path="./bomb")
    config = {
        "clusters": [{"name": "a", "cluster": {"server": hanging}}],
        "users": [{"name": "a", "user": {"token": "t"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    await flux.secret("hanging", {"value": json.dumps(config)})
    remote = [f"remote{number}" for number in range(HANGING)]
    for name in remote:
        await flux.kustomization(
            name, "bombs", path="./loop", timeout="1h", kubeConfig={"secretRef": {"name": "hanging"}}
        )
    heavy = [f"heavy{number}" for number in range(HANGING)]
    for name in heavy:
        await flux.kustomization(name, "bombs", path="./heavy", timeout="1h", nameSuffix=f"-{name}")
    costly = "[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, string(dep).matches('(a|b)*c.*d')))"
    text = "'a'" + ".replace('a', 'aaaaaaaaaa')" * 9 + ".size() > 0"
    for name, words in (("loops", costly), ("grows", text)):
        await flux.kustomization(name, "bombs", path="./loop", dependsOn=[{"name": "k0", "readyExpr": words}])
    return {
        "GitRepository": ["bombs", "stars", "tree"],
        "OCIRepository": ["filter"],
        "Kustomization": ["k0", "aliases", "loops", "grows", *remote, *heavy],
    }


async def _again_and_again(flux: Flux, named: dict[str, list[str]]) -> None:
    while True:
        for kind, names in named.items():
            with contextlib.suppress(Exception):  # an object may be just about to be made
                await flux.request(kind, *names)
        await asyncio.sleep(ASKED_EVERY)


async def test_the_commits_of_a_tenant_take_at_most_twice_as_long_under_attack(
    flux: Flux, repo: Repo, cluster: Cluster, images: Images, git_server: GitServer, tmp_path: Path
) -> None:
    other = f"t-{uuid4().hex[:8]}"
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    attacker = Flux(flux.engine, cluster, other, flux.store)
    bombs = Repo(git_server, tmp_path, f"r-{uuid4().hex[:8]}")
    server = await asyncio.start_server(_hang, "127.0.0.1", 0)
    hanging = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    repo.push({"a.yaml": config_map("a", "0")})
    await flux.source(repo)
    await flux.kustomization("apps", path="./")
    try:
        async with _driven(flux):
            numbers = itertools.count(1)
            before, named = await _median(flux, repo, numbers), await _attack(attacker, images, bombs, hanging)
            for _ in range(RUNS):
                asking = asyncio.create_task(_again_and_again(attacker, named))
                await asyncio.sleep(5)
                bombs.push({"loop/ks.yaml": _loop("m"), "loop/x.yaml": None})  # does another of an endless row want x?
                attacked = await _median(flux, repo, numbers)
                asking.cancel()
                await asyncio.sleep(5)
                after = await _median(flux, repo, numbers)
                print(f"median of a commit: {before:.3f} s alone, {attacked:.3f} s attacked, {after:.3f} s alone")
                alone, before = max(before, after), after
                if attacked <= 2 * alone:
                    break
            said = {
                "stars": message(await attacker.source_of("GitRepository", "stars")),
                "tree": message(await attacker.source_of("GitRepository", "tree")),
                "filter": message(await attacker.source_of("OCIRepository", "filter")),
                "grows": message(await attacker.ks("grows")),
                "aliases": message(await attacker.ks("aliases")),
            }
    finally:
        server.close()
        await attacker.clean()
        await cluster.delete(await cluster.resource("v1", "Namespace"), other)
    assert "stored artifact" in said["stars"]
    assert "more than 500000 files and folders" in said["tree"]
    assert "stored artifact" in said["filter"] or "no match" in said["filter"]
    assert attacked <= 2 * alone, (alone, attacked, said)

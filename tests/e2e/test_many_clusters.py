"""A hundred clusters from one app, by simulation (`tools/fleet.py`): one that is away keeps no other waiting."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from tests.support.flux import KUSTOMIZE, SOURCE
from tests.support.hosted import Hosted, passed_on, until
from tests.support.issuer import Issuer
from tests.support.repositories import Repo, config_map
from tools import environment
from tools.devcluster import launcher
from tools.fleet import Fault, Fleet
from tools.gitserver import GitServer

pytestmark = pytest.mark.alone

NAMES = [f"c-{number}" for number in range(100)]
TIMER = 10.0
"""Seconds between two ticks."""


@dataclass
class World:
    """The app, the fleet, and the control plane behind it."""

    hosted: Hosted
    fleet: Fleet
    cluster: Cluster
    repo: Repo

    async def values(self) -> dict[str, str]:
        """What was applied, by cluster."""
        found = await self.cluster.list(await self.cluster.resource("v1", "ConfigMap"))
        return {obj["metadata"]["namespace"]: obj["data"]["value"] for obj in found if obj["metadata"]["name"] == "a"}

    async def applied(self, value: str, names: Iterable[str], limit: float = 90.0) -> float:
        """Wait until all of these clusters have the value; the seconds that took."""

        async def done() -> bool:
            values = await self.values()
            return all(values.get(name) == value for name in names)

        return await until(done, f"value {value}", limit)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(workshop: Path) -> AsyncIterator[World]:
    folder = workshop / "fleet"
    kubeconfig = await asyncio.to_thread(launcher.start, folder / "cluster", node=False)
    fleet = Fleet(kubeconfig)
    await fleet.start()
    extra = {"FLUXLESS_CLUSTERS": fleet.setting(NAMES)}
    env = await asyncio.to_thread(environment.up, folder, timer=f"*/{TIMER:.0f} * * * * *", extra=extra)
    cluster = await connect(ClusterConfig("all", kubeconfig=str(kubeconfig)))
    server = GitServer(env.git_root)
    server.url = env.git_url
    repo = Repo(server, folder, f"r-{uuid4().hex[:8]}")
    repo.push({"a.yaml": config_map("a")})
    await asyncio.gather(*(_join(cluster, name, repo.url) for name in NAMES))
    yield World(Hosted(env, cluster, Issuer()), fleet, cluster, repo)
    await cluster.close()
    await asyncio.to_thread(environment.down, folder)
    await fleet.stop()


async def _join(cluster: Cluster, name: str, url: str) -> None:
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    names = {"name": "app", "namespace": name}
    source = {"interval": "60m", "url": url, "ref": {"branch": "main"}}
    await cluster.create({"apiVersion": SOURCE, "kind": "GitRepository", "metadata": names, "spec": source})
    spec = {"interval": "60m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "app"}}
    spec["targetNamespace"] = name
    await cluster.create({"apiVersion": KUSTOMIZE, "kind": "Kustomization", "metadata": names, "spec": spec})


async def _heartbeats(hosted: Hosted, seconds: float) -> list[float]:
    """The times of the heartbeats that are written meanwhile."""
    found: set[float] = set()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found.add(await hosted.ticked())
        await asyncio.sleep(0.2)
    return sorted(found)


def _longest_gap(moments: list[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(moments))


async def _status(env: environment.Environment, name: str) -> dict[str, Any]:
    import aiohttp

    key = json.loads((env.folder / "hub" / "keys.json").read_text())["durable"]
    url = f"{env.functions_url}/runtime/webhooks/durabletask/instances/sync-{name}?code={key}"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def test_all_of_them_become_ready_and_a_push_reaches_them(world: World) -> None:
    await world.hosted.wake()
    await world.applied("1", NAMES)
    world.repo.push({"a.yaml": config_map("a", "2")})
    status, text, seconds = await world.hosted.push(world.repo.url.rsplit("/", 1)[1].removesuffix(".git"))
    assert status == 202
    assert sum(passed_on(text)) == len(NAMES)
    await world.applied("2", NAMES)
    assert seconds < 8.0, "GitHub gives up after ten"


async def test_clusters_that_are_away_keep_no_other_waiting(world: World) -> None:
    """One hangs, one drops connections, one answers 500: the others are as quick, and hear of it when they are back."""
    world.repo.push({"a.yaml": config_map("a", "3")})
    name = world.repo.url.rsplit("/", 1)[1].removesuffix(".git")
    await world.hosted.push(name)
    before = await world.applied("3", NAMES)
    away = {"c-10": Fault.HANGS, "c-20": Fault.DROPS, "c-30": Fault.FAILS}
    world.fleet.faults |= away
    world.repo.push({"a.yaml": config_map("a", "4")})
    status, text, _ = await world.hosted.push(name)
    assert status == 202
    at_once, later = passed_on(text)
    assert at_once + later == len(NAMES)
    assert later >= len(away)
    during = await world.applied("4", [name for name in NAMES if name not in away])
    assert during < 2 * before + 5, (before, during)
    assert _longest_gap(await _heartbeats(world.hosted, 3 * TIMER)) < 2 * TIMER

    async def told() -> bool:
        errors = [(await _status(world.hosted.env, name)).get("customStatus") or {} for name in away]
        return all(status.get("error") for status in errors)

    await until(told, "the status of the orchestrations to say so", 60.0)
    world.fleet.faults.clear()
    # who drops or hangs is planned within two minutes; who answers 500 does not count as away, and is told in as many
    await world.applied("4", NAMES, 180.0)

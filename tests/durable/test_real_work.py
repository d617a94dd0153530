"""The real app on Microsoft's engine: real plans and batches, on a real API server, out of a real Git repository."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fluxless.api.timestamps import parse_timestamp
from fluxless.artifacts.blob import AzureStore
from fluxless.reconcile.records import runs_prefix
from tests.support.flux import Flux, ready
from tests.support.hosted import Hosted, until
from tests.support.repositories import Repo
from tools import processes

LINKS = 12
KILLS = int(os.environ.get("FLUXLESS_TEST_KILLS", "1"))
"""How often the host is killed; the figures in docs/reliability.md are of ten."""
GOES_ON = 65.0
"""Seconds after which work that a killed host had in hand goes on."""


def _commit(repo: Repo, value: str) -> str:
    """Each link is a folder of two objects."""
    return repo.push(
        {
            f"{link}/{name}.yaml": f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-{link}}}\n"
            f"data: {{value: '{value}'}}\n"
            for link in range(LINKS)
            for name in ("a", "b")
        }
    )


async def _chain(user: Flux, repo: Repo) -> None:
    await user.source(repo)
    for link in range(LINKS):
        before = [{"name": f"link-{link - 1}"}] if link else []
        await user.kustomization(f"link-{link}", path=f"./{link}", dependsOn=before, wait=True)


async def _applied(user: Flux, commit: str, least: int = LINKS) -> bool:
    """Whether at least so many links have that commit and are ready."""
    links = [await user.ks(f"link-{link}") for link in range(LINKS)]
    revisions = [(link.get("status") or {}).get("lastAppliedRevision") or "" for link in links]
    done = [ready(link)[0] == "True" and found.endswith(commit) for link, found in zip(links, revisions, strict=True)]
    return done.count(True) >= least


async def _push(hosted: Hosted, repo: Repo, value: str) -> str:
    commit = _commit(repo, value)
    status, text, _ = await hosted.push(repo.url.rpartition("/")[2].removesuffix(".git"))
    assert status == 202, text
    return commit


async def _runs(hosted: Hosted, user: Flux) -> list[dict[str, Any]]:
    """What was done in the namespace, in the order in which it began."""
    store = AzureStore.from_connection_string(hosted.env.blob_connection, "fluxless")
    try:
        found = [await store.get(blob.name) async for blob in store.list(runs_prefix("dev"))]
    finally:
        await store.close()
    runs = [json.loads(line) for document in found if document for line in document[0].splitlines()]
    return sorted((run for run in runs if run["namespace"] == user.namespace), key=lambda run: str(run["ts"]))


def _assert_one_at_a_time(runs: list[dict[str, Any]]) -> None:
    """No object was worked on twice at the same time."""
    for name in {run["name"] for run in runs}:
        mine = [(parse_timestamp(run["ts"]), run["seconds"]) for run in runs if run["name"] == name]
        for (began, seconds), (later, _) in pairwise(mine):
            assert began + seconds <= later + 0.01, f"{name} was worked on twice at once"


async def test_a_chain_runs_in_order_and_each_link_once(hosted: Hosted, user: Flux, pushed: Repo) -> None:
    commit = _commit(pushed, "1")
    await _chain(user, pushed)
    await hosted.wake()
    await until(lambda: _applied(user, commit), "the chain", 30)
    changed = [run for run in await _runs(hosted, user) if run["kind"] == "Kustomization" and run.get("changes")]
    assert [run["name"] for run in changed] == [f"link-{link}" for link in range(LINKS)]
    _assert_one_at_a_time(changed)


@pytest.mark.timeout(120 + KILLS * 90)
async def test_a_killed_host_is_made_up_for(program: str, hosted: Hosted, user: Flux, pushed: Repo) -> None:
    """At random moments between a push and its end; what was in hand is seen again after a minute."""
    commit = _commit(pushed, "first")
    await _chain(user, pushed)
    await hosted.wake()
    await until(lambda: _applied(user, commit), "the first commit", 60)
    began = time.monotonic()
    commit = await _push(hosted, pushed, "0")
    await until(lambda: _applied(user, commit), "the second commit", 60)
    undisturbed = time.monotonic() - began
    for kill in range(KILLS):
        commit = await _push(hosted, pushed, f"{kill + 1}")
        links = random.randrange(LINKS)
        await until(partial(_applied, user, commit, links), f"{links} links", 60)
        await asyncio.sleep(random.uniform(0.0, undisturbed / LINKS))
        _kill(hosted, program)
        killed = time.monotonic()
        await hosted.start("--durable-host", program)
        await until(partial(_applied, user, commit), f"commit {kill}", GOES_ON + undisturbed)
        print(f"killed after {links} of {LINKS} links: all applied {time.monotonic() - killed:.1f} s later")
        values = [await user.value(f"{name}-{link}") for link in range(LINKS) for name in ("a", "b")]
        assert set(values) == {f"{kill + 1}"}
    _assert_one_at_a_time(await _runs(hosted, user))


def _kill(hosted: Hosted, program: str) -> None:
    """The whole instance; the engine first, so that it has no time to see its worker die."""
    host = processes.running(hosted.env.folder, "host")
    assert host is not None
    (engine,) = (child for child in host.children() if child.exe() == str(Path(program).resolve()))
    engine.kill()
    hosted.kill()

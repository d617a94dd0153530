"""News from many instances of webhooks at once: they slow no chain down, and none is lost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from tests.durable.playing import Stage
from tests.unit.localhost.hosting import until
from tools.localhost.extension import STARTS
from tools.places import ROOT, free_port

pytestmark = pytest.mark.alone
INSTANCES = 4
WAKES = 60.0
"""A second, from all instances together."""
SLOWER = 1.3
LINKS = 20
ROUNDS = 3


@pytest.fixture(scope="module")
def settings(azurite: str) -> dict[str, str]:
    """Of an app whose workers have a store, where they know of each other."""
    return {
        "AzureWebJobsStorage": azurite,
        "FLUXLESS_TASK_HUB": f"test{uuid4().hex[:8]}",
        "FLUXLESS_BLOB_CONNECTION": azurite,
        "FLUXLESS_BLOB_CONTAINER": f"test{uuid4().hex[:8]}",
        "FLUXLESS_CLUSTERS": json.dumps([{"name": "none", "kubeconfig": "/nowhere"}]),
    }


@pytest.fixture(scope="module")
def stage(program: str, scripted: Path, workshop: Path, settings: dict[str, str]) -> Iterator[Stage]:
    """The instance that runs orchestrations."""
    with Stage.open(scripted, workshop / "woken", "--durable-host", program, env=settings) as stage:
        yield stage


@pytest.fixture(scope="module")
def doors(program: str, workshop: Path, settings: dict[str, str]) -> Iterator[list[str]]:
    """The doors of instances that only start and wake; one after the other, as each looks for a port."""
    with contextlib.ExitStack() as stack:
        yield [_instance(stack, program, workshop / f"client-{number}.log", settings) for number in range(INSTANCES)]


def _instance(stack: contextlib.ExitStack, program: str, file: Path, settings: dict[str, str]) -> str:
    log = stack.enter_context(file.open("ab"))
    for _ in range(STARTS):
        door = f"http://127.0.0.1:{free_port()}/"
        words = ["--host-json", str(ROOT / "host.json"), "--door", door, "--client-only", "true"]
        process = subprocess.Popen([program, *words], stdout=log, stderr=log, env={**os.environ, **settings})
        stack.callback(process.wait, 10)
        stack.callback(process.kill)
        if until(partial(_answers, door, process), "an instance", 60):
            return door
    raise AssertionError(file.read_text(errors="replace")[-2000:])


def _answers(door: str, process: subprocess.Popen[bytes]) -> bool | None:
    """None as long as nobody knows."""
    if process.poll() is not None:
        return False
    with contextlib.suppress(OSError):
        urllib.request.urlopen(door, timeout=2).close()
        return True
    return None


@pytest.fixture(scope="module")
def wakers(doors: list[str], settings: dict[str, str]) -> Iterator[list[subprocess.Popen[str]]]:
    """One for each door; they begin when they are told."""
    with contextlib.ExitStack() as stack:
        wakers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.durable.waker", door, f"{WAKES / INSTANCES}"],
                cwd=ROOT,
                env={**os.environ, **settings},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for door in doors
        ]
        for waker in wakers:
            stack.callback(waker.wait, 10)
            stack.callback(waker.kill)
        for waker in wakers:
            assert waker.stdout is not None
            assert waker.stdout.readline() == "ready\n"
        yield wakers


def _chain(stage: Stage, cluster: str, wakers: list[subprocess.Popen[str]]) -> float:
    """The seconds that it took, woken by all of these. Each link was begun once."""
    began = time.monotonic()
    stage.sync(cluster)
    _tell(wakers, cluster)
    assert stage.ended(cluster, 90)["runtimeStatus"] == "Completed"
    _tell(wakers, "")
    assert stage.begun(cluster) == [f"{link + 1}-0" for link in range(LINKS)]
    return time.monotonic() - began


def _tell(wakers: list[subprocess.Popen[str]], cluster: str) -> None:
    for waker in wakers:
        assert waker.stdin is not None
        waker.stdin.write(f"{cluster}\n")
        waker.stdin.flush()


def test_sixty_wakes_a_second_slow_no_chain_down(stage: Stage, wakers: list[subprocess.Popen[str]]) -> None:
    """Best against best: what else the machine does slows down now the one and now the other."""
    _chain(stage, f"chain-{LINKS}-warm", wakers)
    alone, woken = [], []
    for number in range(ROUNDS):
        alone.append(_chain(stage, f"chain-{LINKS}-alone{number}", []))
        woken.append(_chain(stage, f"chain-{LINKS}-woken{number}", wakers))
        plans = [len(stage.told(f"chain-{LINKS}-{which}{number}", "plan")) for which in ("alone", "woken")]
        print(f"{alone[-1]:.1f} s alone ({plans[0]} plans), {woken[-1]:.1f} s woken ({plans[1]} plans)")
        assert plans[0] < plans[1] < 2 * plans[0]
        if min(woken) <= SLOWER * min(alone):
            return
    pytest.fail(f"{min(woken):.1f} s instead of {min(alone):.1f}")

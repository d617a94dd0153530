"""Both engines, each a local host in a process of its own over the same scripted app."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.durable.playing import Stage
from tools.environment import DURABLE_HOST
from tools.places import ROOT

REASON = f"set {DURABLE_HOST} to the program of Microsoft's Durable extension to run what needs it"


@pytest.fixture(scope="session")
def program() -> str:
    """The program of Microsoft's extension; without it, what asks for it is skipped."""
    found = os.environ.get(DURABLE_HOST, "")
    if not Path(found).is_file():
        pytest.skip(REASON)
    return found


@pytest.fixture(scope="session")
def scripted(workshop: Path) -> Path:
    """The folder of the scripted app, with the host.json of the real one."""
    folder = workshop / "scripted"
    folder.mkdir()
    shutil.copy(Path(__file__).parent / "scripted" / "function_app.py", folder)
    shutil.copy(ROOT / "host.json", folder)
    return folder


@pytest.fixture(scope="session")
def theirs(program: str, scripted: Path, azurite: str, workshop: Path) -> Iterator[Stage]:
    """Microsoft's engine."""
    extra = {"AzureWebJobsStorage": azurite, "FLUXLESS_TASK_HUB": f"test{uuid4().hex[:8]}"}
    with Stage.open(scripted, workshop / "theirs", "--durable-host", program, env=extra) as stage:
        yield stage


@pytest.fixture(scope="session")
def ours(program: str, scripted: Path, workshop: Path) -> Iterator[Stage]:
    """The engine of `make up`."""
    with Stage.open(scripted, workshop / "ours", env={"FLUXLESS_TASK_HUB": "test"}) as stage:
        yield stage

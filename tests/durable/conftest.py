"""Both engines, each a local host in a process of its own over one scripted app; and the real app on Microsoft's."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from fluxless.kube.connect import ClusterConfig, connect
from tests.durable.playing import Stage
from tests.support.flux import Flux
from tests.support.hosted import Hosted, repository, tenant
from tests.support.issuer import Issuer
from tests.support.repositories import Repo
from tools import environment
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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hosted(program: str, control_plane: Path, workshop: Path) -> AsyncIterator[Hosted]:
    """The real app on Microsoft's engine, over the control plane of the run. Its timer ticks as in Azure."""
    folder = workshop / f"real-{uuid4().hex[:8]}"
    patch = pytest.MonkeyPatch()
    patch.setenv("KUBECONFIG", str(control_plane))
    env = await asyncio.to_thread(environment.up, folder, host_arguments=("--durable-host", program))
    patch.undo()
    cluster = await connect(ClusterConfig("dev", kubeconfig=str(env.kubeconfig)))
    yield Hosted(env, cluster, Issuer())
    await cluster.close()
    await asyncio.to_thread(environment.down, folder)


@pytest_asyncio.fixture(loop_scope="session")
async def user(hosted: Hosted) -> AsyncIterator[Flux]:
    """A tenant of the real app."""
    async with tenant(hosted) as flux:
        yield flux


@pytest.fixture
def pushed(hosted: Hosted, tmp_path: Path) -> Repo:
    """A repository on the Git server of the real app."""
    return repository(hosted, tmp_path)

"""The real parts that tests share: one control plane, one Azurite, one Git server per run, each started on demand."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from fluxless.cli.install import install
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from tools import binaries
from tools.azurite import launcher as azurite_launcher
from tools.devcluster import launcher as devcluster
from tools.gitserver import GitServer


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A folder for everything that runs during the tests."""
    folder = Path(tempfile.mkdtemp(prefix="fluxless-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def kustomize() -> None:
    """The pinned kustomize, for every test that builds."""
    os.environ["FLUXLESS_KUSTOMIZE"] = str(binaries.find(binaries.KUSTOMIZE))


@pytest.fixture(scope="session")
def control_plane(workshop: Path) -> Iterator[Path]:
    """The kubeconfig of a control plane with the CRDs; FLUXLESS_TEST_KUBECONFIG names another one to use."""
    given = os.environ.get("FLUXLESS_TEST_KUBECONFIG")
    folder = workshop / "cluster"
    config = Path(given) if given else devcluster.start(folder)

    async def put_crds() -> None:
        cluster = await connect(ClusterConfig("tests", kubeconfig=str(config)))
        await install(cluster)
        await cluster.close()

    asyncio.run(put_crds())
    yield config
    if not given:
        devcluster.stop(folder)


@pytest.fixture(scope="session")
def azurite(workshop: Path) -> Iterator[str]:
    """The connection string of an Azurite."""
    folder = workshop / "azurite"
    yield azurite_launcher.start(folder)
    azurite_launcher.stop(folder, kill=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def git_server(workshop: Path) -> AsyncIterator[GitServer]:
    """A Git server over HTTP; bare repositories below its `root` are served."""
    root = workshop / "git"
    root.mkdir()
    server = GitServer(root)
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(control_plane: Path) -> AsyncIterator[Cluster]:
    """A connection to the control plane."""
    connection = await connect(ClusterConfig("tests", kubeconfig=str(control_plane)))
    yield connection
    await connection.close()


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(cluster: Cluster) -> AsyncIterator[str]:
    """A namespace with a random name."""
    name = f"t-{uuid4().hex[:8]}"
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await cluster.delete(await cluster.resource("v1", "Namespace"), name)

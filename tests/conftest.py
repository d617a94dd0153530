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

from fluxless import addresses
from fluxless.artifacts.blob import AzureStore
from fluxless.artifacts.cache import ArtifactCache
from fluxless.cli.install import install
from fluxless.engine.engine import Engine
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from fluxless.reconcile.services import Services, Settings
from tests.support.flux import Flux
from tests.support.registry import Images
from tests.support.repositories import Repo
from tools import binaries
from tools.azurite import launcher as azurite_launcher
from tools.devcluster import launcher as devcluster
from tools.gitserver import GitServer
from tools.registry import launcher as registry_launcher

TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    """A folder for everything that runs during the tests."""
    folder = Path(tempfile.mkdtemp(prefix="fluxless-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def loopback() -> None:
    """Servers of tests listen there, and objects lead to them, as in `make up`."""
    addresses.use(addresses.AddressPolicy.of("127.0.0.0/8, ::1", {}))


@pytest.fixture(scope="session")
def pinned_binaries() -> None:
    """The binaries that the app runs, as pinned."""
    for binary in binaries.SHIPPED:
        os.environ[binary.setting] = str(binaries.find(binary))


@pytest.fixture(autouse=True)
def binaries_where_they_are_run(request: pytest.FixtureRequest) -> None:
    """Unit tests need none, so that `make unit` builds none, but for those that are marked."""
    if request.node.get_closest_marker("binaries"):
        request.getfixturevalue("pinned_binaries")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test has the mark of its folder, and all but unit tests run our binaries."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        item.add_marker(folder)
        if folder != "unit":
            item.add_marker("binaries")


@pytest.fixture(scope="session")
def control_plane(workshop: Path, pinned_binaries: None) -> Iterator[Path]:
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


@pytest.fixture(scope="session")
def registry(workshop: Path) -> Iterator[str]:
    """`host:port` of a registry that is open to everybody."""
    folder = workshop / "registry"
    yield registry_launcher.start(folder)
    registry_launcher.stop(folder)


@pytest.fixture
def images(registry: str) -> Images:
    """A repository with a random name on the open registry."""
    return Images(registry, f"test/{uuid4().hex[:8]}")


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


@pytest_asyncio.fixture(loop_scope="session")
async def flux(
    cluster: Cluster, namespace: str, control_plane: Path, azurite: str, tmp_path: Path
) -> AsyncIterator[Flux]:
    """An engine over the control plane and Azurite. After the test the invariants of every status are checked."""
    store = AzureStore.from_connection_string(azurite, namespace)
    services = Services(
        store,
        ArtifactCache(store, tmp_path / "cache"),
        Settings(health_inline=1.0, health_poll=1.0, source_spacing=0.0, artifact_retention=-60.0),
    )
    engine = Engine({"test": ClusterConfig("test", kubeconfig=str(control_plane))}, services)
    flux = Flux(engine, cluster, namespace, store)
    yield flux
    try:
        await flux.check()
    finally:
        await flux.clean()
        await engine.close()


@pytest.fixture
def repo(git_server: GitServer, tmp_path: Path) -> Repo:
    """A repository with a random name; it exists from its first push on."""
    return Repo(git_server, tmp_path, f"r-{uuid4().hex[:8]}")

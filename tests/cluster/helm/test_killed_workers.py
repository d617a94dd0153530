"""Workers that die over a release: it ends where a healthy run would have ended."""

import asyncio
import base64
import contextlib
import gzip
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from fluxless.helm.release import read
from fluxless.kube.errors import ApiProblem
from tests.support.charts import ChartServer, packed
from tests.support.command import BINARIES
from tests.support.flux import SOURCE, Flux, Obj, message, ready
from tests.support.hosted import until
from tests.support.releases import API, REJECTED, RELEASE, put_release, records, the_release
from tools.places import ROOT


async def test_a_release_that_somebody_died_over_is_recovered(flux: Flux, repository: ChartServer) -> None:
    """HR-60: no `another operation is in progress`."""
    await put_release(flux, "web")
    await flux.run(patience=5)
    resource = await flux.cluster.resource("v1", "Secret")
    (secret,) = await flux.cluster.list(resource, flux.namespace, labels="owner=helm,name=app")
    record = read(secret)
    document = json.loads(record.text)
    document["info"]["status"], document["version"] = "pending-upgrade", 2
    packed_record = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(document).encode()))).decode()
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {
            "name": "sh.helm.release.v1.app.v2",
            "namespace": flux.namespace,
            "labels": {"owner": "helm", "name": "app", "version": "2", "status": "pending-upgrade"},
        },
        "data": {"release": packed_record},
    }
    await flux.cluster.create(body)
    await put_release(flux, "web", values={"a": 9})
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "UpgradeSucceeded"), message(await the_release(flux))
    assert (await records(flux))[2] == "failed"
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "9"  # type: ignore[index]
    assert "PendingRelease" in [event["reason"] for event in await flux.events("app")]


LEASE = 2.0
"""Seconds that a dead worker's lease goes on."""
NEVER = 10_000
WORKER = """
import asyncio, os, signal, sys
from pathlib import Path
from fluxless import addresses
from fluxless.artifacts.blob import AzureStore
from fluxless.artifacts.cache import ArtifactCache
from fluxless.engine.engine import Engine
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig
from fluxless.reconcile.services import Services, Settings

async def main(name, config, azurite, container, folder, lease, writes):
    left, stream = int(writes), Cluster.stream

    def counted(self, method, path, headers, body):
        nonlocal left
        left -= method != "GET"
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return stream(self, method, path, headers, body)

    Cluster.stream = counted
    addresses.use(addresses.AddressPolicy.of("127.0.0.0/8, ::1", {}))
    store = AzureStore.from_connection_string(azurite, container)
    services = Services(store, ArtifactCache(store, Path(folder)), Settings(release_lease=float(lease)))
    engine = Engine({name: ClusterConfig(name, kubeconfig=config)}, services)
    while True:
        steps = await engine.plan(name, [], {})
        await asyncio.gather(*(engine.reconcile(name, batch) for batch in steps.batches))
        await asyncio.sleep(0.2)

asyncio.run(main(*sys.argv[1:]))
"""
POD = """apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {"helm.sh/hook": "{{ .Values.hook }}"}
spec:
  restartPolicy: Never
  nodeSelector: {nowhere: "true"}
  containers: [{name: x, image: x}]
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where workers are started."""

    flux: Flux
    words: tuple[str, ...]

    async def start(self, writes: int = NEVER) -> asyncio.subprocess.Process:
        """A worker that kills itself before the write of that number."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WORKER, *self.words, str(LEASE), str(writes)),
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **{name: os.environ[name] for name in BINARIES}},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def kill_when(self, moment: Callable[[], Awaitable[bool]]) -> None:
        """kill -9 a worker at that moment, and so its helm."""
        worker = await self.start()
        try:
            await until(moment, "helm to be at work", 60.0)
        finally:
            children = psutil.Process(worker.pid).children(recursive=True)
            worker.kill()
            await worker.wait()
        assert children
        assert psutil.wait_procs(children, timeout=2.0)[1] == []

    async def kill_at(self, write: int) -> None:
        """A worker kills itself before its helm's write of that number."""
        worker = await self.start(write)
        async with asyncio.timeout(60.0):
            assert await worker.wait() == -signal.SIGKILL


@pytest.fixture
def place(flux: Flux, control_plane: Path, azurite: str, tmp_path: Path) -> Place:
    flux.configure(release_lease=LEASE)
    return Place(flux, (flux.name, str(control_plane), azurite, flux.namespace, str(tmp_path / "other")))


@pytest_asyncio.fixture(loop_scope="session")
async def hooked(flux: Flux, charts: ChartServer) -> AsyncIterator[None]:
    """The chart `hooked`: a Pod as the hook that `values.hook` says, and a ConfigMap of a name that may be refused."""
    files = {"templates/x.yaml": REJECTED, "templates/hook.yaml": POD, "values.yaml": "name: good\nhook: post-delete\n"}
    charts.add("hooked", "1.0.0", packed("hooked", "1.0.0", files))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    yield


@contextlib.asynccontextmanager
async def completing(flux: Flux) -> AsyncIterator[None]:
    """Every hook's Pod succeeds, as soon as it is there."""

    async def complete() -> None:
        resource = await flux.cluster.resource("v1", "Pod")
        while True:
            for pod in await flux.cluster.list(resource, flux.namespace):
                if pod["status"]["phase"] == "Pending":
                    with contextlib.suppress(ApiProblem):
                        body = {"status": {"phase": "Succeeded"}}
                        name = pod["metadata"]["name"]
                        await flux.cluster.patch(resource, name, flux.namespace, body=body, subresource="status")
            await asyncio.sleep(0.1)

    task = asyncio.create_task(complete())
    try:
        yield
    finally:
        task.cancel()


def _stands(flux: Flux, **expected: str) -> Callable[[], Awaitable[bool]]:
    """Whether Helm's records are these, as `v1="deployed"`, and the hook's Pod is there."""

    async def stands() -> bool:
        known = {f"v{version}": status for version, status in (await records(flux)).items()}
        return known == expected and await flux.get("v1", "Pod", "app-hook") is not None

    return stands


async def _go_on(flux: Flux) -> Obj:
    async with completing(flux):
        await flux.run(patience=5)
    return await the_release(flux)


async def test_killed_in_an_install(flux: Flux, place: Place, hooked: None) -> None:
    """Its hooks have to run: it is made once more as an install, where Flux would upgrade."""
    await put_release(flux, "hooked", values={"hook": "pre-install"})
    await place.kill_when(_stands(flux, v1="pending-install"))
    assert await records(flux) == {1: "pending-install"}
    found = await _go_on(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    assert await records(flux) == {1: "failed", 2: "deployed"}
    assert await flux.get("v1", "ConfigMap", "good") is not None
    assert "PendingRelease" in [event["reason"] for event in await flux.events("app")]


async def test_killed_in_an_upgrade(flux: Flux, place: Place, hooked: None) -> None:
    await put_release(flux, "hooked")
    await flux.run(patience=5)
    await put_release(flux, "hooked", values={"hook": "pre-upgrade", "name": "better"})
    await place.kill_when(_stands(flux, v1="deployed", v2="pending-upgrade"))
    found = await _go_on(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert await records(flux) == {1: "superseded", 2: "failed", 3: "deployed"}
    assert await flux.get("v1", "ConfigMap", "better") is not None
    assert await flux.get("v1", "ConfigMap", "good") is None


async def test_killed_in_a_rollback(flux: Flux, place: Place, hooked: None) -> None:
    await put_release(flux, "hooked", values={"hook": "pre-rollback"})
    await flux.run(patience=5)
    bad = {"hook": "pre-rollback", "name": "Not_A_Name"}
    remediation = {"retries": 0, "remediateLastFailure": True}
    await put_release(flux, "hooked", values=bad, upgrade={"remediation": remediation})
    await place.kill_when(_stands(flux, v1="deployed", v2="failed", v3="pending-rollback"))
    found = await _go_on(flux)
    assert ready(found) == ("False", "RollbackSucceeded"), message(found)
    assert message(found, "Stalled").startswith("Failed to upgrade after 1 attempt(s)")
    assert await records(flux) == {1: "superseded", 2: "failed", 3: "failed", 4: "deployed"}
    assert await flux.get("v1", "ConfigMap", "good") is not None


async def test_killed_in_a_test(flux: Flux, place: Place, hooked: None) -> None:
    await put_release(flux, "hooked", values={"hook": "test"}, test={"enable": True})
    await place.kill_when(_stands(flux, v1="deployed"))
    found = await _go_on(flux)
    assert ready(found) == ("True", "TestSucceeded"), message(found)
    assert await records(flux) == {1: "deployed"}
    assert found["status"]["history"][0]["testHooks"]["app-hook"]["phase"] == "Succeeded"


async def test_killed_in_an_uninstall(flux: Flux, place: Place, hooked: None) -> None:
    await put_release(flux, "hooked", values={"hook": "pre-delete"})
    await flux.run(patience=5)
    await flux.delete(API, RELEASE, "app")
    await place.kill_when(_stands(flux, v1="uninstalling"))
    async with completing(flux):
        await flux.run(patience=5)
    assert await flux.get(API, RELEASE, "app") is None
    assert await records(flux) == {}
    assert await flux.get("v1", "ConfigMap", "good") is None


async def test_killed_in_the_uninstall_that_undoes_an_install(flux: Flux, place: Place, hooked: None) -> None:
    remediation = {"retries": 0, "remediateLastFailure": True}
    bad = {"hook": "pre-delete", "name": "Not_A_Name"}
    await put_release(flux, "hooked", values=bad, install={"remediation": remediation})
    await place.kill_when(_stands(flux, v1="uninstalling"))
    found = await _go_on(flux)
    assert message(found, "Stalled").startswith("Failed to install after 1 attempt(s)")
    assert ready(found) == ("False", "InstallFailed"), message(found)
    assert message(found, "Remediated").startswith("Helm uninstall remediation for release")
    assert await records(flux) == {}


@pytest.mark.parametrize("write", [0, 1, 2, 3])
async def test_killed_before_any_write_of_an_install(
    flux: Flux, place: Place, repository: ChartServer, write: int
) -> None:
    """The record, the object, the record again; the last number is killed behind all of them."""
    await put_release(flux, "web", values={"a": 1}, test={"enable": True})
    await place.kill_at(write)
    found = await _go_on(flux)
    assert ready(found) == ("True", "TestSucceeded"), message(found)
    assert list((await records(flux)).values())[-1] == "deployed"
    assert len(await records(flux)) == (1 if write in {0, 3} else 2)
    assert found["status"]["history"][0]["action"] == "install"


@pytest.mark.parametrize("write", [0, 1, 2, 3, 4])
async def test_killed_before_any_write_of_an_upgrade(
    flux: Flux, place: Place, repository: ChartServer, write: int
) -> None:
    """The record, the object, the record of the version before, the record again, and the tests behind them."""
    await put_release(flux, "web", values={"a": 1})
    await flux.run(patience=5)
    await put_release(flux, "web", values={"a": 2}, test={"enable": True})
    await place.kill_at(write)
    found = await _go_on(flux)
    assert ready(found) == ("True", "TestSucceeded"), message(found)
    data = await flux.get("v1", "ConfigMap", "app")
    assert data is not None
    assert data["data"]["a"] == "2"
    assert list((await records(flux)).values()).count("deployed") == 1


async def test_a_worker_that_stood_still_changes_nothing_any_more(flux: Flux, place: Place, hooked: None) -> None:
    """SIGSTOP is a pause of any length: when it wakes up another one has taken over, and its helm is refused."""
    await put_release(flux, "hooked", values={"hook": "pre-install"})
    worker = await place.start()
    try:
        await until(_stands(flux, v1="pending-install"), "helm to be at work", 60.0)
        worker.send_signal(signal.SIGSTOP)
        found = await _go_on(flux)
        assert ready(found) == ("True", "InstallSucceeded"), message(found)
        before = await records(flux)
        worker.send_signal(signal.SIGCONT)
        await asyncio.sleep(3.0)
        assert await records(flux) == before
        assert (await the_release(flux))["status"]["history"] == found["status"]["history"]
    finally:
        worker.kill()
        await worker.wait()


async def test_a_release_that_was_made_by_a_worker_that_died_is_known_as_ours(
    flux: Flux, repository: ChartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead between helm's success and the status: no second release is made."""

    async def die(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr("fluxless.helm.acting._succeeded", die)
    await put_release(flux, "web")
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    assert [entry["version"] for entry in found["status"]["history"]] == [1]
    assert await records(flux) == {1: "deployed"}

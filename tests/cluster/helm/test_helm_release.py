"""HelmRelease with the real helm on a real API server (HR rows)."""

import asyncio
import base64
import gzip
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fluxless.helm.release import read
from fluxless.kube.door import Door, opened
from fluxless.oci import media
from fluxless.render.helm import helm
from tests.support.charts import ChartServer, packed, push_chart
from tests.support.command import BINARIES, fluxless
from tests.support.flux import SOURCE, Flux, Obj, message, ready
from tests.support.hosted import until
from tests.support.registry import Images
from tests.support.repositories import Repo, config_map
from tools.places import ROOT

pytestmark = pytest.mark.cluster
API, RELEASE = "helm.toolkit.fluxcd.io/v2", "HelmRelease"
TEMPLATE = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  a: "{{ .Values.a }}"
  namespace: {{ .Release.Namespace }}
"""
CHART = {"templates/x.yaml": TEMPLATE}


@pytest_asyncio.fixture(loop_scope="session")
async def charts() -> AsyncIterator[ChartServer]:
    server = ChartServer()
    await server.start()
    server.add("web", "1.0.0", packed("web", "1.0.0", CHART))
    yield server
    await server.stop()


async def _release(flux: Flux, name: str = "app", version: str = "1.x", **spec: Any) -> None:
    source = {"kind": "HelmRepository", "name": "repo"}
    chart = {"spec": {"chart": "web", "version": version, "sourceRef": source}}
    await flux.put(API, RELEASE, name, {"interval": "10m", "chart": chart, **spec})


async def _records(flux: Flux, name: str = "app") -> dict[int, str]:
    resource = await flux.cluster.resource("v1", "Secret")
    found = await flux.cluster.list(resource, flux.namespace, labels=f"owner=helm,name={name}")
    return {one.version: one.status for one in map(read, found)}


async def _the(flux: Flux, name: str = "app") -> Obj:
    return await flux.source_of(RELEASE, name)


async def test_a_chart_is_released_upgraded_and_uninstalled(flux: Flux, charts: ChartServer) -> None:
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await _release(flux, values={"a": 7})
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    text = f"Helm install succeeded for release {flux.namespace}/app.v1 with chart web@1.0.0"
    assert message(found) == message(found, "Released") == text
    assert (await flux.get("v1", "ConfigMap", "app"))["data"] == {"a": "7", "namespace": flux.namespace}  # type: ignore[index]
    status = found["status"]
    assert status["helmChart"] == f"{flux.namespace}/{flux.namespace}-app"
    assert status["history"][0]["status"] == "deployed"
    assert status["inventory"]["entries"] == [{"id": f"{flux.namespace}_app__ConfigMap", "v": "v1"}]
    assert await _records(flux) == {1: "deployed"}

    before = found
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    after = await _the(flux)
    assert after["status"]["history"] == before["status"]["history"]

    await _release(flux, values={"a": 8})
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "8"  # type: ignore[index]
    assert [entry["version"] for entry in found["status"]["history"]] == [2, 1]
    assert await _records(flux) == {1: "superseded", 2: "deployed"}

    charts.add("web", "1.1.0", packed("web", "1.1.0", CHART))
    await flux.request("HelmRepository", "repo")
    await flux.run(patience=5)
    assert (await _the(flux))["status"]["lastAttemptedRevision"] == "1.1.0"

    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)
    assert await flux.get(API, RELEASE, "app") is None
    assert await flux.get("v1", "ConfigMap", "app") is None
    assert await _records(flux) == {}
    assert await flux.get(SOURCE, "HelmChart", f"{flux.namespace}-app") is None


DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: 1
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      {{- if .Values.bad }}
      nodeSelector: {nowhere: "true"}
      {{- end }}
      containers: [{name: x, image: "x:{{ .Values.tag }}"}]
"""
REJECTED = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Values.name }}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def repository(flux: Flux, charts: ChartServer) -> ChartServer:
    """The HelmRepository `repo`, with a chart of a ConfigMap that may be refused, and one of a Deployment."""
    charts.add(
        "named", "1.0.0", packed("named", "1.0.0", {"templates/x.yaml": REJECTED, "values.yaml": "name: good\n"})
    )
    charts.add(
        "deployed", "1.0.0", packed("deployed", "1.0.0", {"templates/x.yaml": DEPLOYMENT, "values.yaml": "tag: a\n"})
    )
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    return charts


async def _of(flux: Flux, chart: str, name: str = "app", **spec: Any) -> None:
    source = {"kind": "HelmRepository", "name": "repo"}
    await flux.put(
        API, RELEASE, name, {"interval": "10m", "chart": {"spec": {"chart": chart, "sourceRef": source}}, **spec}
    )


async def test_objects_say_whose_they_are(flux: Flux, repository: ChartServer) -> None:
    """HR-30, HR-73, HR-74."""
    await _of(flux, "web", commonMetadata={"labels": {"team": "a"}, "annotations": {"note": "b"}})
    await flux.run(patience=5)
    assert ready(await _the(flux))[0] == "True"
    made = await flux.get("v1", "ConfigMap", "app")
    assert made is not None
    labels = made["metadata"]["labels"]
    assert labels["helm.toolkit.fluxcd.io/name"] == "app"
    assert labels["helm.toolkit.fluxcd.io/namespace"] == flux.namespace
    assert labels["team"] == "a"
    assert made["metadata"]["annotations"]["note"] == "b"
    assert {entry["manager"] for entry in made["metadata"]["managedFields"]} == {"helm-controller"}


async def test_values_come_from_everywhere(flux: Flux, repository: ChartServer) -> None:
    """HR-71; what is missing is named, and its coming starts the release."""
    await _of(
        flux,
        "web",
        values={"b": 1},
        valuesFrom=[
            {"kind": "Secret", "name": "values"},
            {"kind": "ConfigMap", "name": "single", "valuesKey": "one", "targetPath": "a"},
            {"kind": "ConfigMap", "name": "none", "optional": True},
        ],
    )
    await flux.run(patience=0.3)
    found = await _the(flux)
    assert ready(found) == ("False", "ValuesError")
    assert f"could not resolve Secret chart values reference '{flux.namespace}/values'" in message(found)
    await flux.secret("values", {"values.yaml": "a: of-secret\n"})
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "single", "namespace": flux.namespace}}
    await flux.cluster.apply({**body, "data": {"other": "x"}}, manager="user")
    await flux.request(RELEASE, "app")
    await flux.run(patience=0.3)
    assert "it has other; correct valuesKey" in message(await _the(flux))
    await flux.cluster.apply({**body, "data": {"one": "of-map"}}, manager="user")
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert ready(await _the(flux)) == ("True", "InstallSucceeded")
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "of-map"  # type: ignore[index]


async def test_a_failed_install_is_undone_and_tried_again_as_often_as_it_may(
    flux: Flux, repository: ChartServer
) -> None:
    """HR-20, HR-64."""
    await _of(flux, "named", values={"name": "Not_A_Name"}, install={"remediation": {"retries": 1}})
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("False", "InstallFailed"), message(found)
    assert message(found, "Stalled").startswith("Failed to install after 2 attempt(s)")
    assert found["status"]["installFailures"] == 2
    events = [event["reason"] for event in await flux.events("app")]
    assert events.count("InstallFailed") >= 1
    assert "UninstallSucceeded" in events
    await _of(flux, "named", values={"name": "good"})
    await flux.run(patience=5)
    assert ready(await _the(flux)) == ("True", "UpgradeSucceeded")  # over the failed install, which was left
    assert "installFailures" not in (await _the(flux))["status"]


async def test_a_failed_upgrade_is_rolled_back(flux: Flux, repository: ChartServer) -> None:
    """HR-23, HR-76."""
    await _of(flux, "named")
    await flux.run(patience=5)
    await _of(
        flux,
        "named",
        values={"name": "Not_A_Name"},
        upgrade={"remediation": {"retries": 0, "remediateLastFailure": True}},
    )
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("False", "RollbackSucceeded"), message(found)
    assert message(found, "Stalled").startswith("Failed to upgrade after 1 attempt(s)")
    assert message(found, "Remediated").startswith("Helm rollback to previous release")
    assert await _records(flux) == {1: "superseded", 2: "failed", 3: "deployed"}
    assert await flux.get("v1", "ConfigMap", "good") is not None


async def test_a_release_that_does_not_become_ready_has_failed(flux: Flux, repository: ChartServer) -> None:
    await _of(flux, "deployed", timeout="4s", values={"bad": True})
    await flux.run(patience=6)
    found = await _the(flux)
    assert ready(found)[0] == "False"
    assert "Helm install failed" in message(found, "Released")
    assert "timeout waiting for" in message(found, "Released")
    assert list((await _records(flux)).values()) == ["failed"]


async def test_a_correction_does_not_wait_for_what_is_broken(flux: Flux, repository: ChartServer) -> None:
    await _of(flux, "deployed", timeout="10m", values={"bad": True})
    await flux.run(patience=0.3)
    assert ready(await _the(flux))[0] == "Unknown"
    await _of(flux, "deployed", timeout="10m")
    await flux.run(patience=5)
    assert ready(await _the(flux)) == ("True", "UpgradeSucceeded"), message(await _the(flux))


async def test_a_release_that_somebody_died_over_is_recovered(flux: Flux, repository: ChartServer) -> None:
    """HR-60: no `another operation is in progress`."""
    await _of(flux, "web")
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
    await _of(flux, "web", values={"a": 9})
    await flux.run(patience=5)
    assert ready(await _the(flux)) == ("True", "UpgradeSucceeded"), message(await _the(flux))
    assert (await _records(flux))[2] == "failed"
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "9"  # type: ignore[index]
    assert "PendingRelease" in [event["reason"] for event in await flux.events("app")]


async def test_a_chart_of_a_registry_goes_elsewhere(
    flux: Flux, repository: ChartServer, images: Images, tmp_path: Path
) -> None:
    """HR-5, HR-8, HR-68: the records stay with the object."""
    await push_chart(images, tmp_path, "web", "1.2.3", packed("web", "1.2.3", CHART))
    selector = {"mediaType": media.HELM_CHART, "operation": "copy"}
    below = Images(images.repository.host, f"{images.repository.path}/web")
    await flux.oci(below, ref={"tag": "1.2.3"}, layerSelector=selector)
    target = f"{flux.namespace}-x"
    spec = {"interval": "10m", "chartRef": {"kind": "OCIRepository", "name": "repo"}, "targetNamespace": target}
    await flux.put(API, RELEASE, "app", {**spec, "install": {"createNamespace": True}})
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    entry = found["status"]["history"][0]
    digest = (await flux.source_of("OCIRepository"))["status"]["artifact"]["revision"].partition("@")[2]
    assert entry["chartVersion"] == f"1.2.3+{digest.partition(':')[2][:12]}"
    assert entry["ociDigest"] == digest
    name = f"{target}-app"
    assert (entry["name"], entry["namespace"]) == (name, target)
    made = await flux.get("v1", "ConfigMap", name, target)
    assert made is not None
    assert made["data"]["namespace"] == target
    assert await _records(flux, name) == {1: "deployed"}
    resource = await flux.cluster.resource("v1", "Secret")
    assert await flux.cluster.list(resource, target, labels="owner=helm") == []
    before = found["status"]
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert (await _the(flux))["status"]["history"] == before["history"]
    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)
    assert await flux.get("v1", "ConfigMap", name, target) is None
    await flux.cluster.delete(await flux.cluster.resource("v1", "Namespace"), target)


async def test_a_release_waits_for_a_kustomization_and_the_other_way_round(
    flux: Flux, repository: ChartServer, repo: Repo
) -> None:
    """HR-9, across kinds."""
    repo.push({"one/a.yaml": config_map("one"), "two/b.yaml": config_map("two")})
    await flux.source(repo, "git")
    await flux.kustomization("one", "git", path="./one")
    await _of(flux, "web", dependsOn=[{"kind": "Kustomization", "name": "one"}])
    await flux.kustomization("two", "git", path="./two", dependsOn=[{"kind": "HelmRelease", "name": "app"}])
    await flux.run(patience=5)
    assert ready(await _the(flux))[0] == "True"
    assert ready(await flux.ks("two"))[0] == "True"


@pytest.mark.parametrize("field", [{"postRenderStrategy": "nohooks"}, {"driftDetection": {"mode": "warn"}}])
async def test_what_is_not_built_is_refused(flux: Flux, repository: ChartServer, field: dict[str, Any]) -> None:
    await _of(flux, "web", **field)
    await flux.run(patience=1)
    found = await _the(flux)
    assert ready(found) == ("False", "UnsupportedField")
    assert f"spec.{next(iter(field))}" in message(found)
    assert "is not supported by this version" in message(found)
    assert await _records(flux) == {}


async def test_a_release_that_moves_is_uninstalled_first(flux: Flux, repository: ChartServer) -> None:
    """HR-63: another name, then another chart."""
    await _of(flux, "web")
    await flux.run(patience=5)
    await _of(flux, "web", releaseName="other")
    await flux.run(patience=5)
    assert ready(await _the(flux)) == ("True", "InstallSucceeded"), message(await _the(flux))
    assert await _records(flux) == {}
    assert await _records(flux, "other") == {1: "deployed"}
    assert await flux.get("v1", "ConfigMap", "app") is None
    await _of(flux, "named", releaseName="other")
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    assert [entry["chartName"] for entry in found["status"]["history"]] == ["named"]
    assert await flux.get("v1", "ConfigMap", "other") is None
    assert await flux.get("v1", "ConfigMap", "good") is not None


async def test_what_somebody_else_did_with_helm_is_noticed(flux: Flux, repository: ChartServer) -> None:
    """HR-62: a rollback by hand, and a release that was there before the object."""
    await _of(flux, "web", values={"a": 1})
    await flux.run(patience=5)
    await _of(flux, "web", values={"a": 2})
    await flux.run(patience=5)
    async with opened(flux.cluster, Door("helm", flux.namespace, flux.namespace)) as door:
        await helm(["rollback", "app", "1", "--force-conflicts"], door, flux.namespace, timeout=30)
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "1"  # type: ignore[index]
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "2"  # type: ignore[index]
    assert await _records(flux) == {1: "superseded", 2: "superseded", 3: "superseded", 4: "deployed"}


async def test_a_secret_of_a_chart_stays_where_it_belongs(flux: Flux, charts: ChartServer) -> None:
    """Only Helm's own records go to the storage namespace."""
    template = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: own\nstringData:\n  a: sh.helm.release.v1.x\n"
    charts.add("secret", "1.0.0", packed("secret", "1.0.0", {"templates/x.yaml": template}))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    target = f"{flux.namespace}-y"
    for on_server in (True, False):
        name = f"app-{str(on_server).lower()}"
        install = {"createNamespace": True, "serverSideApply": on_server}
        await _of(flux, "secret", name, targetNamespace=target, install=install)
        await flux.run(patience=5)
        assert ready(await _the(flux, name))[0] == "True", message(await _the(flux, name))
        assert await flux.get("v1", "Secret", "own", target) is not None
        assert await flux.get("v1", "Secret", "own") is None
        await flux.delete(API, RELEASE, name)
        await flux.run(patience=5)
    await flux.cluster.delete(await flux.cluster.resource("v1", "Namespace"), target)


async def test_a_release_is_forced_and_counts_from_zero_when_asked(flux: Flux, repository: ChartServer) -> None:
    """HR-65, CM-7: the annotations count with the token of the reconcile request only."""
    await _of(flux, "named")
    await flux.run(patience=5)
    notes = {"reconcile.fluxcd.io/requestedAt": "t1", "reconcile.fluxcd.io/forceAt": "t0"}
    await flux.patch(API, RELEASE, "app", {"metadata": {"annotations": notes}})
    await flux.run(patience=5)
    assert await _records(flux) == {1: "deployed"}
    await flux.patch(API, RELEASE, "app", {"metadata": {"annotations": dict.fromkeys(notes, "t2")}})
    await flux.run(patience=5)
    found = await _the(flux)
    assert await _records(flux) == {1: "superseded", 2: "deployed"}
    assert found["status"]["lastHandledForceAt"] == "t2"
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert len(await _records(flux)) == 2

    await _of(flux, "named", values={"name": "Not_A_Name"})
    await flux.run(patience=5)
    assert message(await _the(flux), "Stalled") != "None"
    reset = dict.fromkeys(("reconcile.fluxcd.io/requestedAt", "reconcile.fluxcd.io/resetAt"), "t3")
    await flux.patch(API, RELEASE, "app", {"metadata": {"annotations": reset}})
    await flux.run(patience=5)
    found = await _the(flux)
    assert found["status"]["lastHandledResetAt"] == "t3"
    assert max(await _records(flux)) == 4  # tried once more


async def test_the_command_line_speaks_of_releases(flux: Flux, repository: ChartServer, control_plane: Path) -> None:
    await _of(flux, "web", values={"a": 5})
    await flux.run(patience=5)
    typed = {
        ("get", "helmreleases"): "1.0.0",
        ("tree", "helmrelease", "app"): f"ConfigMap/{flux.namespace}/app",
        ("debug", "helmrelease", "app", "--show-values"): "a: 5",
        ("debug", "hr", "app", "--show-history"): "chartVersion: 1.0.0",
        ("export", "helmrelease", "app"): "chart: web",
        ("get", "sources", "chart"): "web",
    }
    for words, expected in typed.items():
        done = await asyncio.to_thread(fluxless, control_plane, *words, "-n", flux.namespace)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout, words


async def test_what_is_rendered_is_changed_by_kustomize(flux: Flux, repository: ChartServer) -> None:
    """HR-31, HR-48: a change of the patches alone upgrades the release, once."""
    patch = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app\ndata:\n  extra: one\n"
    await _of(flux, "web", postRenderers=[{"kustomize": {"patches": [{"patch": patch}]}}])
    await flux.run(patience=5)
    assert ready(await _the(flux)) == ("True", "InstallSucceeded"), message(await _the(flux))
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["extra"] == "one"  # type: ignore[index]
    await _of(flux, "web", postRenderers=[{"kustomize": {"patches": [{"patch": patch.replace("one", "two")}]}}])
    await flux.run(patience=5)
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["extra"] == "two"  # type: ignore[index]
    assert await _records(flux) == {1: "superseded", 2: "deployed"}
    await _of(flux, "web", postRenderers=[{"kustomize": {"patches": [{"patch": "kind: x"}]}}])
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found)[0] == "False"
    assert "post-renderer" in message(found)


TEST = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Values.%s }}
  annotations: {"helm.sh/hook": test}
"""


async def test_the_tests_of_a_chart_decide(flux: Flux, charts: ChartServer) -> None:
    """HR-25, HR-75, HR-23."""
    values = "one: first\ntwo: second\n"
    files = {"templates/one.yaml": TEST % "one", "templates/two.yaml": TEST % "two", "values.yaml": values}
    charts.add("tested", "1.0.0", packed("tested", "1.0.0", CHART | files))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await _of(flux, "tested", test={"enable": True})
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "TestSucceeded"), message(found)
    assert message(found).endswith("2 test hooks completed successfully")
    hooks = found["status"]["history"][0]["testHooks"]
    assert {name: hook["phase"] for name, hook in hooks.items()} == {"first": "Succeeded", "second": "Succeeded"}
    before = found["status"]["history"]
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert (await _the(flux))["status"]["history"] == before

    bad = {"two": "Not_A_Name"}
    remediation = {"retries": 0, "remediateLastFailure": True}
    await _of(flux, "tested", test={"enable": True}, values=bad, upgrade={"remediation": remediation})
    await flux.run(patience=5)
    found = await _the(flux)
    assert message(found, "TestSuccess").startswith("Helm test failed for release"), found["status"]
    assert message(found, "Remediated").startswith("Helm rollback to previous release")
    assert found["status"]["upgradeFailures"] == 1

    await _of(flux, "tested", test={"enable": True, "ignoreFailures": True}, values={**bad, "a": 1})
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert message(found, "TestSuccess").startswith("Helm test failed")

    chosen = {"enable": True, "filters": [{"name": "first"}]}
    await _of(flux, "tested", test=chosen, values={**bad, "a": 2})
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "TestSucceeded"), message(found)
    assert set(found["status"]["history"][0]["testHooks"]) == {"first"}


# -- workers that die -------------------------------------------------------------------------------------------------

HOOK = """apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {"helm.sh/hook": "pre-install"}
spec:
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {nowhere: "true"}
      containers: [{name: x, image: x}]
"""
WORKER = """
import asyncio, sys
from pathlib import Path
from fluxless.artifacts.blob import AzureStore
from fluxless.artifacts.cache import ArtifactCache
from fluxless.engine.engine import Engine
from fluxless.kube.connect import ClusterConfig
from fluxless.reconcile.services import Services

async def main(name, config, azurite, container, folder):
    store = AzureStore.from_connection_string(azurite, container)
    engine = Engine({name: ClusterConfig(name, kubeconfig=config)}, Services(store, ArtifactCache(store, Path(folder))))
    while True:
        steps = await engine.plan(name, [], {})
        await asyncio.gather(*(engine.reconcile(name, batch) for batch in steps.batches))
        await asyncio.sleep(0.2)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_worker_that_dies_in_the_middle_of_an_install_leaves_nothing_stuck(
    flux: Flux, charts: ChartServer, control_plane: Path, azurite: str, tmp_path: Path
) -> None:
    """kill -9 while helm waits for a hook: the release stays `pending-install`, and the next worker goes on."""
    charts.add("hooked", "1.0.0", packed("hooked", "1.0.0", CHART | {"templates/hook.yaml": HOOK}))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await _of(flux, "hooked")
    words = (flux.name, str(control_plane), azurite, flux.namespace, str(tmp_path / "other"))
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, *words),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **{name: os.environ[name] for name in BINARIES}},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )

    async def at_work() -> bool:
        return await _records(flux) == {1: "pending-install"}

    try:
        await until(at_work, "helm to wait for the hook", 60.0)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        await worker.wait()
    assert await _records(flux) == {1: "pending-install"}
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert await _records(flux) == {1: "superseded", 2: "deployed"}
    assert await flux.get("v1", "ConfigMap", "app") is not None


async def test_a_release_that_was_made_by_a_worker_that_died_is_known_as_ours(
    flux: Flux, repository: ChartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead between helm's success and the status: no second release is made."""

    async def die(*_: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr("fluxless.helm.acting._succeeded", die)
    await _of(flux, "web")
    await flux.run(patience=5)
    found = await _the(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    assert [entry["version"] for entry in found["status"]["history"]] == [1]
    assert await _records(flux) == {1: "deployed"}

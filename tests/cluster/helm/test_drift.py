"""Drift of releases (HR-13, HR-74): by ownership, field by field, with ignore rules."""

from collections import Counter
from typing import Any

import pytest

from fluxless.reconcile.drift_history import history
from fluxless.reconcile.records import drift_name, read_state
from fluxless.reconcile.world import Ref
from tests.support.charts import ChartServer
from tests.support.flux import Flux, message, ready
from tests.support.releases import API, RELEASE, put_release, the_release


async def _start(flux: Flux, mode: str, **spec: Any) -> None:
    await put_release(flux, "web", values={"a": 1}, driftDetection={"mode": mode, **spec.pop("drift", {})}, **spec)
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    assert message(found, "Drifted") == "No drift detected against the cluster state"


async def _again(flux: Flux) -> None:
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)


async def _data(flux: Flux) -> dict[str, str]:
    found = await flux.get("v1", "ConfigMap", "app")
    assert found is not None
    return dict(found["data"])


async def _reasons(flux: Flux) -> Counter[str]:
    return Counter(event["reason"] for event in await flux.events("app"))


@pytest.mark.parametrize("on_server", [True, False])
async def test_drift_is_set_right(flux: Flux, repository: ChartServer, on_server: bool) -> None:
    await _start(flux, "enabled", install={"serverSideApply": on_server})
    before = await flux.get("v1", "ConfigMap", "app")
    await flux.patch("v1", "ConfigMap", "app", {"data": {"a": "theirs"}, "metadata": {"labels": {"more": "x"}}})
    await _again(flux)
    assert (await _data(flux))["a"] == "1"
    found = await the_release(flux)
    assert ready(found)[0] == "True"
    assert message(found, "Drifted") == "No drift detected against the cluster state"
    events = {event["reason"]: event["message"] for event in await flux.events("app")}
    release = f"Cluster state of release {flux.namespace}/app.v1 has"
    drifted = (
        f"{release} drifted from the desired state:\nConfigMap/{flux.namespace}/app: .data.a changed by kubectl-edit"
    )
    assert events["DriftDetected"] == drifted
    assert events["DriftCorrected"] == f"{release} been corrected:\nConfigMap/{flux.namespace}/app configured"
    after = await flux.get("v1", "ConfigMap", "app")
    assert before is not None
    assert after is not None
    assert after["metadata"]["labels"] == {**before["metadata"]["labels"], "more": "x"}

    await flux.delete("v1", "ConfigMap", "app")
    await _again(flux)
    assert (await _data(flux))["a"] == "1"
    assert (await the_release(flux))["status"]["history"] == found["status"]["history"]
    await _again(flux)
    assert (await _reasons(flux))["DriftCorrected"] == 2
    checks, _ = await read_state(flux.store, drift_name(flux.name, Ref(RELEASE, flux.namespace, "app")), history)
    assert [check["mode"] for check in checks] == ["corrected", "corrected"]


async def test_drift_is_told_and_left(flux: Flux, repository: ChartServer) -> None:
    await _start(flux, "warn")
    await flux.patch("v1", "ConfigMap", "app", {"data": {"a": "theirs"}})
    await _again(flux)
    await _again(flux)
    found = await the_release(flux)
    assert (await _data(flux))["a"] == "theirs"
    assert ready(found) == ("True", "InstallSucceeded")
    assert "ConfigMap/" in message(found, "Drifted")
    assert (await _reasons(flux))["DriftDetected"] == 1
    await flux.patch("v1", "ConfigMap", "app", {"data": {"a": "1"}})
    await _again(flux)
    assert message(await the_release(flux), "Drifted") == "No drift detected against the cluster state"
    await put_release(flux, "web", values={"a": 1})
    await flux.run(patience=5)
    assert message(await the_release(flux), "Drifted") == "None"


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ([{"paths": ["/data/a"]}], True),
        ([{"paths": ["/data/a"], "target": {"kind": "ConfigMap", "name": "ap.*"}}], True),
        ([{"paths": ["/data/a"], "target": {"kind": "Secret"}}], False),
        ([{"paths": [""], "target": {"kind": "ConfigMap"}}], True),
    ],
)
async def test_fields_are_left_to_others(flux: Flux, repository: ChartServer, rules: Any, left: bool) -> None:
    await _start(flux, "enabled", drift={"ignore": rules})
    await flux.patch("v1", "ConfigMap", "app", {"data": {"a": "theirs"}})
    await _again(flux)
    assert (await _data(flux))["a"] == ("theirs" if left else "1")
    await flux.patch("v1", "ConfigMap", "app", {"data": {"a": None, "namespace": "theirs"}})
    await _again(flux)
    whole = rules[0]["paths"] == [""]
    data = await _data(flux)
    assert data["namespace"] == ("theirs" if whole else flux.namespace)
    assert ("a" in data) is not left


async def test_an_object_may_be_left_alone(flux: Flux, repository: ChartServer) -> None:
    await _start(flux, "enabled")
    mark = {"helm.toolkit.fluxcd.io/driftDetection": "disabled"}
    await flux.patch("v1", "ConfigMap", "app", {"metadata": {"annotations": mark}, "data": {"a": "theirs"}})
    await _again(flux)
    assert (await _data(flux))["a"] == "theirs"


async def test_what_cannot_be_set_right_is_told(flux: Flux, repository: ChartServer) -> None:
    await _start(flux, "enabled")
    body = {"metadata": {"name": "app", "namespace": flux.namespace}, "apiVersion": "v1", "kind": "ConfigMap"}
    await flux.delete("v1", "ConfigMap", "app")
    await flux.cluster.create({**body, "immutable": True, "data": {"a": "theirs"}})
    await _again(flux)
    found = await the_release(flux)
    assert ready(found)[0] == "False"
    assert f"ConfigMap/{flux.namespace}/app" in message(found)
    assert "immutable" in message(found)


async def test_a_pass_over_many_lists_each_kind_once(flux: Flux, repository: ChartServer) -> None:
    for number in range(6):
        await put_release(flux, "web", f"app-{number}", driftDetection={"mode": "enabled"})
    await flux.run(patience=5)
    for number in range(6):
        assert ready(await the_release(flux, f"app-{number}"))[0] == "True"
    await flux.request(RELEASE, *(f"app-{number}" for number in range(6)))
    counts = (await flux.engine.cluster(flux.name)).counts
    counts.clear()
    await flux.run(patience=5)
    sent = Counter(counts)
    assert sent["PATCH"] == 6  # that the request is handled
    assert sent["POST"] == sent["DELETE"] == 0
    assert sent["GET"] <= 2 * 11 + 2, sent  # two plans, the records, the ConfigMaps
    assert await flux.get(API, RELEASE, "app-0") is not None

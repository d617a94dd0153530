"""Drift, told: which field, by whom, in both modes; left alone in mode report."""

import json
from typing import Any

import pytest

from fluxless.api import conditions
from fluxless.reconcile.records import drift_prefix
from tests.support.flux import KUSTOMIZE, Flux, message, ready
from tests.support.repositories import Repo, config_map, deployment


@pytest.fixture
async def applied(flux: Flux, repo: Repo) -> Flux:
    """A Kustomization with a ConfigMap and a Deployment, ready."""
    repo.push({"a.yaml": config_map("a"), "web.yaml": deployment("web")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True"
    return flux


async def _pass(flux: Flux) -> None:
    await flux.request("Kustomization", "app")
    await flux.run()
    assert ready(await flux.ks("app")) == ("True", "ReconciliationSucceeded"), message(await flux.ks("app"))


async def _history(flux: Flux) -> list[dict[str, Any]]:
    async for blob in flux.store.list(drift_prefix("test")):
        found = await flux.store.get(blob.name)
        assert found is not None
        checks: list[dict[str, Any]] = json.loads(found[0])["checks"]
        return checks
    return []


async def _edit(flux: Flux) -> None:
    await flux.patch("v1", "ConfigMap", "a", {"data": {"value": "secret-value"}}, manager="kubectl-edit")
    container = {"name": "main", "image": "example/other:1"}
    body = {"spec": {"replicas": 3, "template": {"spec": {"containers": [container]}}}}
    await flux.patch("apps/v1", "Deployment", "web", body, manager="portal")


LINES = [
    "ConfigMap/{ns}/a: .data.value changed by kubectl-edit",
    "Deployment/{ns}/web: .spec.replicas changed by portal, "
    '.spec.template.spec.containers[name="main"].image changed by portal',
]


async def test_corrected_drift_is_told_field_by_field(applied: Flux) -> None:
    await _edit(applied)
    await _pass(applied)
    assert await applied.value("a") == "1"
    (event,) = [event for event in await applied.events("app") if event["reason"] == "DriftCorrected"]
    assert sorted(event["message"].splitlines()) == [line.format(ns=applied.namespace) for line in LINES]
    (check,) = await _history(applied)
    assert (check["mode"], len(check["objects"])) == ("corrected", 2)
    assert "secret-value" not in json.dumps(check) + str(event)


@pytest.mark.parametrize("by", ["annotation", "app setting"])
async def test_reported_drift_is_left_and_told_once(applied: Flux, by: str) -> None:
    if by == "annotation":
        body = {"metadata": {"annotations": {"fluxless.dev/drift": "report"}}}
        await applied.patch(KUSTOMIZE, "Kustomization", "app", body)
    else:
        applied.configure(report_drift=True)
    await _edit(applied)
    await _pass(applied)
    await _pass(applied)
    assert await applied.value("a") == "secret-value"
    app = await applied.ks("app")
    drifted = conditions.get(app, "Drifted")
    assert drifted is not None
    assert (drifted["status"], drifted["reason"]) == ("True", "DriftDetected")
    assert sorted(drifted["message"].splitlines()) == [line.format(ns=applied.namespace) for line in LINES]
    events = [event for event in await applied.events("app") if event["reason"] == "DriftDetected"]
    assert [(event["type"], event["count"]) for event in events] == [("Warning", 1)]
    (check,) = await _history(applied)
    assert (check["mode"], check["times"]) == ("reported", 2)


async def test_a_new_revision_applies_what_it_changes_and_leaves_other_drift(applied: Flux, repo: Repo) -> None:
    applied.configure(report_drift=True)
    await _edit(applied)
    repo.push({"web.yaml": deployment("web").replace("example/web:1", "example/web:2")})
    await applied.request("GitRepository", "repo")
    await applied.run()
    web = await applied.get("apps/v1", "Deployment", "web")
    assert web is not None
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "example/web:2"
    assert await applied.value("a") == "secret-value"
    assert LINES[0].format(ns=applied.namespace) in message(await applied.ks("app"), "Drifted")


async def test_an_object_that_is_gone_is_reported_and_comes_back_when_it_may(applied: Flux) -> None:
    applied.configure(report_drift=True)
    await applied.delete("v1", "ConfigMap", "a")
    await _pass(applied)
    assert await applied.value("a") is None
    assert f"ConfigMap/{applied.namespace}/a: is gone" in message(await applied.ks("app"), "Drifted")
    applied.configure(report_drift=False)
    await _pass(applied)
    assert await applied.value("a") == "1"
    assert conditions.get(await applied.ks("app"), "Drifted") is None


async def test_what_others_have_set_right_is_noted(applied: Flux) -> None:
    applied.configure(report_drift=True)
    await applied.delete("v1", "ConfigMap", "a")
    await _pass(applied)
    applied.configure(report_drift=False)
    await _pass(applied)
    await _pass(applied)
    assert [check["mode"] for check in await _history(applied)] == ["corrected", "reported"]


async def test_a_word_that_is_no_mode_is_refused(applied: Flux) -> None:
    body = {"metadata": {"annotations": {"fluxless.dev/drift": "ignore"}}}
    await applied.patch(KUSTOMIZE, "Kustomization", "app", body)
    await applied.delete("v1", "ConfigMap", "a")
    await applied.request("Kustomization", "app")
    await applied.run(patience=1)
    assert ready(await applied.ks("app"))[0] == "False"
    assert "'ignore' is no mode" in message(await applied.ks("app"))

"""Drift by ownership: changes behind the engine's back, by kubectl and by another apply manager."""

import pytest

from tests.support.flux import BUILT, Flux, message, ready
from tests.support.repositories import Repo, config_map, deployment

DISABLED = {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}


@pytest.fixture
async def applied(flux: Flux, repo: Repo) -> Flux:
    """A Kustomization with two ConfigMaps, ready."""
    repo.push({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True"
    return flux


async def _pass(flux: Flux) -> None:
    await flux.request("Kustomization", "app")
    await flux.run()
    assert ready(await flux.ks("app")) == ("True", "ReconciliationSucceeded"), message(await flux.ks("app"))


async def test_nothing_drifted_writes_nothing_but_the_handled_request(applied: Flux) -> None:
    before = await applied.get("v1", "ConfigMap", "a")
    cluster = await applied.engine.cluster("test")
    cluster.counts.clear()
    await _pass(applied)
    assert before == await applied.get("v1", "ConfigMap", "a")
    assert cluster.counts["PATCH"] == 1
    assert cluster.counts["POST"] == 0
    assert cluster.counts["GET"] <= 1 + 2 * len(BUILT)  # two plans, and the check


async def test_a_field_changed_by_kubectl_is_set_back(applied: Flux) -> None:
    await applied.patch("v1", "ConfigMap", "a", {"data": {"value": "edited"}})
    await _pass(applied)
    assert await applied.value("a") == "1"
    assert f"ConfigMap/{applied.namespace}/a configured" in [e["message"] for e in await applied.events("app")]


async def test_a_field_taken_by_another_apply_manager_is_taken_back(applied: Flux) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": applied.namespace},
        "data": {"value": "theirs"},
    }
    await applied.cluster.apply(body, manager="other", force=True)
    await _pass(applied)
    assert await applied.value("a") == "1"


async def test_a_deleted_object_comes_back_and_others_are_not_sent(applied: Flux) -> None:
    before = await applied.get("v1", "ConfigMap", "b")
    await applied.delete("v1", "ConfigMap", "a")
    await _pass(applied)
    assert await applied.value("a") == "1"
    assert before == await applied.get("v1", "ConfigMap", "b")


async def test_a_recreated_object_is_made_ours_again(applied: Flux) -> None:
    await applied.delete("v1", "ConfigMap", "a")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": applied.namespace}}
    await applied.cluster.create(body | {"data": {"value": "foreign"}}, manager="somebody")
    await _pass(applied)
    live = await applied.get("v1", "ConfigMap", "a")
    assert live is not None
    assert live["data"]["value"] == "1"
    assert live["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] == "app"


async def test_removed_owner_labels_come_back(applied: Flux) -> None:
    await applied.patch("v1", "ConfigMap", "a", {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": None}}})
    await _pass(applied)
    live = await applied.get("v1", "ConfigMap", "a")
    assert live is not None
    assert live["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] == "app"


async def test_a_foreign_label_and_a_foreign_field_are_left_alone(applied: Flux) -> None:
    await applied.patch("v1", "ConfigMap", "a", {"metadata": {"labels": {"mine": "yes"}}}, manager="somebody")
    cluster = await applied.engine.cluster("test")
    cluster.counts.clear()
    await _pass(applied)
    live = await applied.get("v1", "ConfigMap", "a")
    assert live is not None
    assert live["metadata"]["labels"]["mine"] == "yes"
    assert cluster.counts["PATCH"] == 1


async def test_an_object_with_reconcile_disabled_keeps_its_change_until_it_is_given_back(applied: Flux) -> None:
    await applied.patch("v1", "ConfigMap", "a", {"metadata": {"annotations": DISABLED}, "data": {"value": "edited"}})
    await _pass(applied)
    assert await applied.value("a") == "edited"
    await applied.patch("v1", "ConfigMap", "a", {"metadata": {"annotations": dict.fromkeys(DISABLED)}})
    await _pass(applied)
    assert await applied.value("a") == "1"


async def test_fields_of_kubectl_are_taken_over_at_the_first_apply(flux: Flux, repo: Repo) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": flux.namespace}}
    await flux.cluster.create(body | {"data": {"value": "0", "old": "x"}}, manager="kubectl-client-side-apply")
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    live = await flux.get("v1", "ConfigMap", "a")
    assert live is not None
    assert live["data"] == {"value": "1"}
    assert {entry["manager"] for entry in live["metadata"]["managedFields"]} == {"kustomize-controller"}


async def test_a_lost_memory_costs_one_full_apply_and_nothing_else(applied: Flux) -> None:
    async for blob in applied.store.list("state/test/applied/"):
        await applied.store.delete(blob.name)
    before = await applied.get("v1", "ConfigMap", "a")
    await _pass(applied)
    assert before == await applied.get("v1", "ConfigMap", "a")


async def test_ignored_fields_keep_what_others_made_of_them(flux: Flux, repo: Repo) -> None:
    repo.push({"web.yaml": deployment("web"), "a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", ignore=[{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}])
    await flux.run()
    await flux.patch("apps/v1", "Deployment", "web", {"spec": {"replicas": 3}}, manager="scaler")
    await flux.request("Kustomization", "app")
    await flux.run()
    live = await flux.get("apps/v1", "Deployment", "web")
    assert live is not None
    assert live["spec"]["replicas"] == 3
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": flux.namespace}}
    await flux.cluster.apply(body | {"spec": {"replicas": 4}}, manager="other", force=True)
    repo.push({"web.yaml": deployment("web").replace("example/web:1", "example/web:2")})
    await flux.request("GitRepository", "repo")
    await flux.run()
    live = await flux.get("apps/v1", "Deployment", "web")
    assert live is not None
    assert live["spec"]["replicas"] == 4
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "example/web:2"

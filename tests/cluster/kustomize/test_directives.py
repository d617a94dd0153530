"""What annotations on objects ask of an apply (KC-82..85), desired or live."""

import pytest

from tests.support.flux import Flux, message, ready
from tests.support.repositories import Repo, config_map

GROUP = "kustomize.toolkit.fluxcd.io"


async def _apply(flux: Flux, repo: Repo, value: str, **annotations: str) -> None:
    repo.push({"a.yaml": config_map("a", value, **{f"{GROUP}/{key}": text for key, text in annotations.items()})})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.request("GitRepository", "repo")
    await flux.run()
    app = await flux.ks("app")
    assert ready(app) == ("True", "ReconciliationSucceeded"), message(app)


async def _create(flux: Flux, value: str, **annotations: str) -> None:
    metadata = {
        "name": "a",
        "namespace": flux.namespace,
        "annotations": {f"{GROUP}/{key}": text for key, text in annotations.items()},
    }
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value, "theirs": "x"}}
    await flux.cluster.create(body, manager="kubectl-create")


async def _entries(flux: Flux) -> list[str]:
    return [entry["id"] for entry in (await flux.ks("app"))["status"]["inventory"]["entries"]]


async def test_if_not_present_creates_and_never_changes(flux: Flux, repo: Repo) -> None:
    await _apply(flux, repo, "1", ssa="IfNotPresent")
    assert await flux.value("a") == "1"
    await _apply(flux, repo, "2", ssa="IfNotPresent")
    assert await flux.value("a") == "1"
    await flux.delete("v1", "ConfigMap", "a")
    await flux.request("Kustomization", "app")
    await flux.run()
    assert await flux.value("a") == "2"


async def test_if_not_present_leaves_an_object_of_somebody_else_alone(flux: Flux, repo: Repo) -> None:
    await _create(flux, "theirs")
    await _apply(flux, repo, "1", ssa="ifnotpresent")
    assert await flux.value("a") == "theirs"
    assert await _entries(flux) == [f"{flux.namespace}_a__ConfigMap"]


@pytest.mark.parametrize("directive", [{"reconcile": "disabled"}, {"ssa": "Ignore"}])
async def test_a_desired_object_with_hands_off_is_not_created(
    flux: Flux, repo: Repo, directive: dict[str, str]
) -> None:
    await _apply(flux, repo, "1", **directive)
    assert await flux.value("a") is None
    assert await _entries(flux) == [f"{flux.namespace}_a__ConfigMap"]


@pytest.mark.parametrize("directive", [{"reconcile": "Disabled"}, {"ssa": "ignore"}])
async def test_a_live_object_with_hands_off_is_not_touched(flux: Flux, repo: Repo, directive: dict[str, str]) -> None:
    await _create(flux, "theirs", **directive)
    await _apply(flux, repo, "1")
    live = await flux.get("v1", "ConfigMap", "a")
    assert live is not None
    assert live["data"] == {"value": "theirs", "theirs": "x"}
    assert "labels" not in live["metadata"]


async def test_merge_keeps_the_fields_of_others(flux: Flux, repo: Repo) -> None:
    await _create(flux, "theirs")
    await _apply(flux, repo, "1", ssa="Merge")
    live = await flux.get("v1", "ConfigMap", "a")
    assert live is not None
    assert live["data"] == {"value": "1", "theirs": "x"}


async def test_without_it_the_fields_of_kubectl_go(flux: Flux, repo: Repo) -> None:
    await _create(flux, "theirs")
    await _apply(flux, repo, "1")
    live = await flux.get("v1", "ConfigMap", "a")
    assert live is not None
    assert live["data"] == {"value": "1"}


async def test_force_on_one_object_recreates_it_alone(flux: Flux, repo: Repo) -> None:
    text = config_map("a", "1").replace("\ndata:", "\nimmutable: true\ndata:")
    repo.push({"a.yaml": text})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    before = await flux.get("v1", "ConfigMap", "a")
    forced = text.replace("'1'", "'2'").replace("  name: a", f'  name: a\n  annotations: {{"{GROUP}/force": enabled}}')
    repo.push({"a.yaml": forced})
    await flux.request("GitRepository", "repo")
    await flux.run()
    after = await flux.get("v1", "ConfigMap", "a")
    assert before is not None
    assert after is not None
    assert after["data"]["value"] == "2", message(await flux.ks("app"))
    assert after["metadata"]["uid"] != before["metadata"]["uid"]

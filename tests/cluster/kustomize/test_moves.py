"""An object that goes from one Kustomization to another keeps its life: it is never deleted and created again."""

import pytest

from tests.support.flux import KUSTOMIZE, Flux, message, ready
from tests.support.repositories import Repo, config_map

OWNER = "kustomize.toolkit.fluxcd.io/name"


async def _uid(flux: Flux, name: str) -> tuple[str, str]:
    """(uid, owner) of a ConfigMap."""
    found = await flux.get("v1", "ConfigMap", name)
    assert found is not None, f"{name} is gone"
    return found["metadata"]["uid"], found["metadata"]["labels"][OWNER]


async def _names(flux: Flux, name: str) -> list[str]:
    entries = (await flux.ks(name))["status"]["inventory"]["entries"]
    return sorted(entry["id"].split("_")[1] for entry in entries)


@pytest.fixture
async def two(flux: Flux, repo: Repo) -> Flux:
    """`from` with two objects and `to` with one, ready."""
    repo.push({"from/a.yaml": config_map("a"), "from/x.yaml": config_map("x"), "to/b.yaml": config_map("b")})
    await flux.source(repo)
    await flux.kustomization("from", path="./from")
    await flux.kustomization("to", path="./to")
    await flux.run()
    return flux


@pytest.mark.parametrize("order", ["together", "new owner waits", "old owner waits"])
async def test_a_move_is_a_move_in_any_order(two: Flux, repo: Repo, order: str) -> None:
    before, _ = await _uid(two, "x")
    if order == "new owner waits":
        await two.kustomization("to", path="./to", dependsOn=[{"name": "from"}])
    if order == "old owner waits":
        await two.kustomization("from", path="./from", dependsOn=[{"name": "to"}])
    await two.run()
    repo.push({"from/x.yaml": None, "to/x.yaml": config_map("x", "2")})
    await two.request("GitRepository", "repo")
    await two.run(patience=20)
    assert ready(await two.ks("from"))[0] == "True", message(await two.ks("from"))
    assert await _uid(two, "x") == (before, "to")
    assert await two.value("x") == "2"
    assert (await _names(two, "from"), await _names(two, "to")) == (["a"], ["b", "x"])
    deleted = [event["message"] for event in await two.events("from") if "deleted" in event["message"]]
    assert deleted == []


async def test_what_nobody_else_wants_is_deleted(two: Flux, repo: Repo) -> None:
    repo.push({"from/x.yaml": None, "to/b.yaml": config_map("b", "2")})
    await two.request("GitRepository", "repo")
    await two.run()
    assert await two.value("x") is None


async def test_an_object_moves_to_a_kustomization_that_is_only_about_to_be_created(flux: Flux, repo: Repo) -> None:
    def child(name: str) -> str:
        return (
            f"apiVersion: {KUSTOMIZE}\nkind: Kustomization\nmetadata:\n  name: {name}\n  namespace: {flux.namespace}\n"
            f"spec:\n  interval: 10m\n  prune: true\n  path: ./{name}\n  targetNamespace: {flux.namespace}\n"
            "  sourceRef:\n    kind: GitRepository\n    name: repo\n"
        )

    repo.push({"root/old.yaml": child("old"), "old/a.yaml": config_map("a"), "old/x.yaml": config_map("x")})
    await flux.source(repo)
    await flux.kustomization("root", path="./root", targetNamespace=None)
    await flux.run()
    before, _ = await _uid(flux, "x")
    repo.push({"root/new.yaml": child("new"), "old/x.yaml": None, "new/x.yaml": config_map("x")})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=20)
    assert await _uid(flux, "x") == (before, "new")


async def test_an_object_survives_the_deletion_of_its_kustomization_when_another_wants_it(
    flux: Flux, repo: Repo
) -> None:
    child = (
        f"apiVersion: {KUSTOMIZE}\nkind: Kustomization\nmetadata:\n  name: old\n  namespace: {flux.namespace}\n"
        f"spec:\n  interval: 10m\n  prune: true\n  path: ./old\n  targetNamespace: {flux.namespace}\n"
        "  sourceRef:\n    kind: GitRepository\n    name: repo\n"
    )
    repo.push({"root/old.yaml": child, "old/x.yaml": config_map("x"), "to/b.yaml": config_map("b")})
    await flux.source(repo)
    await flux.kustomization("root", path="./root", targetNamespace=None)
    await flux.kustomization("to", path="./to", dependsOn=[{"name": "root"}])
    await flux.run()
    before, _ = await _uid(flux, "x")
    gone: dict[str, str | None] = {"root/old.yaml": None, "old/x.yaml": None}
    repo.push(gone | {"root/keep.yaml": config_map("k"), "to/x.yaml": config_map("x")})
    await flux.kustomization("root", path="./root")
    await flux.request("GitRepository", "repo")
    await flux.run(patience=20)
    assert await flux.get(KUSTOMIZE, "Kustomization", "old") is None
    assert await _uid(flux, "x") == (before, "to")

"""Before a prune others are asked whether they want the object: by text that nobody admitted, and by other tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from fluxless.kustomize import moves
from fluxless.reconcile.services import Settings
from fluxless.reconcile.world import Ref, World

Obj = dict[str, Any]
DROPPED = "apps_x__ConfigMap"


def _kustomization(name: str, namespace: str = "apps", **spec: Any) -> Obj:
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {"sourceRef": {"kind": "GitRepository", "name": "repo"}, **spec},
    }


def _config_map(namespace: str = "apps") -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": namespace}}


def _source(namespace: str) -> Obj:
    artifact = {"revision": "main@sha1:1", "digest": "sha256:1"}
    metadata = {"name": "repo", "namespace": namespace}
    return {"kind": "GitRepository", "metadata": metadata, "spec": {}, "status": {"artifact": artifact}}


class Asked(list[str]):
    """The Kustomizations that were built, by namespace and name."""


async def _moved(
    monkeypatch: pytest.MonkeyPatch, me: Obj, there: list[Obj], renders: Mapping[str, Any]
) -> tuple[set[str], Asked]:
    asked = Asked()

    async def objects_of(_: Any, obj: Obj) -> list[Obj]:
        asked.append(f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")
        await asyncio.sleep(0)
        found = renders.get(obj["metadata"]["name"].split("-")[0], [])
        return list(found(obj) if callable(found) else found)

    monkeypatch.setattr(moves, "_objects_of", objects_of)
    objects = [me, *there, _source("apps"), _source("others")]
    run: Any = SimpleNamespace(
        ref=Ref.of(me),
        spec=me["spec"],
        survey=SimpleNamespace(world=World({Ref.of(obj): obj for obj in objects}, 0.0)),
        services=SimpleNamespace(settings=Settings()),
        cluster=SimpleNamespace(name="test"),
    )
    async with asyncio.timeout(5):
        return set(await moves.moved(run, {DROPPED: "v1"})), asked


async def test_kustomizations_that_render_ever_new_ones_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def another(obj: Obj) -> list[Obj]:
        return [_kustomization(f"{obj['metadata']['name']}-{letter}") for letter in "abcdefgh"]

    me, root = _kustomization("me"), _kustomization("root")
    found, asked = await _moved(monkeypatch, me, [root], {"root": another})
    assert found == set()
    assert len(asked) < 500


async def test_what_nobody_admitted_is_not_read_as_an_account_of_another_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    me = _kustomization("me", serviceAccountName="tenant")
    root = _kustomization("root", serviceAccountName="tenant")
    children = [
        _kustomization("stranger", "others", serviceAccountName="tenant"),
        _kustomization("admin", serviceAccountName="admin"),
        _kustomization("app"),
        _kustomization("remote", serviceAccountName="tenant", kubeConfig={"secretRef": {"name": "other"}}),
    ]
    _, asked = await _moved(monkeypatch, me, [root], {"root": children})
    assert asked == ["apps/root"]


async def test_a_tenant_claims_nothing_of_another_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    me = _kustomization("me", serviceAccountName="tenant")
    greedy = _kustomization("greedy", "others", serviceAccountName="tenant")
    found, _ = await _moved(monkeypatch, me, [greedy], {"greedy": [_config_map()]})
    assert found == set()


async def test_one_that_did_not_build_is_not_built_again_to_ask_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = {"type": "Ready", "status": "False", "reason": "BuildFailed"}
    status = {"lastAttemptedRevision": "main@sha1:1", "observedGeneration": 1, "conditions": [ready]}
    hanging = _kustomization("hanging") | {"status": status}
    _, asked = await _moved(monkeypatch, _kustomization("me"), [hanging], {})
    assert asked == []


async def test_a_move_to_one_that_is_about_to_be_created_is_still_a_move(monkeypatch: pytest.MonkeyPatch) -> None:
    me = _kustomization("me", serviceAccountName="tenant")
    root = _kustomization("root", serviceAccountName="tenant")
    new = _kustomization("new", serviceAccountName="tenant")
    found, asked = await _moved(monkeypatch, me, [root], {"root": [new], "new": [_config_map()]})
    assert (found, asked) == ({DROPPED}, ["apps/root", "apps/new"])

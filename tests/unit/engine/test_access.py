"""`/api/check` answers in time, whatever a cluster does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fluxless import addresses
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.cli.arm import ASK_WITHIN
from fluxless.engine import access
from fluxless.engine.leads import refused
from fluxless.kube.client import Cluster
from fluxless.process_pool import ProcessPools
from fluxless.reconcile.world import Ref, World
from fluxless.render import binaries, kustomize
from fluxless.render.binaries import PROGRAM


def nobody() -> Any:
    raise Problem(Failure(FailureClass.FORBIDDEN, "no Entra token"))


async def away(name: str) -> Cluster:
    raise Problem(Failure(FailureClass.INTERNAL, f"cluster {name!r}: no answer"))


async def test_a_cluster_whose_objects_do_not_come_holds_up_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "SEEN_WITHIN", 0.05)

    async def seen(name: str) -> World | None:
        if name == "hangs":
            await asyncio.sleep(60)
        spec = {"provider": "azure", "url": "oci://of-objects.azurecr.io/app"}
        obj = {"kind": "OCIRepository", "metadata": {"name": "a", "namespace": "b"}, "spec": spec}
        return World({Ref.of(obj): obj}, 0.0) if name == "answers" else None

    async with asyncio.timeout(5):
        found = await access.report(
            ["hangs", "answers", "away"], away, seen, ["given.azurecr.io", "of-objects.azurecr.io"], nobody
        )
    assert [one["name"] for one in found["clusters"]] == ["hangs", "answers", "away"]
    assert [one["name"] for one in found["registries"]] == ["given.azurecr.io", "of-objects.azurecr.io"]
    assert {one["message"] for one in found["registries"]} == {"no Entra token"}


async def test_hosts_of_objects_that_are_not_called_are_named() -> None:
    before = addresses.use(addresses.AddressPolicy())
    specs = [
        {"url": "https://127.0.0.1:8443/r.git"},
        {"url": "ssh://git@10.1.2.3/r.git"},
        {"endpoint": "192.168.0.4:9000", "sts": {"endpoint": "https://169.254.169.254"}},
        {"oidcProviders": [{"issuerURL": "https://[::1]/x"}]},
        {"url": "https://10.9.9.9/r.git", "suspend": True},
        {"url": "https://20.50.2.1/r.git"},
        {"url": "https://[bad"},
        {},
    ]
    try:
        found = await refused([{"spec": spec} for spec in specs])
    finally:
        addresses.use(before)
    assert list(found) == ["10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.0.4", "::1"]
    assert "FLUXLESS_ALLOWED_ADDRESSES" in found["10.1.2.3"]


def test_the_app_answers_before_fluxless_deploy_gives_up() -> None:
    assert 2 * access.SEEN_WITHIN + access.WITHIN < ASK_WITHIN


def test_a_suspended_source_names_no_registry() -> None:
    spec = {"provider": "azure", "url": "oci://a.azurecr.io/app"}
    assert access.named([{"spec": spec}]) == ["a.azurecr.io"]
    assert access.named([{"spec": spec | {"suspend": True}}]) == []


async def test_a_setting_that_names_another_program_is_told_before_a_build_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`FLUXLESS_KUSTOMIZE` named the kustomize command once."""

    async def seen(_: str) -> World | None:
        return None

    async def told() -> dict[str, Any]:
        binaries._find.cache_clear()
        pool = ProcessPools(kustomize.AT_ONCE, kustomize._started)
        monkeypatch.setattr(kustomize, "_pool", pool.here)
        (found,) = (await access.report([], away, seen, [], nobody))["programs"]
        return dict(found)

    assert await told() == {"name": PROGRAM, "ok": True, "message": "builds", "missing": "", "install": False}
    command = tmp_path / "kustomize"
    command.write_text("#!/bin/sh\nexit 1\n")
    command.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("FLUXLESS_KUSTOMIZE", str(command))
        found = await told()
    binaries._find.cache_clear()
    assert not found["ok"]
    assert f"{command} is not the build program of this release" in found["message"]
    assert "unset FLUXLESS_KUSTOMIZE" in found["message"]

"""The timer trigger never fires and nobody calls. The app is one of its own: that of other tests keeps its timer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fluxless.artifacts.blob import AzureStore
from fluxless.kube.connect import ClusterConfig, connect
from fluxless.reconcile.records import HEARTBEAT, write_json
from tests.support.flux import ready
from tests.support.hosted import Hosted, repository, tenant, until
from tests.support.issuer import Issuer
from tests.support.repositories import config_map
from tools import environment

NEW_YEAR = "0 0 0 1 1 *"


@pytest_asyncio.fixture(loop_scope="session")
async def untimed(workshop: Path, control_plane: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hosted]:
    """It runs on the control plane of the tests of the engine, which serves no other app."""
    folder = workshop / "untimed"
    monkeypatch.setenv("KUBECONFIG", str(control_plane))
    env = await asyncio.to_thread(environment.up, folder, timer=NEW_YEAR)
    cluster = await connect(ClusterConfig("dev", kubeconfig=str(env.kubeconfig)))
    yield Hosted(env, cluster, Issuer())
    await cluster.close()
    await asyncio.to_thread(environment.down, folder)


async def test_an_app_that_only_polls_comes_back_after_its_timer_has_died(untimed: Hosted, tmp_path: Path) -> None:
    """The second clock starts what is overdue."""
    store = AzureStore.from_connection_string(untimed.env.blob_connection, "fluxless")
    async with tenant(untimed) as user:
        repo = repository(untimed, tmp_path)
        commit = repo.push({"a.yaml": config_map("a")})
        await user.source(repo)
        await user.kustomization("app")
        await write_json(store, HEARTBEAT, {"at": time.time() - 1000, "tidied": time.time()})
        await store.close()
        assert await untimed.durable("orchestrators/clock/clock", {"every": 1.0}) == 202

        async def applied() -> bool:
            found = await user.ks("app")
            revision = (found.get("status") or {}).get("lastAppliedRevision") or ""
            return revision.endswith(commit) and ready(found)[0] == "True"

        await until(applied, "the second clock to start what is overdue", limit=20)

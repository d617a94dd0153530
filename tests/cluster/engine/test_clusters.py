"""Several clusters in one app: a dead one holds up no other, and hears of a webhook later."""

import asyncio
import hashlib
import hmac
import json
import uuid
from pathlib import Path

import pytest

from fluxless.api.failure import Problem
from fluxless.artifacts.cache import ArtifactCache
from fluxless.engine import intake
from fluxless.engine.doors.github import github
from fluxless.engine.engine import Engine
from fluxless.kube.connect import ClusterConfig
from fluxless.reconcile.services import Services
from tests.support.flux import Flux, ready
from tests.support.repositories import Repo, config_map

DEAD = json.dumps(
    {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
)


async def test_a_dead_cluster_is_named_and_told_later(
    flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "PATIENCE", 60.0)  # the one that is there may be slow: no machine is ours alone
    clusters = {
        "test": ClusterConfig("test", kubeconfig=str(control_plane)),
        "dead": ClusterConfig("dead", kubeconfig_inline=DEAD),
    }
    engine = Engine(clusters, Services(flux.store, ArtifactCache(flux.store, tmp_path / "two")))
    try:
        repo.push({"a.yaml": config_map("a")})
        await flux.source(repo)
        with pytest.raises(Problem, match="cluster 'dead' cannot be reached"):
            await engine.plan("dead", [], {})
        body = json.dumps({"repository": {"clone_url": repo.url}}).encode()
        headers = {
            "x-github-event": "push",
            "x-github-delivery": str(uuid.uuid4()),
            "x-hub-signature-256": "sha256=" + hmac.new(b"s", body, hashlib.sha256).hexdigest(),
        }
        answer = await engine.intake.accept(github(headers, body, "s"))
        assert (answer.status, answer.woken) == (202, ("test",))
        assert [announcement.cluster for announcement in answer.missed] == ["dead"]
        assert "1 cluster(s) did not answer and will be told later" in answer.text
        steps = await engine.plan("test", [], {})
        await asyncio.gather(*(engine.reconcile("test", batch) for batch in steps.batches))
        found = await flux.repository()
        assert ready(found)[0] == "True"
        assert found["status"]["lastHandledReconcileAt"]
    finally:
        await asyncio.gather(*(connection.close() for connection in engine._connections.values()))

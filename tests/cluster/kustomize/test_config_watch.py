"""A ConfigMap or Secret that is referred to changes: rendered again at the next plan; any other change is nothing."""

import asyncio
import base64
from typing import Any

import pytest

from fluxless.reconcile import configs
from tests.support.flux import Flux, message
from tests.support.repositories import Repo, config_map


async def _put(flux: Flux, kind: str, name: str, value: str) -> None:
    metadata: dict[str, Any] = {"name": name, "namespace": flux.namespace}
    data = {"value": value if kind == "ConfigMap" else base64.b64encode(value.encode()).decode()}
    await flux.cluster.apply({"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data}, manager="user")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plan looks."""
    monkeypatch.setattr(configs, "FRESH", 0.0)


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
async def test_a_referred_config_is_rendered_again_without_label_request_or_interval(
    flux: Flux, repo: Repo, kind: str
) -> None:
    await _put(flux, kind, "vars", "one")
    repo.push({"a.yaml": config_map("a", "${value}")})
    await flux.source(repo)
    await flux.kustomization("app", postBuild={"substituteFrom": [{"kind": kind, "name": "vars"}]})
    await flux.run()
    assert await flux.value("a") == "one", message(await flux.ks("app"))
    await _put(flux, kind, "vars", "two")
    await flux.run()
    assert await flux.value("a") == "two"


async def test_an_optional_one_that_appears_counts_as_a_change(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a", "${value:=none}")})
    await flux.source(repo)
    reference = {"kind": "ConfigMap", "name": "vars", "optional": True}
    spec = {"substituteFrom": [reference], "substitute": {"other": "x"}}
    await flux.kustomization("app", postBuild=spec)
    await flux.run()
    assert await flux.value("a") == "none", message(await flux.ks("app"))
    await _put(flux, "ConfigMap", "vars", "one")
    await flux.run()
    assert await flux.value("a") == "one"


async def test_a_change_elsewhere_starts_nothing(flux: Flux, repo: Repo) -> None:
    await _put(flux, "ConfigMap", "vars", "one")
    repo.push({"a.yaml": config_map("a", "${value}")})
    await flux.source(repo)
    await flux.kustomization("app", postBuild={"substituteFrom": [{"kind": "ConfigMap", "name": "vars"}]})
    await flux.run()
    await _put(flux, "ConfigMap", "unrelated", "two")
    steps = await flux.engine.plan("test", [], {})
    assert steps.batches == []


async def test_a_failure_that_a_secret_has_caused_is_mended_by_the_secret(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a", "${value}")})
    await flux.source(repo)
    await flux.kustomization("app", postBuild={"substituteFrom": [{"kind": "Secret", "name": "vars"}]})
    await flux.run(patience=0)
    assert "substitute from 'Secret/vars' error: not found" in message(await flux.ks("app"))
    await _put(flux, "Secret", "vars", "one")
    await asyncio.wait_for(flux.run(), 30)
    assert await flux.value("a") == "one"

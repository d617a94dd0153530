"""The status of a step is its last write. Where that is lost, the next step says what the first had to say."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fluxless.kube.errors import Unreachable
from fluxless.reconcile.run import Run
from tests.support.charts import ChartServer
from tests.support.flux import SOURCE, Flux, ready
from tests.support.releases import put_release, the_release
from tests.support.repositories import Repo, config_map


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first status of each object that names an inventory is not written; which ones."""
    objects: list[str] = []
    write = Run.write_status

    async def lose(run: Run) -> None:
        if "inventory" in run.status.changes() and str(run.ref) not in objects:
            objects.append(str(run.ref))
            raise Unreachable("gone in the midst of a write")
        await write(run)

    monkeypatch.setattr(Run, "write_status", lose)
    return objects


async def test_a_kustomization_knows_what_it_has_applied(flux: Flux, repo: Repo, lost: list[str]) -> None:
    repo.push({"a.yaml": config_map("a"), "b.yaml": config_map("b")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run(patience=2.0)
    assert lost
    assert ready(await flux.ks("app"))[0] == "True"
    entries = (await flux.ks("app"))["status"]["inventory"]["entries"]
    assert [entry["id"].split("_")[1] for entry in entries] == ["a", "b"]
    repo.push({"b.yaml": None})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=2.0)
    assert await flux.value("b") is None


async def test_a_release_knows_what_it_has_installed(flux: Flux, lost: list[str]) -> None:
    charts = ChartServer()
    await charts.start()
    try:
        charts.add("web", "1.0.0")
        await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
        await put_release(flux, "web")
        await flux.run(patience=5.0)
    finally:
        await charts.stop()
    assert lost
    release = await the_release(flux)
    assert ready(release)[0] == "True"
    assert release["status"]["inventory"]["entries"]


async def test_progress_that_is_being_written_is_not_overtaken_by_the_end(
    flux: Flux, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that is given up may be taken by the API server all the same, and then the last one does not fit."""
    services = flux.engine.services
    quick = replace(services, settings=replace(services.settings, progress_after=0.01))
    monkeypatch.setattr(flux.engine, "services", quick)
    writing = Run._patch_status
    refused: list[Exception] = []

    async def slowly(run: Run, changes: dict[str, Any]) -> dict[str, Any] | None:
        try:
            written = await writing(run, changes)
        except Exception as error:
            refused.append(error)
            raise
        await asyncio.sleep(0.3)
        return written

    monkeypatch.setattr(Run, "_patch_status", slowly)
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run(patience=2.0)
    assert ready(await flux.ks("app"))[0] == "True"
    assert refused == []

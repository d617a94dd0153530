"""A phase of a real step that blocks the worker is named; a step that does not is not."""

import asyncio
import logging
import time
from typing import Any

import pytest

from fluxless import loop_lag
from fluxless.kustomize import reconciler
from tests.support.flux import Flux, ready
from tests.support.repositories import Repo, config_map


@pytest.mark.parametrize("seconds", [1.0, 0.0])
async def test_a_blocking_phase_is_named(
    flux: Flux, repo: Repo, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    async def blocking(run: Any) -> None:
        time.sleep(seconds)  # noqa: ASYNC251

    monkeypatch.setattr(reconciler, "PHASES", (blocking, *reconciler.PHASES))
    # the test stands for a file of the app
    monkeypatch.setattr(loop_lag, "_OURS", (*loop_lag._OURS, __file__))
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("web")
    await flux.run(patience=5)  # what is done for the first time takes longer
    repo.push({"a.yaml": config_map("a", "2")})
    await flux.request("GitRepository", "repo")
    loop_lag._untold.clear()
    stop = loop_lag.watch()
    try:
        with caplog.at_level(logging.WARNING, "fluxless.loop"):
            await flux.run(patience=5)
            await asyncio.sleep(0.1)
            await flux.engine.plan(flux.name, [], {})
    finally:
        stop.set()
    assert ready(await flux.ks("web"))[0] == "True"
    told = [record.getMessage() for record in caplog.records if record.name == "fluxless.loop"]
    assert len(told) == bool(seconds), told
    if told:
        step = f"cluster={flux.name} object=Kustomization/{flux.namespace}/web phase=blocking"
        assert told[0].startswith(f"alert=loop-blocked {step} seconds="), told
        assert told[0].endswith(" in=blocking"), told

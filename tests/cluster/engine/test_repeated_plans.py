"""Durable runs a plan again whose answer was lost with its host, and may run one late whose answer it has."""

from __future__ import annotations

import asyncio

from fluxless.engine.schedule import Turn
from tests.support.flux import Flux, ready
from tests.support.repositories import Repo, config_map

BEGUN = "2026-11-28T00:00:00"


async def test_a_plan_whose_answer_was_lost_gives_the_same_work_again(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    lost = await flux.engine.plan(flux.name, [], {}, turn=Turn(BEGUN, 1))
    again = await flux.engine.plan(flux.name, [], {}, turn=Turn(BEGUN, 1))
    assert again.batches == lost.batches
    assert len(again.batches) == 1
    outcomes = {batch: await flux.engine.reconcile(flux.name, batch) for batch in again.batches}
    await flux.engine.plan(flux.name, [], outcomes, turn=Turn(BEGUN, 2))
    assert ready(await flux.repository())[0] == "True"


async def test_what_had_finished_is_settled_once(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    first = await flux.engine.plan(flux.name, [], {}, turn=Turn(BEGUN, 1))
    outcomes = {batch: await flux.engine.reconcile(flux.name, batch) for batch in first.batches}
    lost = await flux.engine.plan(flux.name, [], outcomes, turn=Turn(BEGUN, 2))
    again = await flux.engine.plan(flux.name, [], outcomes, turn=Turn(BEGUN, 2))
    assert again.batches == lost.batches
    assert len(again.batches) == 1


async def test_a_late_plan_hands_out_nothing_that_is_in_flight(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    first = await flux.engine.plan(flux.name, [], {}, turn=Turn(BEGUN, 1))
    flight = [asyncio.create_task(flux.engine.reconcile(flux.name, batch)) for batch in first.batches]
    await asyncio.gather(*flight)
    await flux.kustomization("app")
    outcomes = {batch: task.result() for batch, task in zip(first.batches, flight, strict=True)}
    second = await flux.engine.plan(flux.name, [], outcomes, turn=Turn(BEGUN, 2))
    assert second.batches
    assert (await flux.engine.plan(flux.name, [], {}, turn=Turn(BEGUN, 1))).batches == []
    third = await flux.engine.plan(flux.name, second.batches, {}, turn=Turn(BEGUN, 3))
    assert third.batches == []


async def test_a_new_loop_begins_what_the_former_has_left(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    former = await flux.engine.plan(flux.name, [], {}, turn=Turn(BEGUN, 40))
    begun = await flux.engine.plan(flux.name, [], {}, turn=Turn("2026-11-27T00:00:00", 1))  # by a clock that is behind
    assert len(begun.batches) == 1
    assert begun.batches != former.batches

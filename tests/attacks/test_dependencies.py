"""`dependsOn` of a tenant: however many objects it knots together, a plan takes steps in proportion to their links."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fluxless.api.kinds import HELM_RELEASE, KUSTOMIZATION
from fluxless.engine import plan
from fluxless.engine.schedule import Schedule
from fluxless.limits import CYCLE_LINKS, DEPENDENCIES
from fluxless.reconcile import dependencies
from fluxless.reconcile.cycles import Cycles
from fluxless.reconcile.dependencies import waits_for
from fluxless.reconcile.world import Ref, World, take
from tests.support.clock import within
from tests.unit.reconcile.objects import kustomization, world

MANY = 1000


def _names(first: int, count: int) -> list[str]:
    return [f"k{number % MANY:03}" for number in range(first, first + count)]


def _later(number: int) -> list[str]:
    return _names(number + 1, min(DEPENDENCIES, MANY - 1 - number))


def _next(number: int) -> list[str]:
    return _names(number + 1, DEPENDENCIES)


def _knot(needs: Any) -> World:
    return world(*(kustomization(f"k{i:03}", *needs(i), of="", ready="False") for i in range(MANY)))


@pytest.mark.parametrize("needs", [_later, _next], ids=["each on all later ones", "one great tangle"])
def test_a_plan_asks_each_object_once(needs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = _knot(needs), 0
    before = dependencies.references

    def counted(obj: Any) -> list[Ref]:
        nonlocal asked
        asked += 1
        return before(obj)

    monkeypatch.setattr(dependencies, "references", counted)
    with within(20):
        made = plan.make(found, Schedule({}), frozenset(), 100.0, lambda: "batch")
    assert made.counts["objects"] == MANY
    assert asked <= 4 * MANY


def test_cycles_are_found_in_steps_in_proportion_to_the_links() -> None:
    graph = {i: [(i + step) % MANY for step in range(1, DEPENDENCIES + 1)] for i in range(MANY)}
    found = Cycles(graph)
    assert found.links == MANY * DEPENDENCIES
    for node in graph:
        way = found.through(node)
        assert way[0] == way[-1] == node
    assert found.links <= MANY * DEPENDENCIES + CYCLE_LINKS


def test_a_short_way_through_a_tangle_is_still_named() -> None:
    graph = {i: [(i + 1) % MANY, *([i - 1] if i else [])] for i in range(MANY)}
    assert Cycles(graph).through(500) == (500, 501, 500)


def test_a_way_that_is_too_long_to_be_named_goes_as_far_as_the_next_object() -> None:
    found = world(*(kustomization(f"k{i:03}", *_names(i + 1, 1), of="") for i in range(MANY)))
    wait = waits_for(found.objects[Ref("Kustomization", "apps", "k007")], found)
    assert wait is not None
    assert wait.impossible
    assert wait.message == "dependency cycle: apps/k007 -> apps/k008 -> … -> apps/k007"


def test_an_object_with_too_many_dependencies_is_refused_by_the_limit() -> None:
    names = _names(0, DEPENDENCIES)
    full, over = kustomization("full", *names, of=""), kustomization("over", *names, "one-more", of="")
    found = world(full, over, *(kustomization(name, of="") for name in names))
    assert waits_for(full, found) is None
    wait = waits_for(over, found)
    assert wait is not None
    assert wait.impossible
    assert wait.message == "spec.dependsOn has 101 entries, and may have 100"


class _Resource(str):
    namespaced = True


class _Cluster:
    """The seam of the transport: one object, and a count of what is asked for beside the lists."""

    def __init__(self, obj: dict[str, Any]) -> None:
        self.obj, self.gets = obj, 0

    async def resource(self, api_version: str, kind: str) -> _Resource:
        return _Resource(kind)

    async def list(self, resource: _Resource) -> list[dict[str, Any]]:
        return [json.loads(json.dumps(self.obj))] if resource == "Kustomization" else []

    def impersonating(self, user: str) -> _Cluster:
        return self

    async def get(self, *_: str) -> None:
        self.gets += 1


@pytest.mark.parametrize(("entries", "gets"), [(DEPENDENCIES, DEPENDENCIES), (15_000, 0)])
async def test_what_expressions_read_elsewhere_is_bounded(entries: int, gets: int) -> None:
    obj = kustomization("k", of="")
    needs = [{"name": f"n{i}", "namespace": "other", "readyExpr": "true"} for i in range(entries)]
    obj["spec"] = {"serviceAccountName": "tenant", "dependsOn": needs}
    cluster: Any = _Cluster(obj)
    await take(cluster, (KUSTOMIZATION, HELM_RELEASE), 0.0)
    assert cluster.gets == gets

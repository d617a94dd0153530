"""CEL of a tenant: it reads as the tenant what is elsewhere, tells no values by its errors, and holds up nobody."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest

from fluxless.api.failure import Problem
from fluxless.api.kinds import HELM_RELEASE, KUSTOMIZATION
from fluxless.kube.client import Cluster
from fluxless.limits import CEL_COST
from fluxless.reconcile import dependencies, judgement
from fluxless.reconcile.dependencies import waits_for
from fluxless.reconcile.expression_cost import Shape, cost
from fluxless.reconcile.expressions import Value, expression, value_of
from fluxless.reconcile.judgement import judge_by
from fluxless.reconcile.world import Ref, Rules, World, take
from tests.support.clock import within
from tests.unit.reconcile.objects import kustomization, world

PASSWORD = "s3cr3t-words"
SECRET = {"spec": {"values": {"password": PASSWORD, "number": 4711, "list": [1, 2]}}}
TELLING = {
    "an index": "{'a': 1}[dep.spec.values.password] == 1",
    "a field": "dep.spec[dep.spec.values.password] == 1",
    "a conversion": "int(dep.spec.values.password) == 1",
    "a duration": "duration(dep.spec.values.password) == duration('1s')",
    "a pattern": "'a'.matches(dep.spec.values.password + '(')",
    "a place in a list": "dep.spec.values.list[dep.spec.values.number] == 1",
    "an overload": "dep.spec.values.password + 1 == 2",
    "no boolean": "dyn(dep.spec.values.password)",
    "a format": "'%d'.format([dep.spec.values.password]) == 'a'",
}


@pytest.mark.parametrize("case", TELLING)
def test_an_error_tells_no_value(case: str) -> None:
    with pytest.raises(Problem) as caught:
        expression(TELLING[case], "self", "dep").holds({"self": {}, "dep": SECRET})
    said = f"{caught.value} {caught.value.failures}".replace(TELLING[case], "")
    assert not [part for part in ("s3cr3t", "4711") if part in said], said


def test_a_missing_field_that_the_expression_names_is_told() -> None:
    with pytest.raises(Problem, match="no such key: phase"):
        expression("dep.status.phase == 'Done'", "self", "dep").holds({"self": {}, "dep": {"status": {}}})


LONG = "ab" * 100_000
COSTLY = {
    "a pattern, again and again": "dep.list.all(x, dep.text.matches('(a|b)*c.*d'))",
    "a large pattern": "dep.text.matches('(a?){1000}(b?){1000}(a|b){1000}')",
    "a text that grows": "'a'" + ".replace('a', 'aaaaaaaaaa')" * 12 + ".size() > 0",
    "a text that doubles": "dep.list.map(x, dep.text)" + ".map(t, t + t)" * 12 + ".size() > 0",
    "a text by itself": "dep.text.replace('a', dep.text).size() > 0",
    "loops in loops": "dep.list.all(a, dep.list.all(b, dep.list.all(c, dep.text.contains('c' + string(a + b + c)))))",
}


@pytest.mark.parametrize("case", COSTLY)
def test_an_expression_that_costs_too_much_is_refused_before_it_begins(case: str) -> None:
    found = expression(COSTLY[case], "dep")
    began = time.thread_time()
    with within(5), pytest.raises(Problem, match="too long for so much data"):
        found.holds({"dep": {"list": list(range(500)), "text": LONG}})
    assert time.thread_time() - began < 1


SEARCHED = "[" + ",".join("0" * 100) + "].all(i, !dep.metadata.annotations.x.contains('aaaaaaaaab'))"


def _evaluated(found: World, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    """How many evaluations all Kustomizations of a world lead to, and what is said."""
    counted = 0
    before = Value.value

    def value(self: Value, *more: Any) -> Any:
        nonlocal counted
        result = before(self, *more)
        counted += 1
        return result

    monkeypatch.setattr(Value, "value", value)
    waits = [waits_for(obj, found) for obj in found.objects.values() for _ in range(2)]
    return counted, [wait.message for wait in waits if wait is not None]


def _searching(name: str, times: int, **more: Any) -> dict[str, Any]:
    obj = kustomization(name, *["d"] * times, of="", **more)
    for entry in obj["spec"]["dependsOn"]:
        entry["readyExpr"] = SEARCHED
    return obj


def _searched(**more: Any) -> dict[str, Any]:
    obj = kustomization("d", of="", **more)
    obj["metadata"]["annotations"] = {"x": "a" * 400}
    return obj


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets of a fiftieth, for data of a fiftieth."""
    monkeypatch.setattr(dependencies, "CEL_OBJECT", CEL_COST // 50, raising=False)
    monkeypatch.setattr(dependencies, "CEL_NAMESPACE", CEL_COST // 25, raising=False)
    monkeypatch.setattr(judgement, "CEL_LOOK", CEL_COST // 50, raising=False)


def test_the_expressions_of_an_object_have_one_budget(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    count, said = _evaluated(world(_searched(), _searching("k", 100)), monkeypatch)
    assert 0 < count <= 30
    assert "with all readyExpr of its object" in said[0]


def test_the_objects_of_a_namespace_have_one_budget_and_others_have_their_own(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [_searching(f"k{number:02}", 10) for number in range(50)]
    quiet = [_searched(namespace="quiet"), _searching("honest", 10, namespace="quiet")]
    count, said = _evaluated(world(_searched(), *many, *quiet), monkeypatch)
    assert 0 < count <= 70
    assert "with all readyExpr of namespace 'apps'" in said[-1]
    assert not [words for words in said if "quiet" in words]


def test_a_text_that_is_looked_for_in_itself_is_refused() -> None:
    data = {"dep": {"long": "a" * 200_000, "sought": "a" * 100_000 + "b"}}
    with pytest.raises(Problem, match="too long for so much data"):
        expression("dep.long.contains(dep.sought)", "dep").holds(data)


def test_health_expressions_have_one_budget_for_a_look(small: None) -> None:
    judge = judge_by([{"apiVersion": "v1", "current": SEARCHED.replace("dep.", "")}])
    obj = {"apiVersion": "v1", "kind": "Thing", "metadata": {"annotations": {"x": "a" * 400}}}
    said = [judge(obj) for _ in range(100)]
    assert said[0].state == "Current"
    assert "with all healthCheckExprs of a look" in said[-1].message


def test_an_expression_of_many_kilobytes_is_refused() -> None:
    with pytest.raises(Problem, match="more than 8192 characters"):
        value_of("1" + " + 1" * 5000)


HONEST = [
    "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True' && e.observedGeneration == 1)",
    "status.conditions.exists(e, e.type.matches('^(Ready|Synced)$') && e.message.contains('ok'))",
    "status.version.replace('v', '').split('.')[0] == '1'",
    "status.conditions.map(e, e.type + '=' + e.status).join(',').contains('Ready=True')",
    "has(status.version) && status.version.startsWith('v') && metadata.annotations['note'].size() > 100",
]


@pytest.mark.parametrize("text", HONEST)
def test_honest_expressions_over_large_objects_are_evaluated(text: str) -> None:
    kinds = ["Ready", *(f"Other{number}" for number in range(20))]
    found = [{"type": kind, "status": "True", "observedGeneration": 1, "message": "ok " * 50} for kind in kinds]
    obj = {"metadata": {"annotations": {"note": "x" * 5000}}, "status": {"conditions": found, "version": "v1.2.3"}}
    assert expression(text).holds(obj)


async def _put(cluster: Cluster, namespace: str, kind: Any, name: str, spec: dict[str, Any]) -> None:
    metadata = {"name": name, "namespace": namespace}
    await cluster.apply(
        {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}, manager="user"
    )


async def _allow(cluster: Cluster, namespace: str, tenant: str) -> None:
    about = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "tenant", "namespace": namespace}}
    rule = {"apiGroups": ["helm.toolkit.fluxcd.io"], "resources": ["helmreleases"], "verbs": ["get"]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"}
    who = {"kind": "ServiceAccount", "name": "tenant", "namespace": tenant}
    await cluster.apply({**about, "kind": "Role", "rules": [rule]}, manager="user")
    await cluster.apply({**about, "kind": "RoleBinding", "roleRef": role, "subjects": [who]}, manager="user")


async def test_a_ready_expression_reads_another_namespace_as_the_account(cluster: Cluster, namespace: str) -> None:
    other = f"t-{uuid4().hex[:8]}"
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    values = {"chartRef": {"kind": "OCIRepository", "name": "app"}, "values": {"password": PASSWORD}}
    await _put(cluster, other, HELM_RELEASE, "app", {"interval": "10m", **values})
    text = "{'a': 1}[dep.spec.values.password] == 1"
    depends = {"kind": "HelmRelease", "name": "app", "namespace": other, "readyExpr": text}
    base = {"interval": "10m", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "repo"}}
    await _put(cluster, namespace, KUSTOMIZATION, "spy", {**base, "dependsOn": [depends]})

    async def said() -> str:
        world: World = await take(cluster, (KUSTOMIZATION, HELM_RELEASE), 0.0, Rules("tenant"))
        source = {"metadata": {"name": "repo", "namespace": namespace}, "spec": {}, "kind": "GitRepository"}
        there = {
            **world.objects,
            Ref("GitRepository", namespace, "repo"): {**source, "status": {"artifact": {"digest": "sha256:1"}}},
        }
        object.__setattr__(world, "objects", there)
        blocked = waits_for(there[Ref("Kustomization", namespace, "spy")], world)
        assert blocked is not None
        return blocked.message

    denied = await said()
    assert f"cannot be read by 'system:serviceaccount:{namespace}:tenant'" in denied
    assert f"allow it to get HelmRelease in namespace '{other}'" in denied
    await _allow(cluster, other, namespace)
    for _ in range(50):
        if "cannot be read" not in (allowed := await said()):
            break
    assert "no such key" in allowed
    assert PASSWORD not in denied + allowed
    await cluster.delete(await cluster.resource("v1", "Namespace"), other)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[1].map(x, x) == [" + "1+1," * 1200 + "1]", id="sums"),
        pytest.param("[" + ",".join(["self.a.split('').all(x, true)"] * 150) + "]", id="loops"),
        pytest.param("self.a" + ".replace('a', 'aaaa')" * 150, id="replacements"),
        pytest.param("self.a" + ".replace(self.a, self.a)" * 150, id="squares"),
        pytest.param("[" + "self.a.split('').join('')," * 150 + "1]", id="joins"),
    ],
)
def test_the_cost_of_an_expression_is_a_number_whatever_it_says(text: str) -> None:
    price, reading = cost(Shape(text), {"self": {"a": "a" * 1000}})
    assert 0 < reading <= price < float("inf")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("'" + "\\" * 60, id="a literal that does not end"),
        pytest.param('"' + "\\" * 2001, id="many escapes"),
    ],
)
def test_an_expression_is_read_in_linear_time(text: str) -> None:
    began = time.process_time()
    Shape(text)
    assert time.process_time() - began < 1.0


NESTED = "self.a.split('').all(x, self.a.split('').all(y, self.a.split('').all(z, self.a.contains(x))))"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"r'\\' == '' || {NESTED} || r'\\' == ''", id="behind a raw text that ends in a backslash"),
        pytest.param(f"true // '\n&& {NESTED} // '", id="between comments with quotes"),
    ],
)
def test_no_part_of_an_expression_hides_in_what_looks_like_a_text(text: str) -> None:
    data = {"self": {"a": "a" * 20_000}}
    assert cost(Shape(NESTED), data)[0] > CEL_COST
    assert cost(Shape(text), data)[0] > CEL_COST

"""CEL in health checks and dependencies (CM-22, CM-23): what expressions see; `test_cel.py` has the language."""

from dataclasses import replace
from typing import Any

import pytest

from fluxless.reconcile.dependencies import waits_for
from fluxless.reconcile.errors import Stalled
from fluxless.reconcile.expressions import EvaluationFailed, InvalidExpression, expression
from fluxless.reconcile.judgement import judge_by
from fluxless.reconcile.world import Rules
from tests.unit.reconcile.objects import kustomization, source, world

OBJECT: dict[str, Any] = {
    "apiVersion": "example.com/v1",
    "kind": "Thing",
    "metadata": {"name": "t", "generation": 2, "labels": {"tier": "gold"}},
    "spec": {"size": 3},
    "status": {"observedGeneration": 2, "phase": "Up", "conditions": [{"type": "Ready", "status": "True"}]},
}


@pytest.mark.parametrize("text", ["1 +", "status.", ""])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidExpression, match="failed to parse the CEL expression"):
        expression(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("status.none == 1", "no such key: none"),
        ("nothing == 1", "nothing"),
        ("status.phase", "not a boolean"),
        ("unknown(1)", "unknown"),
    ],
)
def test_what_has_no_value_says_why(text: str, words: str) -> None:
    with pytest.raises(EvaluationFailed, match=words):
        expression(text).holds(OBJECT)


RULE = {"apiVersion": "example.com/v9", "current": "status.phase == 'Up'", "failed": "status.phase == 'Broken'"}


@pytest.mark.parametrize(
    ("rules", "status", "state"),
    [
        pytest.param([RULE], {}, "Current", id="CM-23-group-only"),
        pytest.param([RULE], {"phase": "Broken"}, "Failed", id="CM-23-failed"),
        pytest.param([RULE], {"phase": "Starting"}, "InProgress", id="CM-23-none-holds"),
        pytest.param([RULE], {"observedGeneration": 1}, "InProgress", id="CM-23-generation-first"),
        pytest.param([RULE | {"inProgress": "true"}], {}, "InProgress", id="CM-23-order"),
        pytest.param(
            [RULE | {"current": "false"}, RULE | {"kind": "Thing"}], {}, "Current", id="CM-23-kind-specific-wins"
        ),
        pytest.param([RULE | {"current": "status.no.field"}], {}, "Unknown", id="evaluation-fails"),
        pytest.param([RULE | {"apiVersion": "other.com/v1"}], {}, "Current", id="left-to-kstatus"),
    ],
)
def test_health_by_expressions(rules: list[dict[str, Any]], status: dict[str, Any], state: str) -> None:
    obj = OBJECT | {"status": OBJECT["status"] | status}
    assert judge_by(rules)(obj).state == state


def test_an_invalid_health_expression_stalls() -> None:
    with pytest.raises(Stalled) as caught:
        judge_by([RULE | {"current": "("}])
    assert caught.value.reason == "InvalidCELExpression"


def _waiting(text: str, *, additive: bool = False) -> Any:
    waiting = kustomization("b", "a", ready=None)
    waiting["spec"]["dependsOn"][0]["readyExpr"] = text
    found = world(source(), kustomization("a", ready="False"), waiting)
    return waits_for(waiting, replace(found, rules=Rules(additive=additive)))


def test_a_ready_expression_replaces_the_built_in_check() -> None:
    assert _waiting("dep.metadata.name == 'a' && self.metadata.name == 'b'") is None
    said = _waiting("dep.metadata.generation > 100")
    assert said.message.startswith("dependency 'apps/a' is not ready according to readyExpr eval")
    assert "no such key: none" in _waiting("dep.spec.none == 1").message
    invalid = _waiting("dep.")
    assert (invalid.reason, invalid.impossible) == ("InvalidCELExpression", True)


def test_with_the_gate_a_ready_expression_comes_on_top_of_the_built_in_check() -> None:
    assert _waiting("true", additive=True).message == "dependency 'apps/a' is not ready"
    assert "according to readyExpr" in _waiting("false", additive=True).message

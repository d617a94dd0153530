"""Is an object ready, by the user's own expressions (KC-28, CM-23) or by kstatus? Pure; `health.py` asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fluxless.api import reasons
from fluxless.apply.kstatus import status_of
from fluxless.apply.objects import KubeObject, group_of
from fluxless.apply.states import State, Status
from fluxless.limits import CEL_LOOK
from fluxless.reconcile.errors import Stalled
from fluxless.reconcile.expression_cost import Budget
from fluxless.reconcile.expressions import EvaluationFailed, Expression, InvalidExpression, expression

Judge = Callable[[KubeObject], Status]
_ORDER = (("inProgress", State.IN_PROGRESS), ("failed", State.FAILED), ("current", State.CURRENT))
Rule = list[tuple[State, Expression]]


def judge_by(expressions: Iterable[Mapping[str, Any]]) -> Judge:
    """A judge for `spec.healthCheckExprs`, for one look; kinds without expressions are left to kstatus.

    Versions do not count; an entry with a kind wins over one for the whole group. Raises `Stalled` for an expression
    that is no CEL.
    """
    rules: dict[tuple[str, str], Rule] = {}
    for entry in expressions:
        key = (group_of(str(entry["apiVersion"])), str(entry.get("kind") or ""))
        try:
            rules[key] = [(state, expression(str(entry[field]))) for field, state in _ORDER if entry.get(field)]
        except InvalidExpression as problem:
            raise Stalled(reasons.INVALID_CEL_EXPRESSION, problem.failures) from problem
    budget = Budget(CEL_LOOK, "all healthCheckExprs of a look")

    def judge(obj: KubeObject) -> Status:
        group, kind = group_of(str(obj.get("apiVersion") or "")), str(obj.get("kind") or "")
        rule = rules.get((group, kind)) or rules.get((group, ""))
        return _evaluate(rule, obj, budget) if rule is not None else status_of(obj)

    return judge


def _evaluate(rule: Rule, obj: KubeObject, budget: Budget) -> Status:
    """An unobserved generation first, then the expressions in their order; what none of them claims is under way."""
    generation = obj["metadata"].get("generation")
    observed = (obj.get("status") or {}).get("observedGeneration")
    if isinstance(observed, int) and isinstance(generation, int) and observed != generation:
        return Status(State.IN_PROGRESS, f"generation is {generation}, but latest observed generation is {observed}")
    for state, test in rule:
        try:
            if test.holds(obj, budget):
                return Status(state, f"by healthCheckExprs: {test.text}")
        except EvaluationFailed as problem:
            return Status(State.UNKNOWN, problem.failures[0].message)
    return Status(State.IN_PROGRESS, "none of healthCheckExprs holds")

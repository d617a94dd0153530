"""What must hold of every Flux status at all times. Checked after every cluster test and by `fluxless check`.

Each rule has a number, so that a finding can be looked up here and in the docs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fluxless.api import conditions
from fluxless.api.kinds import SOURCE_KINDS

Rule = Callable[[Mapping[str, Any]], str]
ABNORMAL = ("Reconciling", "Stalled")
CONDITION_LIMIT = 32768
"""Characters of a condition message that the CRDs accept."""


def _conditions(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((obj.get("status") or {}).get("conditions") or [])


def _observed(obj: Mapping[str, Any]) -> int:
    return int((obj.get("status") or {}).get("observedGeneration", -1))


def _one_of_each(obj: Mapping[str, Any]) -> str:
    names = [condition["type"] for condition in _conditions(obj)]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"conditions {', '.join(twice)} stand more than once" if twice else ""


def _abnormal_only_true(obj: Mapping[str, Any]) -> str:
    wrong = [c["type"] for c in _conditions(obj) if c["type"] in ABNORMAL and c["status"] != "True"]
    return f"{', '.join(wrong)} may only be present while True" if wrong else ""


def _not_both(obj: Mapping[str, Any]) -> str:
    both = all(conditions.get(obj, name) is not None for name in ABNORMAL)
    return "Reconciling and Stalled are present together" if both else ""


def _ready_is_a_summary(obj: Mapping[str, Any]) -> str:
    if not conditions.is_true(obj, "Ready"):
        return ""
    against = [
        c["type"]
        for c in _conditions(obj)
        if (c["type"] in (*ABNORMAL, "FetchFailed", "StorageOperationFailed", "IncludeUnavailable", "ArtifactOutdated"))
        and c["status"] == "True"
    ]
    against += [c["type"] for c in _conditions(obj) if c["type"] == "Healthy" and c["status"] == "False"]
    return f"Ready is True although {', '.join(against)} says otherwise" if against else ""


def _no_future_generation(obj: Mapping[str, Any]) -> str:
    generation = int(obj["metadata"].get("generation", 0))
    seen = [_observed(obj), *(int(c.get("observedGeneration", 0)) for c in _conditions(obj))]
    return f"observedGeneration {max(seen)} is ahead of generation {generation}" if max(seen) > generation else ""


def _ready_observed(obj: Mapping[str, Any]) -> str:
    if obj["kind"] == "ExternalArtifact":
        return ""  # its status has no observedGeneration
    ready = conditions.get(obj, "Ready")
    if ready is None or ready["status"] != "True":
        return ""
    if int(ready.get("observedGeneration", 0)) > _observed(obj):
        return "Ready is True for a generation that status.observedGeneration does not show"
    return ""


def _stalled_is_observed(obj: Mapping[str, Any]) -> str:
    stalled = conditions.get(obj, "Stalled")
    if stalled is not None and int(stalled.get("observedGeneration", 0)) != _observed(obj):
        return "Stalled is True but the generation is not marked as observed: tools would wait forever"
    return ""


def _well_formed(obj: Mapping[str, Any]) -> str:
    for condition in _conditions(obj):
        if not condition.get("reason") or "lastTransitionTime" not in condition:
            return f"condition {condition['type']} lacks a reason or a time"
        if len(condition.get("message", "")) > CONDITION_LIMIT:
            return f"the message of condition {condition['type']} is too long"
        datetime.fromisoformat(condition["lastTransitionTime"])
    return ""


def _ready_comes_with_result(obj: Mapping[str, Any]) -> str:
    if not conditions.is_true(obj, "Ready"):
        return ""
    status = obj.get("status") or {}
    if obj["kind"] == "Kustomization" and not status.get("lastAppliedRevision"):
        return "Ready is True without lastAppliedRevision"
    if obj["kind"] in SOURCE_KINDS and not status.get("artifact"):
        return "Ready is True without an artifact"
    return ""


RULES: dict[str, Rule] = {
    "ST-1": _one_of_each,
    "ST-2": _abnormal_only_true,
    "ST-3": _not_both,
    "ST-4": _ready_is_a_summary,
    "ST-5": _no_future_generation,
    "ST-6": _ready_observed,
    "ST-7": _stalled_is_observed,
    "ST-8": _well_formed,
    "ST-9": _ready_comes_with_result,
}


def violations(obj: Mapping[str, Any]) -> list[str]:
    """The rules that the object's status breaks, as `ST-n: sentence`; empty when all hold."""
    return [f"{name}: {text}" for name, rule in RULES.items() if (text := rule(obj))]

"""Is a live object ready? The rules of kstatus with Flux's overrides (KC-93, KC-94), as one function per kind.

Pure: `status_of` reads one whole object. Pods of a StatefulSet, which count as well, are looked up by `health.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from fluxless.apply import workloads
from fluxless.apply.objects import group_of
from fluxless.apply.states import Obj, State, Status, at, broken, conditions, ready, under_way


def status_of(obj: Obj, *, now: datetime | None = None) -> Status:
    """The status of a whole live object. `now` (UTC) only matters for pods that cannot be scheduled."""
    group, kind = group_of(str(obj.get("apiVersion") or "")), obj.get("kind")
    if (group, kind) == ("batch", "Job"):
        return workloads.job(obj)
    if (common := _common(obj)) is not None:
        return common
    if (group, kind) == ("", "Pod"):
        return workloads.pod(obj, now or datetime.now(UTC))
    rule = _RULES.get((group, str(kind)))
    return rule(obj) if rule is not None else _by_ready_condition(obj)


def _common(obj: Obj) -> Status | None:
    """What holds for every kind: deletion, an unobserved generation, and the two standard conditions."""
    if at(obj, "metadata", "deletionTimestamp"):
        return Status(State.TERMINATING, "Resource scheduled for deletion")
    generation, observed = at(obj, "metadata", "generation"), at(obj, "status", "observedGeneration")
    if generation is not None and observed is not None and generation != observed:
        return under_way(f"{obj.get('kind')} generation is {generation}, but latest observed generation is {observed}")
    for condition in conditions(obj):
        if condition.get("status") == "True" and condition.get("type") == "Reconciling":
            return under_way(str(condition.get("message") or ""))
        if condition.get("status") == "True" and condition.get("type") == "Stalled":
            return broken(str(condition.get("message") or ""))
    return None


def _by_ready_condition(obj: Obj) -> Status:
    """Kinds without a rule: their Ready condition decides; without one they are current."""
    for condition in conditions(obj):
        if condition.get("type") == "Ready":
            if condition.get("status") == "True":
                return ready("Resource is Ready")
            if condition.get("status") in ("False", "Unknown"):
                return under_way(str(condition.get("message") or ""))
    return ready("Resource is current")


def _always(obj: Obj) -> Status:
    return ready("Resource is always ready")


def _volume_claim(obj: Obj) -> Status:
    phase = at(obj, "status", "phase") or "unknown"
    return ready("PVC is Bound") if phase == "Bound" else under_way(f"PVC is not Bound. phase: {phase}")


def _service(obj: Obj) -> Status:
    if at(obj, "spec", "type") == "LoadBalancer" and not at(obj, "spec", "clusterIP"):
        return under_way("ClusterIP not set. Service type: LoadBalancer")
    return ready("Service is ready")


def _disruption_budget(obj: Obj) -> Status:
    return ready("AllowedDisruptions has been computed.")


def _definition(obj: Obj) -> Status:
    for condition in conditions(obj):
        type_, status = condition.get("type"), condition.get("status")
        if type_ == "NamesAccepted" and status == "False":
            return broken(str(condition.get("message") or ""))
        if type_ == "Established" and status == "False" and condition.get("reason") != "Installing":
            return broken(str(condition.get("message") or ""))
        if type_ == "Established" and status == "True":
            return ready("CRD is established")
    return under_way("Install in progress")


_RULES: dict[tuple[str, str], Callable[[Obj], Status]] = {
    ("", "ConfigMap"): _always,
    ("", "PersistentVolumeClaim"): _volume_claim,
    ("", "Secret"): _always,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apps", "DaemonSet"): workloads.daemon_set,
    ("apps", "Deployment"): workloads.deployment,
    ("apps", "ReplicaSet"): workloads.replica_set,
    ("apps", "StatefulSet"): workloads.stateful_set,
    ("batch", "CronJob"): _always,
    ("extensions", "DaemonSet"): workloads.daemon_set,
    ("extensions", "Deployment"): workloads.deployment,
    ("extensions", "ReplicaSet"): workloads.replica_set,
    ("policy", "PodDisruptionBudget"): _disruption_budget,
}

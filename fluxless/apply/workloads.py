"""Readiness of the kinds that run pods (KC-93, KC-94). Called by `kstatus.py` only; pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from fluxless.apply.states import (
    Obj,
    State,
    Status,
    at,
    broken,
    conditions,
    find_condition,
    first_of,
    number,
    ready,
    under_way,
)

_MAX_INT32 = 2**31 - 1
"""A progressDeadlineSeconds of this size means "never": the Deployment controller then reports no progress at all."""

SCHEDULING_TIME = timedelta(seconds=15)
"""How long a pod may be unschedulable before that counts as a failure."""


def deployment(obj: Obj) -> Status:
    """Rolled out and available; failed once its progress deadline has passed."""
    deadline = number(obj, "spec", "progressDeadlineSeconds", default=_MAX_INT32)
    rolled_out, available = deadline == _MAX_INT32, False
    for condition in conditions(obj):
        if condition.get("type") == "Progressing":
            if condition.get("reason") == "ProgressDeadlineExceeded":
                return broken("Progress deadline exceeded")
            if condition.get("status") == "True" and condition.get("reason") == "NewReplicaSetAvailable":
                rolled_out = True
        if condition.get("type") == "Available" and condition.get("status") == "True":
            available = True
    wanted = number(obj, "spec", "replicas", default=1)
    total = number(obj, "status", "replicas")
    updated = number(obj, "status", "updatedReplicas")
    up = number(obj, "status", "availableReplicas")
    able = number(obj, "status", "readyReplicas")
    steps = (
        (wanted > total, f"Replicas: {total}/{wanted}"),
        (wanted > updated, f"Updated: {updated}/{wanted}"),
        (total > wanted, f"Pending termination: {total - wanted}"),
        (updated > up, f"Available: {up}/{updated}"),
        (wanted > able, f"Ready: {able}/{wanted}"),
        (not rolled_out, "ReplicaSet not Available"),
        (not available, "Deployment not Available"),
    )
    return first_of(steps) or ready(f"Deployment is available. Replicas: {total}")


def stateful_set(obj: Obj) -> Status:
    """Rolled out to all replicas, or to its partition."""
    if at(obj, "spec", "updateStrategy", "type") == "OnDelete":
        return ready("StatefulSet is using the ondelete update strategy")
    wanted = number(obj, "spec", "replicas", default=1)
    total = number(obj, "status", "replicas")
    able = number(obj, "status", "readyReplicas")
    now_current = number(obj, "status", "currentReplicas")
    updated = number(obj, "status", "updatedReplicas")
    missing = first_of(
        (
            (wanted > total, f"Replicas: {total}/{wanted}"),
            (wanted > able, f"Ready: {able}/{wanted}"),
            (total > wanted, f"Pending termination: {total - wanted}"),
        )
    )
    if missing is not None:
        return missing
    partition = number(obj, "spec", "updateStrategy", "rollingUpdate", "partition", default=-1)
    if partition != -1:
        if updated < wanted - partition:
            return under_way(f"updated: {updated}/{wanted - partition}")
        return ready(f"Partition rollout complete. updated: {updated}")
    if wanted > now_current:
        return under_way(f"current: {now_current}/{wanted}")
    if (at(obj, "status", "currentRevision") or "") != (at(obj, "status", "updateRevision") or ""):
        return under_way("Waiting for updated revision to match current")
    return ready(f"All replicas scheduled as expected. Replicas: {total}")


def daemon_set(obj: Obj) -> Status:
    """Rolled out to all nodes that it wants. Its controller always sets the observed generation."""
    if at(obj, "metadata", "generation") is None:
        return under_way("DaemonSet metadata.generation not found")
    if at(obj, "status", "observedGeneration") is None:
        return under_way("DaemonSet status.observedGeneration not found")
    wanted = number(obj, "status", "desiredNumberScheduled", default=-1)
    if wanted == -1:
        return under_way("Missing .status.desiredNumberScheduled")
    counts = (
        ("Current", number(obj, "status", "currentNumberScheduled")),
        ("Updated", number(obj, "status", "updatedNumberScheduled")),
        ("Available", number(obj, "status", "numberAvailable")),
        ("Ready", number(obj, "status", "numberReady")),
    )
    missing = first_of(tuple((wanted > count, f"{word}: {count}/{wanted}") for word, count in counts))
    return missing or ready(f"All replicas scheduled as expected. Replicas: {wanted}")


def replica_set(obj: Obj) -> Status:
    """All replicas labelled, available and ready."""
    if find_condition(obj, "ReplicaFailure") is not None:
        return under_way("Replica Failure condition. Check Pods")
    wanted = number(obj, "spec", "replicas", default=1)
    total = number(obj, "status", "replicas")
    labelled = number(obj, "status", "fullyLabeledReplicas")
    up = number(obj, "status", "availableReplicas")
    able = number(obj, "status", "readyReplicas")
    steps = (
        (wanted > labelled, f"Labelled: {labelled}/{wanted}"),
        (wanted > up, f"Available: {up}/{wanted}"),
        (wanted > able, f"Ready: {able}/{wanted}"),
        (total > wanted, f"Pending termination: {total - wanted}"),
    )
    return first_of(steps) or ready(f"ReplicaSet is available. Replicas: {total}")


def job(obj: Obj) -> Status:
    """Flux's rule, unlike kstatus': a Job must be complete, unless it is suspended (KC-94)."""
    if at(obj, "spec", "suspend") is True:
        return ready("Job is suspended")
    parallelism = number(obj, "spec", "parallelism", default=1)
    completions = number(obj, "spec", "completions", default=parallelism)
    active, succeeded = number(obj, "status", "active"), number(obj, "status", "succeeded")
    failed = number(obj, "status", "failed")
    for condition in conditions(obj):
        if condition.get("status") == "True" and condition.get("type") == "Complete":
            return ready(f"Job Completed. succeeded: {succeeded}/{completions}")
        if condition.get("status") == "True" and condition.get("type") == "Failed":
            return broken(f"Job Failed. failed: {failed}/{completions}")
    if not at(obj, "status", "startTime"):
        return under_way(f"Job not started. active: 0/{parallelism}")
    return under_way(f"Job in progress. success:{succeeded}, active: {active}, failed: {failed}")


def pod(obj: Obj, now: datetime) -> Status:
    """Ready or completed; failed in a crash loop or when no node takes it for some time."""
    phase = at(obj, "status", "phase") or ""
    if phase == "Succeeded":
        return ready("Pod has completed successfully")
    if phase == "Failed":
        return ready("Pod has completed, but not successfully")
    if phase == "Running":
        if find_condition(obj, "Ready") is not None:
            return ready("Pod is Ready")
        if crashing := _crash_looping(obj):
            return broken(f"Containers in CrashLoop state: {','.join(crashing)}")
        return under_way("Pod is running but is not Ready")
    if phase == "Pending":
        if not is_unschedulable(obj):
            return under_way("Pod is in the Pending phase")
        if now - _created(obj, now) < SCHEDULING_TIME:
            return under_way("Pod has not been scheduled")
        return broken("Pod could not be scheduled")
    return under_way("Pod phase not available") if not phase else Status(State.UNKNOWN, f"unknown phase {phase}")


def is_unschedulable(pod: Obj) -> bool:
    """Whether no node takes the pod at present, which an autoscaler may change."""
    reason = find_condition(pod, "PodScheduled", "False")
    return reason is not None and reason.get("reason") == "Unschedulable"


def _crash_looping(pod: Obj) -> list[str]:
    statuses = at(pod, "status", "containerStatuses")
    return [
        str(status.get("name"))
        for status in (statuses if isinstance(statuses, list) else [])
        if at(status, "state", "waiting", "reason") == "CrashLoopBackOff"
    ]


def _created(obj: Obj, default: datetime) -> datetime:
    text = at(obj, "metadata", "creationTimestamp")
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return default

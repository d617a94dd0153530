"""Is an object ready (KC-93, KC-94)? One row per rule."""

from typing import Any

import pytest

from fluxless.apply.kstatus import status_of


def _deployment(**status: Any) -> dict[str, Any]:
    done = {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "availableReplicas": 1,
        "readyReplicas": 1,
        "conditions": [
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            {"type": "Available", "status": "True"},
        ],
    }
    return _obj("apps/v1", "Deployment", {"replicas": 1, "progressDeadlineSeconds": 600}, done | status)


def _obj(version: str, kind: str, spec: Any = None, status: Any = None, **metadata: Any) -> dict[str, Any]:
    names = {"name": "a", "generation": 1, **metadata}
    return {"apiVersion": version, "kind": kind, "metadata": names, "spec": spec or {}, "status": status or {}}


EXCEEDED = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
READY = [{"type": "Ready", "status": "True"}]
NOT_READY = [{"type": "Ready", "status": "False", "message": "soon"}]
TABLE = [
    ("deployment-ready", _deployment(), "Current"),
    ("deployment-behind", _deployment(observedGeneration=0), "InProgress"),
    ("deployment-rolling", _deployment(updatedReplicas=0), "InProgress"),
    ("deployment-unavailable", _deployment(availableReplicas=0), "InProgress"),
    ("deployment-deadline", _deployment(conditions=EXCEEDED), "Failed"),
    ("config-map", _obj("v1", "ConfigMap"), "Current"),
    ("claim-bound", _obj("v1", "PersistentVolumeClaim", status={"phase": "Bound"}), "Current"),
    ("claim-pending", _obj("v1", "PersistentVolumeClaim", status={"phase": "Pending"}), "InProgress"),
    ("load-balancer", _obj("v1", "Service", {"type": "LoadBalancer"}), "InProgress"),
    ("job-running", _obj("batch/v1", "Job", status={"startTime": "x", "active": 1}), "InProgress"),
    (
        "job-complete",
        _obj("batch/v1", "Job", status={"conditions": [{"type": "Complete", "status": "True"}]}),
        "Current",
    ),
    ("job-failed", _obj("batch/v1", "Job", status={"conditions": [{"type": "Failed", "status": "True"}]}), "Failed"),
    ("job-suspended", _obj("batch/v1", "Job", {"suspend": True}), "Current"),
    ("custom-ready", _obj("example.com/v1", "Thing", status={"conditions": READY}), "Current"),
    ("custom-not-ready", _obj("example.com/v1", "Thing", status={"conditions": NOT_READY}), "InProgress"),
    ("custom-silent", _obj("example.com/v1", "Thing"), "Current"),
    ("custom-behind", _obj("example.com/v1", "Thing", status={"observedGeneration": 0}), "InProgress"),
    (
        "custom-stalled",
        _obj("example.com/v1", "Thing", status={"conditions": [{"type": "Stalled", "status": "True"}]}),
        "Failed",
    ),
    ("going", _obj("v1", "ConfigMap", deletionTimestamp="2026-01-01T00:00:00Z"), "Terminating"),
    (
        "definition",
        _obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", status={"conditions": []}),
        "InProgress",
    ),
]


@pytest.mark.parametrize(("obj", "state"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_an_object_has_its_status(obj: dict[str, Any], state: str) -> None:
    assert status_of(obj).state == state

"""Stages and order (KC-78, KC-79)."""

import pytest

from fluxless.apply.order import object_key, stage_of

STAGES = [
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", 1),
    ("v1", "Namespace", 1),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", 1),
    ("storage.k8s.io/v1", "StorageClass", 2),
    ("gateway.networking.k8s.io/v1", "GatewayClass", 2),
    ("example.com/v1", "Early", 3),
    ("v1", "ConfigMap", 4),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", 4),
]
ORDER = [
    ("v1", "Namespace"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("v1", "ResourceQuota"),
    ("v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "LimitRange"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "Ingress"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
]


@pytest.mark.parametrize(("api_version", "kind", "stage"), STAGES)
def test_a_kind_has_its_stage(api_version: str, kind: str, stage: int) -> None:
    obj = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}
    assert stage_of(obj, {("example.com", "Early")}) == stage


def test_kinds_are_written_in_flux_s_order() -> None:
    objects = [{"apiVersion": version, "kind": kind, "metadata": {"name": "a"}} for version, kind in ORDER]
    backwards = objects[::-1]
    assert sorted(backwards, key=object_key) == objects

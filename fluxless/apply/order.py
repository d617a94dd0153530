"""In which order objects are written: stages (KC-78) and ranks within a stage (KC-79), as tables. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Any

from fluxless.apply.objects import ObjectId, group_of, identify

_FIRST = (
    "CustomResourceDefinition",
    "Namespace",
    "ClusterRole",
    "ClusterClass",
    "RuntimeClass",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
    "IngressClass",
    "GatewayClass",
    "ClusterRoleBinding",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "LimitRange",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
)
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")

_RANK = {kind: place - len(_FIRST) for place, kind in enumerate(_FIRST)} | {
    kind: place + 1 for place, kind in enumerate(_LAST)
}

_DEFINITIONS = {
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("", "Namespace"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
}


class Stage(IntEnum):
    """Sets that are validated and written one after the other."""

    DEFINITIONS = 1
    CLASSES = 2
    CUSTOM = 3
    REST = 4

    @property
    def waits(self) -> bool:
        """Whether the next stage needs this one's objects to be ready."""
        return self <= Stage.CLASSES


SortKey = tuple[int, str, str, str, str]


def stage_of(obj: Mapping[str, Any], custom: Collection[tuple[str, str]] = ()) -> Stage:
    """The stage of an object (KC-78); `custom` holds the (group, kind) pairs that the operator put before the rest."""
    kind = (group_of(obj["apiVersion"]), obj["kind"])
    if kind in _DEFINITIONS:
        return Stage.DEFINITIONS
    if obj["kind"].endswith("Class"):
        return Stage.CLASSES
    return Stage.CUSTOM if kind in custom else Stage.REST


def rank(id_: ObjectId) -> tuple[int, str, str]:
    """The place of a kind (KC-79): objects of equal rank have no order among themselves."""
    return (_RANK.get(id_.kind, 0), id_.group, id_.kind)


def sort_key(id_: ObjectId) -> SortKey:
    """Total order of application; its reverse is the order of deletion (KC-91)."""
    return (*rank(id_), id_.namespace, id_.name)


def object_key(obj: Mapping[str, Any]) -> SortKey:
    """`sort_key` of an object."""
    return sort_key(identify(obj))

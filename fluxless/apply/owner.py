"""Whose an object is, and what its labels and annotations ask of us (KC-75, KC-82..85). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GROUP = "kustomize.toolkit.fluxcd.io"
HELM_GROUP = "helm.toolkit.fluxcd.io"
MANAGER = "kustomize-controller"
"""Flux's field manager: kept, so that a cluster can change over to us and back without a fight (KC-50)."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The Flux object that a set belongs to; `group` is the prefix of its labels and directives."""

    name: str
    namespace: str
    group: str = GROUP

    @property
    def labels(self) -> dict[str, str]:
        """The two labels on every object of the set (KC-75)."""
        return {f"{self.group}/name": self.name, f"{self.group}/namespace": self.namespace}

    def owns(self, obj: Mapping[str, Any]) -> bool:
        """Whether the object carries our labels."""
        return owner_labels(obj, self.group) == (self.name, self.namespace)


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """The labels, never None."""
    return (obj.get("metadata") or {}).get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """The annotations, never None."""
    return (obj.get("metadata") or {}).get("annotations") or {}


def owner_labels(obj: Mapping[str, Any], group: str = GROUP) -> tuple[str, str]:
    """(name, namespace) of the owner named by the labels; empty strings where there is none."""
    labels = labels_of(obj)
    return labels.get(f"{group}/name", ""), labels.get(f"{group}/namespace", "")


def asks(obj: Mapping[str, Any], directive: str, value: str, group: str = GROUP) -> bool:
    """Whether a label or annotation `<group>/<directive>` has the value, in any case of letters."""
    key = f"{group}/{directive}"
    return any(found.get(key, "").lower() == value for found in (labels_of(obj), annotations_of(obj)))


def hands_off(obj: Mapping[str, Any], group: str = GROUP) -> bool:
    """Never applied, never pruned: `reconcile: disabled` (KC-83) or `ssa: Ignore` (KC-84); of a release, whose drift is
    nobody's business (HR-74).
    """
    if group == HELM_GROUP:
        return asks(obj, "driftDetection", "disabled", group)
    return asks(obj, "reconcile", "disabled", group) or asks(obj, "ssa", "ignore", group)


def only_create(obj: Mapping[str, Any], group: str = GROUP) -> bool:
    """`ssa: IfNotPresent` (KC-84); counts on the desired object only."""
    return asks(obj, "ssa", "ifnotpresent", group)


def merges(obj: Mapping[str, Any], group: str = GROUP) -> bool:
    """`ssa: Merge` (KC-84): fields of other managers stay theirs."""
    return asks(obj, "ssa", "merge", group)


def keeps(obj: Mapping[str, Any], group: str = GROUP) -> bool:
    """Never garbage-collected: `prune: disabled` (KC-85), or hands off altogether."""
    return asks(obj, "prune", "disabled", group) or hands_off(obj, group)


def may_be_recreated(obj: Mapping[str, Any], group: str = GROUP) -> bool:
    """`force: enabled` on this object (KC-82)."""
    return asks(obj, "force", "enabled", group)


def sets_directive(obj: Mapping[str, Any], group: str = GROUP) -> bool:
    """Whether applying the object could overwrite a directive that somebody set on the live one."""
    keys = (f"{group}/reconcile", f"{group}/ssa")
    return any(key in found for key in keys for found in (labels_of(obj), annotations_of(obj)))

"""Holds a prune that would delete a lot, or something that takes data with it, until somebody has approved it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fluxless.apply.objects import parse_id

APPROVAL = "fluxless.dev/approve-prune"
"""Annotation on the Kustomization: the digest of what may be deleted."""
PRECIOUS = {("", "Namespace"), ("", "PersistentVolumeClaim"), ("apiextensions.k8s.io", "CustomResourceDefinition")}
SHOWN = 20
"""Objects that a message names; the run record has all of them."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a run may delete unasked: a number of objects, or a share of the inventory."""

    number: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Limit | None:
        """`20` or `30%`; None for an empty text. Raises ValueError."""
        text = text.strip()
        if not text:
            return None
        return cls(share=float(text[:-1]) / 100) if text.endswith("%") else cls(number=int(text))

    def exceeded(self, deleted: int, of: int) -> bool:
        """Whether that many of the inventory are too many."""
        if self.number is not None and deleted > self.number:
            return True
        return self.share is not None and of > 0 and deleted / of > self.share


def held(limit: Limit | None, left: Collection[str], inventory: int, annotations: Mapping[str, str]) -> str:
    """Why the prune of `left` (inventory ids) must wait, with what to do; empty when it may go on."""
    if limit is None or not left:
        return ""
    ids = sorted(left)
    precious = [id_ for id_ in ids if (parse_id(id_).group, parse_id(id_).kind) in PRECIOUS]
    if not precious and not limit.exceeded(len(ids), inventory):
        return ""
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    if annotations.get(APPROVAL) == digest:
        return ""
    shown = ", ".join(
        parse_id(id_).subject for id_ in [*precious, *(id_ for id_ in ids if id_ not in precious)][:SHOWN]
    )
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    what = f"{len(ids)} of {inventory} objects would be deleted: {shown}{more}"
    return f"prune held: {what}; to approve, annotate {APPROVAL}={digest}"

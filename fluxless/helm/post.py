"""What is done to what a chart renders (HR-30, HR-31, HR-73), and was that done last time (HR-48, HR-61)? Pure.

The digests are of the JSON that Go writes of the spec, in the order of its fields: they are in the status, where the
real helm-controller compares them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fluxless.apply.owner import Owner

_SELECTOR = ("group", "version", "kind", "namespace", "name", "annotationSelector", "labelSelector")


def task(spec: Mapping[str, Any], owner: Owner) -> dict[str, Any]:
    """What the post-renderer is told."""
    common = spec.get("commonMetadata") or {}
    return {
        "kustomize": [one["kustomize"] for one in spec.get("postRenderers") or [] if one.get("kustomize")],
        "strategy": spec.get("postRenderStrategy") or "combined",
        "labels": {**(common.get("labels") or {}), **owner.labels},
        "annotations": common.get("annotations") or {},
    }


def observed(spec: Mapping[str, Any]) -> dict[str, str | None]:
    """The digests for the status; None for what the spec leaves out."""
    found: dict[str, str | None] = {"observedPostRenderersDigest": None, "observedCommonMetadataDigest": None}
    if (renderers := spec.get("postRenderers")) is not None:
        found["observedPostRenderersDigest"] = _digest([_renderer(one) for one in renderers])
    if (common := spec.get("commonMetadata")) is not None:
        maps = {field: dict(sorted(common[field].items())) for field in ("annotations", "labels") if common.get(field)}
        found["observedCommonMetadataDigest"] = _digest(maps)
    return found


def _renderer(one: Mapping[str, Any]) -> dict[str, Any]:
    said = one.get("kustomize")
    if said is None:
        return {}
    made: dict[str, Any] = {}
    if said.get("patches"):
        made["patches"] = [_patch(patch) for patch in said["patches"]]
    if said.get("images"):
        made["images"] = [_kept(image, ("name", "newName", "newTag", "digest")) for image in said["images"]]
    return {"kustomize": made}


def _patch(patch: Mapping[str, Any]) -> dict[str, Any]:
    target = patch.get("target")
    return {"patch": patch["patch"], **({"target": _kept(target, _SELECTOR)} if target is not None else {})}


def _kept(said: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """In this order, without what is empty."""
    return {field: said[field] for field in fields if said.get(field)}


def _digest(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

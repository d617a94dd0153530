"""Fields of a HelmRelease that this version does not build yet. An object that uses one is told so, never half-obeyed,
and a cluster with such objects is not taken over without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unbuilt_fields(kind: str, spec: Mapping[str, Any]) -> list[str]:
    """The fields below `spec` that the object uses and that are not built, as users write them."""
    if kind != "HelmRelease":
        return []

    def said(*path: str) -> Any:
        value: Any = spec
        for name in path:
            value = (value or {}).get(name)
        return value

    used = {
        "driftDetection.mode": said("driftDetection", "mode") not in {None, "disabled"},
        "postRenderStrategy": said("postRenderStrategy") not in {None, "combined"},
        "install.strategy": said("install", "strategy", "name") == "RetryOnFailure",
        "upgrade.strategy": said("upgrade", "strategy", "name") == "RetryOnFailure",
        "upgrade.chartNameChangeStrategy": said("upgrade", "chartNameChangeStrategy") == "InPlaceUpdate",
        "waitStrategy.name": said("waitStrategy", "name") == "legacy",
    }
    return [name for name, is_used in used.items() if is_used]

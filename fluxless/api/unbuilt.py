"""Fields of the API that this version does not build yet. An object that uses one is told so and never half-obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unbuilt_fields(kind: str, spec: Mapping[str, Any]) -> list[str]:
    """The fields below `spec` that the object uses and that are not built, as users write them; a value that is
    not built yet is named with its field.
    """
    found: list[str] = []
    if kind in {"OCIRepository", "HelmChart"} and (verify := spec.get("verify")):
        if verify.get("provider") == "notation":
            found.append("verify.provider: notation")
        elif not verify.get("secretRef"):
            found.append("verify without secretRef")
    return found

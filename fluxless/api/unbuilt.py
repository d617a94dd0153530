"""Fields of the API that this version does not build yet. An object that uses one is told so and never half-obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIELDS: dict[str, tuple[str, ...]] = {
    "GitRepository": (
        "verify",
        "include",
        "proxySecretRef",
        "recurseSubmodules",
        "sparseCheckout",
        "serviceAccountName",
    ),
}


def unbuilt_fields(kind: str, spec: Mapping[str, Any]) -> list[str]:
    """The fields below `spec` that the object uses and that are not built, as users write them; a value that is
    not built yet is named with its field.
    """
    found = [name for name in _FIELDS.get(kind, ()) if spec.get(name)]
    if kind == "GitRepository":
        if spec.get("provider") not in (None, "generic"):
            found.append(f"provider: {spec['provider']}")
        if not str(spec.get("url", "")).startswith(("http://", "https://")):
            found.append("url: ssh")
    if kind == "OCIRepository" and (verify := spec.get("verify")):
        if verify.get("provider") == "notation":
            found.append("verify.provider: notation")
        elif not verify.get("secretRef"):
            found.append("verify without secretRef")
    if kind == "Kustomization":
        source = (spec.get("sourceRef") or {}).get("kind")
        if source not in {"GitRepository", "OCIRepository"}:
            found.append(f"sourceRef.kind: {source}")
    return found

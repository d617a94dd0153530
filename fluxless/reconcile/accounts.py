"""As whom is an object worked on (CM-14)? Pure; the app's own rights are for objects without an account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def account_of(obj: Mapping[str, Any], default: str = "") -> str:
    """The name of the service account, in the object's own namespace; `default` (Flux's `--default-service-account`)
    where it names none.
    """
    return str((obj.get("spec") or {}).get("serviceAccountName") or default)


def user_of(obj: Mapping[str, Any], default: str = "") -> str:
    """The user name of that account, as the API server knows it; empty without an account."""
    name = account_of(obj, default)
    return f"system:serviceaccount:{obj['metadata'].get('namespace', '')}:{name}" if name else ""

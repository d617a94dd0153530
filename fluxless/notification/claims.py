"""CEL over the claims of a token (RC-8): variables first, each of which may use those before it, then validations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fluxless.api.failure import Problem
from fluxless.notification.signatures import Refused
from fluxless.reconcile.expressions import expression, value_of

AUDIENCE = "notification-controller"
_NAMES = ("claims", "vars")


def compiles(providers: Sequence[Mapping[str, Any]]) -> None:
    """Raises `Problem` for the first expression that is none."""
    for provider in providers:
        for variable in provider.get("variables") or []:
            value_of(str(variable["expression"]), *_NAMES)
        for validation in provider.get("validations") or []:
            expression(str(validation["expression"]), *_NAMES)


def validate(provider: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Raises `Refused` with the messages of all validations that do not hold."""
    variables: dict[str, Any] = {}
    data = {"claims": claims, "vars": variables}
    try:
        for variable in provider.get("variables") or []:
            variables[str(variable["name"])] = value_of(str(variable["expression"]), *_NAMES).value(data)
        failures = [
            str(validation["message"])
            for validation in provider.get("validations") or []
            if not expression(str(validation["expression"]), *_NAMES).holds(data)
        ]
    except Problem as problem:
        raise Refused(problem.failures[0].message) from None
    if failures:
        raise Refused(f"token validation failed: {'; '.join(failures)}")

"""What ARM says when it refuses, unfolded to the reason, and what to do about it. `arm.py` and `publishing.py` call it;
nothing is sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem

QUOTA = "ask for more quota in the region (the portal's page Quotas), or deploy to another"
STEPS = {
    "AuthorizationFailed": "you need Contributor and Role Based Access Control Administrator on the resource group, "
    "and the latter on clusters and registries",
    "LinkedAuthorizationFailed": "you need a role on the resource that is named, too",
    "RequestDisallowedByPolicy": "a policy of your organisation forbids it; ask its owner, or change the parameter",
    "RoleAssignmentUpdateNotPermitted": "a role assignment of an identity that was deleted is in the way: delete it "
    "(az role assignment list --all, principals without a name), and deploy again",
    "RoleAssignmentExists": "somebody has made the same role assignment by hand: delete it, and deploy again",
    "PrincipalNotFound": "the new identity is not known everywhere yet: deploy again in a minute",
    "VaultAlreadyExists": "the vault's name is taken: choose another `name`",
    "ResourceGroupNotFound": "make it: az group create --name <name> --location <region>",
    "SubscriptionNotFound": "give the id of a subscription that `az account list` shows",
    "InvalidAuthenticationToken": "run `az login`",
    "SubscriptionIsOverQuotaForSku": QUOTA,
    "QuotaExceeded": QUOTA,
    "LocationNotAvailableForResourceType": "set the parameter `location` to a region that has it",
}
"""By ARM's code."""
OTHERWISE = "correct it, and deploy again: what is there already stays"
_PROVIDER = re.compile(r"[Nn]amespace '?([A-Za-z]+\.[A-Za-z.]*[A-Za-z])")
_VAULT = re.compile(r"vault.*\b(deleted|soft[- ]delete)", re.IGNORECASE | re.DOTALL)


def failed(error: Any) -> Problem:
    """Of ARM's error, as JSON or as the SDK's model: the innermost ones, since what wraps them says nothing."""
    leaves = dict.fromkeys(_leaves(error))
    return Problem(
        Failure(FailureClass.INTERNAL, f"{code}{about and f' ({about})'}: {message}", next_step=_step(code, message))
        for code, message, about in leaves
    )


def of_sdk(error: Any) -> Problem:
    """Of an exception of azure-core."""
    if found := getattr(error, "error", None):  # ARM's own body
        return failed({"code": found.code, "message": found.message, "details": found.details, "target": found.target})
    words = str(getattr(error, "message", "") or error).splitlines()
    return problem(f"Azure refuses: {words[0] if words else type(error).__name__}", "run `az login`, and try again")


def problem(message: str, step: str) -> Problem:
    """One failure with its next step."""
    return Problem(Failure(FailureClass.INTERNAL, message, next_step=step))


def _step(code: str, message: str) -> str:
    if code in {"MissingSubscriptionRegistration", "SubscriptionNotRegistered"}:
        found = _PROVIDER.search(message)
        return f"register it: az provider register --wait --namespace {found[1] if found else '<namespace>'}"
    if _VAULT.search(message):  # the code is a mere ConflictError
        return "recover it (az keyvault recover --name <vault>), or choose another `name`: it is kept for 90 days"
    if code not in STEPS and "quota" in message.lower():
        return QUOTA
    return STEPS.get(code, OTHERWISE)


def _told(detail: Any) -> bool:
    """Whether it says more than a code."""
    if isinstance(detail, Mapping):
        return any(detail.get(name) for name in ("message", "details"))
    return bool(getattr(detail, "message", None) or getattr(detail, "details", None))


def _leaves(error: Any) -> Iterator[tuple[str, str, str]]:
    """Code, message and target of each error that wraps no other."""

    def field(name: str) -> Any:
        if isinstance(error, Mapping):
            return error.get(name) or error.get(name.capitalize())  # App Service writes them large
        return getattr(error, name, None)

    details = [detail for detail in field("details") or [] if detail and _told(detail)]
    if details:
        for detail in details:
            yield from _leaves(detail)
        return
    text = str(field("message") or "")
    try:  # ARM puts errors of providers into the text of others
        inner = json.loads(text)
    except ValueError:
        inner = None
    if isinstance(inner, dict) and isinstance(inner.get("error"), dict):
        yield from _leaves(inner["error"])
        return
    yield str(field("code") or "Unknown"), text or "no reason was given", str(field("target") or "")

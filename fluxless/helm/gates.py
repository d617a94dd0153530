"""Flux's feature gates of HelmReleases (HR-81): what a spec means where it says nothing. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

DNS, NO_DIGESTS = "AllowDNSLookups", "DisableChartDigestTracking"
RETRY, HELM_3 = "DefaultToRetryOnFailure", "UseHelm3Defaults"
GATES = frozenset({DNS, NO_DIGESTS, RETRY, HELM_3})
"""Those that mean something here; all are off unless the app is set otherwise."""
_RETRIES = {"install": {"strategy": {"name": "RetryOnFailure"}}, "upgrade": {"strategy": {"name": "RetryOnFailure"}}}
_OLD = {
    "install": {"serverSideApply": False},
    "waitStrategy": {"name": "legacy"},
    "postRenderStrategy": "nohooks",
}


def completed(spec: Mapping[str, Any], gates: Collection[str]) -> dict[str, Any]:
    """The spec with the defaults that the gates change."""
    found = dict(spec)
    for gate, defaults in ((RETRY, _RETRIES), (HELM_3, _OLD)):
        if gate in gates:
            for field, value in defaults.items():
                known = found.get(field)
                found[field] = {**value, **(known or {})} if isinstance(value, dict) else known or value
    return found

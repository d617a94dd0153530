"""`fluxless install --push`: the API server tells the app of Flux objects that somebody has written.

A webhook of the API server that always allows, is never waited for longer than a second and whose absence harms nobody.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fluxless.api.kinds import KINDS
from fluxless.cli.session import wrong
from fluxless.engine.doors.cluster import SETTING, token_of
from fluxless.kube.client import Cluster

NAME = "fluxless-push"
MANAGER = "fluxless"
_WRITTEN = (
    "request.operation == 'CREATE' || object.metadata.?generation != oldObject.metadata.?generation"
    " || object.metadata.?annotations != oldObject.metadata.?annotations"
    " || object.metadata.?deletionTimestamp != oldObject.metadata.?deletionTimestamp"
)
"""Of the app's own writes only those that change nothing of these pass: statuses are not told at all."""


def configuration(url: str, cluster: str, secret: str, authority: bytes = b"") -> dict[str, Any]:
    """The ValidatingWebhookConfiguration. `authority` is the PEM of a CA of one's own. Raises `Problem`."""
    if not url.startswith("https://"):
        raise wrong(f"--functions-url '{url}' is no https URL", "an API server tells nobody without TLS")
    if not cluster:
        raise wrong("--cluster is required with --push", "give the cluster's name in FLUXLESS_CLUSTERS")
    if not secret:
        raise wrong(f"{SETTING} is not set", "set it here and in the app's settings, to the same value")
    client: dict[str, Any] = {"url": f"{url.rstrip('/')}/api/hooks/cluster/{cluster}/{token_of(secret, cluster)}"}
    if authority:
        client["caBundle"] = base64.b64encode(authority).decode()
    common = {
        "admissionReviewVersions": ["v1"],
        "clientConfig": client,
        "failurePolicy": "Ignore",
        "matchConditions": [{"name": "written-by-somebody", "expression": _WRITTEN}],
        "sideEffects": "None",
        "timeoutSeconds": 1,
    }
    built = [kind for kind in KINDS if kind.built]
    groups = sorted({kind.group for kind in built})
    flux = [_rule(group, (kind.plural for kind in built if kind.group == group)) for group in groups]
    watched = {"matchLabels": {"reconcile.fluxcd.io/watch": "Enabled"}}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/part-of": "flux"}},
        "webhooks": [
            {"name": "objects.fluxless.dev", "rules": flux, **common},
            {
                "name": "references.fluxless.dev",
                "rules": [_rule("", ("configmaps", "secrets"), versions=("v1",))],
                "objectSelector": watched,
                **common,
                "matchConditions": [],
            },
        ],
    }


def _rule(group: str, resources: Iterable[str], versions: tuple[str, ...] = ("*",)) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "apiVersions": list(versions),
        "operations": ["CREATE", "UPDATE"],
        "resources": sorted(resources),
        "scope": "Namespaced",
    }


async def install(cluster: Cluster, manifest: dict[str, Any]) -> None:
    """Register it, or give it a new address. Raises `Problem`."""
    await cluster.apply(manifest, manager=MANAGER)


def read_authority(path: Path | None) -> bytes:
    """The PEM in a file. Raises `Problem`."""
    if path is None:
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        raise wrong(f"--push-ca-file: {error}") from None

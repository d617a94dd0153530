"""`fluxless create`: objects that are printed, or applied and awaited; and the flags of `create kustomization`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from fluxless.api import conditions
from fluxless.api.kinds import HELM_RELEASE, KUSTOMIZATION, RECEIVER, SOURCE_KINDS, Kind, by_name
from fluxless.cli.change import MANAGER, report, wait, wake
from fluxless.cli.session import Session, wrong
from fluxless.kube.client import Cluster
from fluxless.reconcile.dependencies import is_address

Obj = dict[str, Any]
NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_LABEL = re.compile(r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")
_CHECKED = ("Deployment", "DaemonSet", "StatefulSet", HELM_RELEASE.kind)
"""Kinds that Flux takes for --health-check."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The flags as they were typed; durations in Go's syntax, empty for what was not given."""

    name: str
    namespace: str
    source: str
    path: str
    interval: str = "1m0s"
    prune: bool = False
    wait: bool = False
    health_checks: tuple[str, ...] = ()
    health_timeout: str = "2m0s"
    depends_on: tuple[str, ...] = ()
    service_account: str = ""
    decryption_provider: str = ""
    decryption_secret: str = ""
    target_namespace: str = ""
    kubeconfig_secret: str = ""
    retry_interval: str = ""
    labels: tuple[str, ...] = field(default=())


def kustomization(wish: Wish) -> Obj:
    """The object. Raises `Problem` naming the flag that cannot be used."""
    _check_name(wish.name)
    if not wish.path.startswith("./"):
        words = f"path '{wish.path}' must begin with ./" if wish.path else "path is required"
        raise wrong(words, "give --path=./…")
    spec: Obj = {
        "dependsOn": [_dependency(entry) for entry in wish.depends_on],
        "interval": wish.interval,
        "path": wish.path,
        "prune": wish.prune,
        "retryInterval": wish.retry_interval,
        "serviceAccountName": wish.service_account,
        "sourceRef": _source(wish.source),
        "targetNamespace": wish.target_namespace,
        "wait": wish.wait,
    }
    if wish.kubeconfig_secret:
        spec["kubeConfig"] = {"secretRef": {"name": wish.kubeconfig_secret}}
    if wish.decryption_provider:
        spec["decryption"] = {"provider": wish.decryption_provider}
        if wish.decryption_secret:
            spec["decryption"]["secretRef"] = {"name": wish.decryption_secret}
    if wish.health_checks and not wish.wait:
        spec["healthChecks"] = [_health_check(entry) for entry in wish.health_checks]
    if wish.wait or wish.health_checks:
        spec["timeout"] = wish.health_timeout
    return built(KUSTOMIZATION, wish.name, wish.namespace, spec, wish.labels, required=("prune",))


def built(
    kind: Kind,
    name: str,
    namespace: str,
    spec: Mapping[str, Any],
    marks: Iterable[str],
    *,
    required: Iterable[str] = (),
) -> Obj:
    """An object without the fields that were not given, but for the required; `marks` are labels. Raises `Problem`."""
    _check_name(name)
    metadata: Obj = {"name": name, "namespace": namespace}
    if found := _labels(marks):
        metadata["labels"] = found
    kept = {key: value for key, value in sorted(spec.items()) if value or key in required}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": kept}


def _check_name(name: str) -> None:
    if not NAME.match(name):
        raise wrong(f"name '{name}' is invalid", "use lower-case letters, digits and '-' (RFC 1123)")


async def apply(cluster: Cluster, session: Session, obj: Obj, out: Console) -> None:
    """Create the object, or give an existing one this spec; wait until it is ready. Raises `Problem`."""
    kind = by_name(obj["kind"])
    shown = f"{kind.kind} source" if kind.kind in SOURCE_KINDS else kind.kind
    out.print(f"✚ generating {shown}")
    resource = await cluster.resource(kind.api_version, kind.kind)
    name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
    out.print(f"► applying {shown}")
    known = await cluster.get(resource, name, namespace)
    if known is None:
        await cluster.create(obj, manager=MANAGER)
        out.print(f"[green]✔[/green] {shown} created")
    else:
        marks = {**(known["metadata"].get("labels") or {}), **obj["metadata"].get("labels", {})}
        changes = {"/spec": obj["spec"], "/metadata/labels": marks}
        body = [{"op": "add", "path": path, "value": value} for path, value in changes.items()]
        await cluster.patch(resource, name, namespace, body=body, kind="json", manager=MANAGER)
        out.print(f"[green]✔[/green] {shown} updated")
    if is_address(obj):
        return  # nobody reconciles it
    await wake(session, out)
    out.print(f"◎ waiting for {shown} reconciliation")
    done = await wait(cluster, kind, session, name)
    if kind is RECEIVER and conditions.is_true(done, "Ready"):
        out.print(f"[green]✔[/green] Receiver {name} is ready")
        out.print(f"[green]✔[/green] generated webhook URL {done['status']['webhookPath']}")
        return
    if kind.kind not in SOURCE_KINDS:
        out.print(f"[green]✔[/green] {kind.kind} {name} is ready")
    report(kind, done, out)


def _source(text: str) -> Obj:
    """`[<kind>/]<name>[.<namespace>]`; a GitRepository unless it says otherwise."""
    kind, slash, rest = text.rpartition("/")
    name, _, namespace = rest.partition(".")
    kinds = {known.lower(): known for known in SOURCE_KINDS if known not in {"HelmChart", "HelmRepository"}}
    chosen = kinds.get(kind.lower()) if slash else "GitRepository"
    if not name or chosen is None:
        step = f"write it like GitRepository/app.flux-system; kinds are {', '.join(sorted(kinds.values()))}"
        raise wrong("source is required" if not text else f"source '{text}' is not understood", step)
    return {"kind": chosen, "name": name} | ({"namespace": namespace} if namespace else {})


def _dependency(text: str) -> Obj:
    namespace, _, name = text.rpartition("/")
    return {"name": name} | ({"namespace": namespace} if namespace else {})


def _health_check(text: str) -> Obj:
    kind, _, rest = text.partition("/")
    name, dot, namespace = rest.partition(".")
    if not (name and dot and namespace) or "." in namespace:
        raise wrong(f"invalid health check '{text}'", "write it like Deployment/web.apps")
    if kind not in _CHECKED:
        raise wrong(f"invalid health check kind '{kind}'", f"use one of {', '.join(_CHECKED)}, or --wait")
    version = {"apiVersion": HELM_RELEASE.api_version} if kind == HELM_RELEASE.kind else {}
    return {**version, "kind": kind, "name": name, "namespace": namespace}


def _labels(texts: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not _LABEL.match(key) or (value and not _LABEL.match(value)):
            raise wrong(f"label '{text}' is not understood", "write it like team=web")
        found[key] = value
    return found

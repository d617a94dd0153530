"""From what a build renders to what we send (KC-75, KC-76, KC-77, KC-12). Pure; never changes its input.

The kinds themselves are not known here: whether one is namespaced is settled against discovery in `stage.py`.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.apply.objects import KubeObject, Manifest, Rendered, copy_json, group_of, object_id, subject
from fluxless.apply.owner import Owner, annotations_of

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

SERVER_FIELDS = ("creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "uid")
"""Of the metadata: what only the API server may say."""
_POD_SPECS: dict[tuple[str, str], tuple[str, ...]] = {
    ("v1", "Pod"): ("spec",),
    ("apps/v1", "Deployment"): ("spec", "template", "spec"),
    ("apps/v1", "StatefulSet"): ("spec", "template", "spec"),
    ("apps/v1", "DaemonSet"): ("spec", "template", "spec"),
    ("apps/v1", "ReplicaSet"): ("spec", "template", "spec"),
    ("batch/v1", "Job"): ("spec", "template", "spec"),
    ("batch/v1", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
}
_STRATEGIES = {
    ("apps/v1", "Deployment"): "strategy",
    ("apps/v1", "StatefulSet"): "updateStrategy",
    ("apps/v1", "DaemonSet"): "updateStrategy",
}
"""Flux sends these, `resources` and `targetPort` even when they are empty, and so owns them. We do too: then a cluster
changes over from Flux to us and back without a single write.
"""


class NotApplicable(Problem):
    """Objects that cannot be sent as they are. Nothing was written."""


def normalise(
    rendered: Iterable[Rendered],
    owner: Owner,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> list[Manifest]:
    """What to apply, in the order given.

    `labels` and `annotations` are `spec.commonMetadata` (KC-12), which goes over the owner labels (KC-75). Raises
    `NotApplicable` with one failure for every object that is malformed, named twice or still encrypted.
    """
    manifests: list[Manifest] = []
    failures: list[Failure] = []
    origins: dict[str, str] = {}
    for item in rendered:
        for obj in _expand(item.object):
            if _is_kustomization_file(obj):
                continue
            failure = _malformed(obj, item.origin) or _encrypted(obj, item.origin)
            if failure is None:
                failure = _repeated(obj, item.origin, origins)
            if failure is not None:
                failures.append(failure)
                continue
            clean = _clean(obj)
            _add_metadata(clean, owner.labels | dict(labels or {}), dict(annotations or {}))
            manifests.append(Manifest(clean, item.origin))
    if failures:
        raise NotApplicable(failures)
    return manifests


def _expand(obj: KubeObject) -> Iterator[KubeObject]:
    """The items of a `List` or of a typed list such as `ConfigMapList`, else the object."""
    kind, items = str(obj.get("kind") or ""), obj.get("items")
    if not (kind.endswith("List") and isinstance(items, list)):
        yield obj
        return
    implied = {"apiVersion": obj.get("apiVersion"), "kind": kind.removesuffix("List")} if kind != "List" else {}
    for item in items:
        if isinstance(item, dict):
            yield from _expand(implied | item)


def _is_kustomization_file(obj: KubeObject) -> bool:
    group = group_of(str(obj.get("apiVersion") or ""))
    return (group, obj.get("kind")) == ("kustomize.config.k8s.io", "Kustomization")


def _malformed(obj: KubeObject, origin: str) -> Failure | None:
    metadata = obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    absent = [
        field
        for field, value in (("apiVersion", obj.get("apiVersion")), ("kind", obj.get("kind")), ("metadata.name", name))
        if not (isinstance(value, str) and value)
    ]
    if not absent:
        return None
    return Failure(
        FailureClass.BUILD,
        f"{obj.get('kind') or 'object'} has no {', '.join(absent)}",
        origin=origin,
        next_step="Every document must be a Kubernetes object with apiVersion, kind and metadata.name.",
    )


def _encrypted(obj: KubeObject, origin: str) -> Failure | None:
    """The failure of a Secret that SOPS has encrypted, which must never reach the cluster (KC-77); else None."""
    if (obj["apiVersion"], obj["kind"]) != ("v1", "Secret") or "sops" not in obj:
        return None
    if annotations_of(obj).get("kustomize.toolkit.fluxcd.io/decrypt", "").lower() == "disabled":
        return None
    return Failure(
        FailureClass.DECRYPT,
        f"{subject(obj)} is SOPS encrypted, configuring decryption is required for this secret to be reconciled",
        subject=subject(obj),
        origin=origin,
        next_step="Set spec.decryption on the Kustomization.",
    )


def _repeated(obj: KubeObject, origin: str, origins: dict[str, str]) -> Failure | None:
    """Two manifests for one object would overwrite each other at every reconciliation."""
    id_ = object_id(obj)
    if id_ not in origins:
        origins[id_] = origin
        return None
    first = f" (the first is {origins[id_]})" if origins[id_] else ""
    return Failure(
        FailureClass.BUILD,
        f"{subject(obj)} is defined more than once{first}",
        subject=subject(obj),
        origin=origin,
        next_step="Remove one of the two definitions.",
    )


def _clean(obj: KubeObject) -> KubeObject:
    """A copy without what only the API server may say, in the form that server-side apply keeps stable."""
    clean: KubeObject = copy_json(obj)
    metadata = clean["metadata"]
    for field in SERVER_FIELDS:
        metadata.pop(field, None)
    kind = (clean["apiVersion"], clean["kind"])
    is_crd = kind[1] == "CustomResourceDefinition" and kind[0].startswith("apiextensions.k8s.io/")
    if not is_crd:
        clean.pop("status", None)
    else:
        _drop_broken_ca(clean)
    if kind == ("v1", "Secret"):
        _encode_secret(clean)
    if kind == ("v1", "Service"):
        _default_protocol(clean.get("spec"))
        for port in _dicts(clean.get("spec"), "ports"):
            port.setdefault("targetPort", 0)
    if path := _POD_SPECS.get(kind):
        spec: Any = clean
        for step in path:
            spec = spec.get(step) if isinstance(spec, dict) else None
        for list_name in ("containers", "initContainers"):
            for container in _dicts(spec, list_name):
                _default_protocol(container)
                container.setdefault("resources", {})
    if kind in _STRATEGIES and isinstance(clean.get("spec"), dict):
        clean["spec"].setdefault(_STRATEGIES[kind], {})
    return clean


def _add_metadata(obj: KubeObject, labels: dict[str, str], annotations: dict[str, str]) -> None:
    metadata = obj["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    # kubectl's bookkeeping, often exported by accident: we remove it from live objects, so we never send it either.
    kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED}
    if merged := kept | annotations:
        metadata["annotations"] = merged
    else:
        metadata.pop("annotations", None)


def _encode_secret(secret: KubeObject) -> None:
    """`stringData` is write-only, so nobody can own its fields: they become `data`.

    What is no text is left there for the API server to refuse: how a number or `true` was spelt is lost by now.
    """
    plain = secret.get("stringData")
    if not isinstance(plain, dict) or not all(isinstance(value, str | None) for value in plain.values()):
        return
    del secret["stringData"]
    if plain:
        encoded = {key: base64.b64encode((value or "").encode()).decode() for key, value in plain.items()}
        secret["data"] = (secret.get("data") or {}) | encoded


def _default_protocol(parent: Any) -> None:
    """The protocol is part of a port's list key, so it must be there before the server defaults it."""
    for port in _dicts(parent, "ports"):
        if not port.get("protocol"):
            port["protocol"] = "TCP"


def _dicts(parent: Any, list_name: str) -> list[dict[str, Any]]:
    items = parent.get(list_name) if isinstance(parent, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _drop_broken_ca(crd: KubeObject) -> None:
    """Placeholders that a CA injector fills in later are refused by API servers since 1.31."""
    config: Any = crd
    for step in ("spec", "conversion", "webhook", "clientConfig"):
        config = config.get(step) if isinstance(config, dict) else None
    if not isinstance(config, dict) or not config.get("caBundle"):
        return
    try:
        bundle = base64.b64decode(config["caBundle"], validate=True)
        ssl.create_default_context(cadata=bundle.decode("ascii"))
    except (binascii.Error, ssl.SSLError, UnicodeDecodeError, ValueError, TypeError):
        del config["caBundle"]

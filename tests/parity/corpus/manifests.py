"""The few manifests that all scenarios are written with, as YAML (JSON is YAML) or as objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

GROUP = "kustomize.toolkit.fluxcd.io"
Obj = dict[str, Any]


def yaml(*objects: Any) -> str:
    """Documents of one file."""
    return "---\n".join(json.dumps(item, indent=1) + "\n" for item in objects)


def named(api_version: str, kind: str, name: str, **rest: Any) -> Obj:
    """Any object; `labels`, `annotations` and `namespace` go into its metadata."""
    metadata = {key: rest.pop(key) for key in ("namespace", "labels", "annotations") if key in rest}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}, **rest}


def config(name: str, data: Mapping[str, str] | None = None, **rest: Any) -> Obj:
    """A ConfigMap."""
    return named("v1", "ConfigMap", name, data=dict(data or {"value": "1"}), **rest)


def cm(name: str, data: Mapping[str, str] | None = None, **rest: Any) -> str:
    """The YAML of a ConfigMap."""
    return yaml(config(name, data, **rest))


def secret(name: str, data: Mapping[str, str], **rest: Any) -> Obj:
    """A Secret, in plain words."""
    return named("v1", "Secret", name, stringData=dict(data), **rest)


def directive(**values: str) -> dict[str, str]:
    """Annotations of Flux."""
    return {f"{GROUP}/{key}": value for key, value in values.items()}


def workload(name: str, *, image: str = "example/web:1", replicas: int = 1, deadline: int = 600, **pod: Any) -> Obj:
    """A Deployment whose pods run on the simulated node; `nodeSelector` may keep them from it."""
    spec = {
        "replicas": replicas,
        "progressDeadlineSeconds": deadline,
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": image}], **pod},
        },
    }
    return named("apps/v1", "Deployment", name, spec=spec)


def job(name: str, *, fails: bool = False) -> Obj:
    """A Job that ends at once."""
    template = {
        "metadata": {"annotations": {"fluxless.dev/fail": str(fails).lower()}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example/work"}]},
    }
    return named("batch/v1", "Job", name, spec={"backoffLimit": 0, "template": template})


def kustomization(**fields: Any) -> str:
    """A kustomization file."""
    return yaml({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **fields})


def component(**fields: Any) -> str:
    """The kustomization file of a component."""
    return yaml({"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", **fields})

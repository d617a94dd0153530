"""Flux's own controllers, where FLUX_SOURCE_CONTROLLER and FLUX_KUSTOMIZE_CONTROLLER name their binaries."""

from __future__ import annotations

import os
from pathlib import Path

from fluxless.api.kinds import GIT_REPOSITORY, KINDS
from fluxless.kube.client import Cluster
from tools import processes
from tools.places import free_port

BINARIES = {"source-controller": "FLUX_SOURCE_CONTROLLER", "kustomize-controller": "FLUX_KUSTOMIZE_CONTROLLER"}


def given() -> bool:
    """Whether both are there."""
    return all(os.environ.get(variable) for variable in BINARIES.values())


async def install_other_kinds(cluster: Cluster) -> None:
    """Definitions of the source kinds that Fluxless does not build yet: source-controller does not start without."""
    for kind in KINDS:
        if kind.built or kind.group != GIT_REPOSITORY.group:
            continue
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        version["subresources"] = {"status": {}}
        names = {"kind": kind.kind, "plural": kind.plural, "singular": kind.singular, "listKind": f"{kind.kind}List"}
        body = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": kind.crd_name},
            "spec": {
                "group": kind.group,
                "names": names,
                "scope": "Namespaced",
                "versions": [{"name": kind.versions[0], **version}],
            },
        }
        await cluster.apply(body, manager="tests")


class Controllers:
    """Both controllers over one namespace; state and logs in `folder`."""

    def __init__(self, folder: Path, kubeconfig: Path, namespace: str) -> None:
        self._folder = folder
        self._env = {"KUBECONFIG": str(kubeconfig), "RUNTIME_NAMESPACE": namespace}
        self._storage = f"127.0.0.1:{free_port()}"

    def start(self) -> None:
        """Start them; they go to work at once."""
        storage = self._folder / "storage"
        storage.mkdir(parents=True, exist_ok=True)
        own = {
            "source-controller": [
                *("--storage-path", storage, "--storage-addr", self._storage, "--storage-adv-addr", self._storage)
            ],
            "kustomize-controller": [],
        }
        for name, variable in BINARIES.items():
            argv = [
                os.environ[variable],
                *("--metrics-addr", f"127.0.0.1:{free_port()}", "--health-addr", f"127.0.0.1:{free_port()}"),
                *("--events-addr=", "--enable-leader-election=false", "--watch-all-namespaces=false"),
                *own[name],
            ]
            processes.start(name, argv, self._folder, env=self._env)

    def stop(self) -> None:
        """End them."""
        for name in BINARIES:
            processes.stop(self._folder, name)

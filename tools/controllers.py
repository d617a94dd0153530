"""Flux's own controllers, to compare with, where FLUX_SOURCE_CONTROLLER and its like name their binaries."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fluxless.api.kinds import KINDS, SOURCE_KINDS, Kind
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NoSuchKind
from tools import processes
from tools.places import free_port

SOURCE, KUSTOMIZE, HELM = "source-controller", "kustomize-controller", "helm-controller"
BINARIES = {
    SOURCE: "FLUX_SOURCE_CONTROLLER",
    KUSTOMIZE: "FLUX_KUSTOMIZE_CONTROLLER",
    HELM: "FLUX_HELM_CONTROLLER",
}
SERVED_WITHIN = 30.0


def missing(*names: str) -> list[str]:
    """The variables of these that name no binary; empty when all are there."""
    return [BINARIES[name] for name in names if not os.environ.get(BINARIES[name])]


async def define_other_kinds(cluster: Cluster) -> None:
    """Definitions, without a schema, of the kinds that the controllers watch and we do not build yet."""
    others = [kind for kind in KINDS if kind.kind in SOURCE_KINDS and not kind.built]
    for kind in others:
        await cluster.apply(_definition(kind), manager="tools")
    async with asyncio.timeout(SERVED_WITHIN):
        for kind in others:
            while not await _served(cluster, kind):  # noqa: ASYNC110 -- discovery sets no event
                await asyncio.sleep(0.1)


async def _served(cluster: Cluster, kind: Kind) -> bool:
    try:
        await cluster.resource(kind.api_version, kind.kind)
    except NoSuchKind:
        return False
    return True


def _definition(kind: Kind) -> dict[str, Any]:
    version = {
        "name": kind.versions[0],
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        "subresources": {"status": {}},
    }
    names = {"kind": kind.kind, "plural": kind.plural, "singular": kind.singular, "listKind": f"{kind.kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {"group": kind.group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


class Controllers:
    """The controllers of `names`, over one namespace or over all.

    State and logs are in `folder`; `more` are further flags by controller.
    """

    def __init__(
        self,
        folder: Path,
        kubeconfig: Path,
        *,
        namespace: str = "flux-system",
        everywhere: bool = False,
        flags: Sequence[str] = (),
        more: Mapping[str, Sequence[str]] | None = None,
        names: Sequence[str],
    ) -> None:
        self.names = tuple(names)
        self._folder = folder
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._flags = (f"--watch-all-namespaces={str(everywhere).lower()}", *flags)
        self._more = dict(more or {})
        self._address = f"127.0.0.1:{free_port()}"

    def start(self) -> None:
        """Start them; they go to work at once."""
        storage = self._folder / "storage"
        storage.mkdir(parents=True, exist_ok=True)
        source = (f"--storage-path={storage}", f"--storage-addr={self._address}", f"--storage-adv-addr={self._address}")
        for name in self.names:
            home = self._folder / f"{name}-home"
            home.mkdir(exist_ok=True)
            env = {"KUBECONFIG": str(self._kubeconfig), "RUNTIME_NAMESPACE": self._namespace}
            processes.start(
                name,
                [
                    os.environ[BINARIES[name]],
                    *("--events-addr=", "--enable-leader-election=false", "--log-level=error"),
                    *(f"--metrics-addr=127.0.0.1:{free_port()}", f"--health-addr=127.0.0.1:{free_port()}"),
                    *self._flags,
                    *(source if name == SOURCE else ()),
                    *self._more.get(name, ()),
                ],
                self._folder,
                env=env | {"HOME": str(home), "TMPDIR": str(home)},
            )

    def stop(self) -> None:
        """End them."""
        for name in self.names:
            processes.stop(self._folder, name)

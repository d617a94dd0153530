"""Flux's own controllers as a side: the two binaries, over a control plane of their own.

FLUX_SOURCE_CONTROLLER and FLUX_KUSTOMIZE_CONTROLLER name the binaries.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fluxless.cli.install import install
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NoSuchKind
from tests.parity.fluxless_side import REQUEUE_DEPENDENCY
from tools import processes
from tools.places import free_port

BINARIES = {"source-controller": "FLUX_SOURCE_CONTROLLER", "kustomize-controller": "FLUX_KUSTOMIZE_CONTROLLER"}
FURTHER = (
    ("OCIRepository", "ocirepositories"),
    ("Bucket", "buckets"),
    ("HelmRepository", "helmrepositories"),
    ("HelmChart", "helmcharts"),
    ("ExternalArtifact", "externalartifacts"),
)
"""Kinds that the controllers watch and no scenario uses: definitions without a schema will do."""
AT_ONCE = "16"


async def define(cluster: Cluster) -> None:
    """The CRDs: ours where we have them."""
    await install(cluster)
    for kind, plural in FURTHER:
        await cluster.apply(_definition(kind, plural), manager="tests")
    for kind, _ in FURTHER:
        async with asyncio.timeout(30):
            while True:
                try:
                    await cluster.resource("source.toolkit.fluxcd.io/v1", kind)
                    break
                except NoSuchKind:
                    await asyncio.sleep(0.1)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}
    await cluster.apply(body, manager="tests")


@contextlib.asynccontextmanager
async def working(kubeconfig: Path, folder: Path) -> AsyncIterator[None]:
    """Both controllers at work; their logs are in the folder."""
    storage = folder / "storage"
    storage.mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    _start(
        "source-controller",
        kubeconfig,
        folder,
        *(f"--storage-path={storage}", f"--storage-addr={address}", f"--storage-adv-addr={address}"),
    )
    _start(
        "kustomize-controller", kubeconfig, folder, f"--requeue-dependency={REQUEUE_DEPENDENCY:.0f}s", "--http-retry=2"
    )
    try:
        yield
    finally:
        for name in BINARIES:
            await asyncio.to_thread(processes.stop, folder, name)


def _start(name: str, kubeconfig: Path, folder: Path, *arguments: str) -> None:
    common = (
        *("--events-addr=", "--enable-leader-election=false", "--watch-all-namespaces=true", "--log-level=error"),
        *(f"--concurrent={AT_ONCE}", f"--metrics-addr=127.0.0.1:{free_port()}"),
        f"--health-addr=127.0.0.1:{free_port()}",
    )
    home = folder / f"{name}-home"
    home.mkdir()
    env = {"KUBECONFIG": str(kubeconfig), "RUNTIME_NAMESPACE": "flux-system", "HOME": str(home), "TMPDIR": str(home)}
    processes.start(name, [os.environ[BINARIES[name]], *common, *arguments], folder, env=env)


def _definition(kind: str, plural: str) -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": anything},
        "subresources": {"status": {}},
    }
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.source.toolkit.fluxcd.io"},
        "spec": {"group": "source.toolkit.fluxcd.io", "names": names, "scope": "Namespaced", "versions": [version]},
    }

"""Which objects of a cluster do the walls around the app's identity refuse? Told without doing what they ask for, so
that somebody who upgrades learns it from `/api/check` at once. Each message names the setting or role that is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from fluxless.api.failure import Problem
from fluxless.api.kinds import HELM_RELEASE, KUSTOMIZATION, Kind
from fluxless.auth.identity import Identity
from fluxless.auth.purposes import ACR, AZURE_DEVOPS, STORAGE, HostRefused, Purpose, admit
from fluxless.kube import kubeconfig
from fluxless.kube.client import Cluster
from fluxless.kube.connect import Brought
from fluxless.kube.kubeconfig import FilesRefused
from fluxless.reconcile.errors import Stalled
from fluxless.reconcile.remotes import ClusterRefused
from fluxless.reconcile.secrets import References
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.target import TargetRun, chosen_cluster
from fluxless.reconcile.world import World
from fluxless.transport import Tls

MOST = 20
"""Objects of a cluster that are told of."""
TARGETS: dict[str, Kind] = {kind.kind: kind for kind in (KUSTOMIZATION, HELM_RELEASE)}


async def refused(
    cluster: Cluster, world: World, services: Services, identity: Callable[[], Identity]
) -> list[tuple[str, str]]:
    """`(object, words with the next step)` of the first of them, in the world's order. Suspended ones do nothing."""
    references = References(cluster)

    async def look(obj: dict[str, Any]) -> tuple[str, str] | None:
        try:
            if obj["kind"] in TARGETS:
                await _target(obj, Survey(cluster, world), services)
            else:
                await _source(obj, references, identity)
        except (HostRefused, ClusterRefused, FilesRefused, Stalled) as problem:
            meta = obj["metadata"]
            name = f"{cluster.name}/{obj['kind']}/{meta.get('namespace', '')}/{meta['name']}"
            return name, problem.failures[0].text()
        except Problem:
            return None  # something else is wrong, and the object's own condition says what
        return None

    found = await asyncio.gather(*map(look, _asking(world.objects.values())))
    return list(islice((one for one in found if one is not None), MOST))


def _asking(objects: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Those that ask for the app's identity, or name another cluster."""
    for obj in objects:
        spec = obj.get("spec") or {}
        if not spec.get("suspend") and (spec.get("provider") == "azure" or spec.get("kubeConfig")):
            yield obj


async def _target(obj: dict[str, Any], survey: Survey, services: Services) -> None:
    """Of `spec.kubeConfig`. What `generic` makes is no matter of this identity, and takes a token."""
    kube: Mapping[str, Any] = (obj.get("spec") or {}).get("kubeConfig") or {}
    run = TargetRun(TARGETS[obj["kind"]], obj, survey, services)
    if name := str((kube.get("configMapRef") or {}).get("name") or ""):
        data = await survey.references(survey.cluster).config_map(run.ref.namespace, name)
        if (data or {}).get("provider") != b"azure":
            return
    wanted = await chosen_cluster(run, kube)
    if isinstance(wanted, Brought):
        await asyncio.to_thread(kubeconfig.parse, wanted.text, f"of cluster {wanted.name!r}")


async def _source(obj: dict[str, Any], references: References, identity: Callable[[], Identity]) -> None:
    """Of a source without credentials of its own."""
    spec: dict[str, Any] = obj.get("spec") or {}
    url, names = str(spec.get("url") or ""), {"certSecretRef"}
    match str(obj["kind"]):
        case "Bucket":
            purpose, url, names = STORAGE, str(spec.get("endpoint") or ""), set()
            url = url if "://" in url else f"https://{url}"
        case "GitRepository":
            purpose, names = AZURE_DEVOPS, {"secretRef"}
        case "OCIRepository" | "HelmRepository" if url.startswith("oci://"):
            purpose, url = ACR, f"https://{url.removeprefix('oci://')}"
        case _:
            return
    if spec.get("secretRef") and "secretRef" not in names:
        return
    tls = Tls(await _authority(obj, references, names), insecure=bool(spec.get("insecure")) and purpose is ACR)
    _admit(purpose, url, tls, None if spec.get("serviceAccountName") else identity())


async def _authority(obj: dict[str, Any], references: References, names: set[str]) -> bytes:
    for field in names:
        if name := str((obj["spec"].get(field) or {}).get("name") or ""):
            data = await references.secret(str(obj["metadata"].get("namespace", "")), name) or {}
            return data.get("ca.crt") or data.get("caFile") or b""
    return b""


def _admit(purpose: Purpose, url: str, tls: Tls, identity: Identity | None) -> None:
    if identity is None:
        admit(purpose, url, tls=tls, proxy=None)
    else:
        identity.admit(purpose, url, tls=tls)

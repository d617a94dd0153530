"""Does the app reach what it is there for? Each cluster and registry, and the role that is missing where it does not.

`fluxless deploy` asks after a deployment, and anybody who has a key. Nothing is changed, and nothing is secret in the
answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from fluxless.api.failure import Problem
from fluxless.api.kinds import KINDS
from fluxless.auth.identity import Identity
from fluxless.auth.purposes import ACR, AKS, MANAGEMENT, host_of, hosts_of, listed
from fluxless.engine import leads, refusals
from fluxless.kube.client import Cluster
from fluxless.kube.connect import KubeconfigRefused
from fluxless.kube.errors import Forbidden, NoSuchKind
from fluxless.oci.auth import Credentials
from fluxless.oci.client import Registry
from fluxless.oci.errors import InvalidReference, NotInRegistry, RegistryRefused
from fluxless.oci.reference import Repository, parse
from fluxless.reconcile.services import Services
from fluxless.reconcile.world import World
from fluxless.render import kustomize
from fluxless.render.binaries import PROGRAM

HOST = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?$")
"""A host and nothing else: what is asked becomes part of a URL."""
WITHIN = 30.0
"""Seconds for one cluster or registry."""
SEEN_WITHIN = 8.0
"""Seconds for a cluster's objects. Registries come after them, and who asks waits for a minute."""
KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
NEEDED = (
    {"verb": "list", "group": KUSTOMIZE, "resource": "kustomizations"},
    {"verb": "patch", "group": KUSTOMIZE, "resource": "kustomizations", "subresource": "status"},
    {"verb": "get", "group": "", "resource": "secrets"},
    {"verb": "create", "group": "", "resource": "events"},
)
"""What all work takes. Each is asked for by name: a role need not be `*`, and not every authorizer answers to that."""
APPLYING = (
    {"verb": "patch", "group": "", "resource": "namespaces"},
    {"verb": "patch", "group": "apps", "resource": "deployments"},
    {"verb": "patch", "group": "apiextensions.k8s.io", "resource": "customresourcedefinitions"},
)
"""What takes the rights of Flux's controllers, as things of users go; unneeded by who impersonates others only."""
IMPERSONATING = {"verb": "impersonate", "group": "", "resource": "serviceaccounts"}
NOBODY_HAS = "fluxless/does-this-answer"
"""A repository that need not be there: being told so takes a token that may pull."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one cluster, registry, program or object; `missing` is the role that it lacks, as far as that is the reason;
    `install` that the CRDs are not there.
    """

    name: str
    ok: bool
    message: str
    missing: str = ""
    install: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the function answers."""
        return asdict(self)


async def report(
    names: Collection[str],
    connect: Callable[[str], Awaitable[Cluster]],
    seen: Callable[[str], Awaitable[World | None]],
    hosts: Iterable[str],
    identity: Callable[[], Identity],
    services: Services | None = None,
) -> dict[str, Any]:
    """`{clusters, registries, programs, objects}` as JSON: the named clusters, the given registries, and those that the
    clusters' objects pull from; the program that builds; of the objects those that `refusals.py` finds, where there are
    `services`, and the hosts that `leads.py` finds. `seen` gives a cluster's objects, or None when it does not answer.
    """
    refused: list[Finding] = []

    async def pulled_from(name: str) -> list[str]:
        try:
            async with asyncio.timeout(SEEN_WITHIN):
                world = await seen(name)
        except TimeoutError:
            return []  # the cluster's own finding says so
        if world is None:
            return []
        await asyncio.gather(not_called(name, world), *([refusals_of(name, world, services)] if services else []))
        return named(world.objects.values())

    async def refusals_of(name: str, world: World, services: Services) -> None:
        try:
            async with asyncio.timeout(SEEN_WITHIN):
                found = await refusals.refused(await connect(name), world, services, identity)
        except (TimeoutError, Problem):
            return
        refused.extend(Finding(one, False, words) for one, words in found)

    async def not_called(name: str, world: World) -> None:
        found = await leads.refused(world.objects.values())
        refused.extend(Finding(f"{name}/{host}", False, words) for host, words in found.items())

    async def of_registries() -> list[Finding]:
        found = await asyncio.gather(*map(pulled_from, names))
        return await registries(dict.fromkeys([*hosts, *chain.from_iterable(found)]), identity)

    of_clusters, reached, builds = await asyncio.gather(
        clusters(names, connect), of_registries(), _within(PROGRAM, _program())
    )
    return {
        "clusters": [finding.to_json() for finding in of_clusters],
        "registries": [finding.to_json() for finding in reached],
        "programs": [builds.to_json()],
        "objects": [finding.to_json() for finding in refused],
    }


async def clusters(names: Iterable[str], connect: Callable[[str], Awaitable[Cluster]]) -> list[Finding]:
    """Whether each can be reached and worked on."""
    return list(await asyncio.gather(*(_within(name, _cluster(name, connect)) for name in names)))


def named(objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """Hosts of Azure's registries that objects pull from as the identity of the app itself, each once. Suspended ones
    pull nothing.
    """
    found: dict[str, None] = {}
    for obj in objects:
        spec = obj.get("spec") or {}
        if spec.get("provider") != "azure" or any(
            spec.get(field) for field in ("secretRef", "serviceAccountName", "suspend")
        ):
            continue
        try:
            repository, _ = parse(str(spec.get("url") or ""))
        except InvalidReference:
            continue  # its own condition says so
        if _of_azure(repository.host):
            found[repository.host] = None
    return list(found)


def _of_azure(host: str) -> bool:
    return bool(HOST.match(host)) and listed(ACR, host_of(f"https://{host}"))


async def registries(hosts: Iterable[str], identity: Callable[[], Identity]) -> list[Finding]:
    """Whether each gives the identity a token that may pull. Only hosts with a suffix of Azure's registries are asked:
    no token goes to anybody else.
    """

    async def look(host: str) -> Finding:
        if not _of_azure(host):
            words = f"is no Azure container registry: its name ends in {', '.join(hosts_of(ACR))}"
            return Finding(host[:100], False, words)
        return await _within(host, _registry(host, identity))

    return list(await asyncio.gather(*(look(host) for host in hosts)))


async def _within(name: str, look: Awaitable[Finding]) -> Finding:
    try:
        async with asyncio.timeout(WITHIN):
            return await look
    except TimeoutError:
        return Finding(name, False, f"no answer within {WITHIN:.0f} s")


async def _cluster(name: str, connect: Callable[[str], Awaitable[Cluster]]) -> Finding:
    try:
        cluster = await connect(name)
    except Problem as problem:
        missing = MANAGEMENT.role if isinstance(problem, KubeconfigRefused) else ""
        return Finding(name, False, problem.failures[0].text(), missing)
    try:
        version = str((await cluster.request("GET", "/version")).get("gitVersion"))
        denied = await _denied(cluster)
        kinds = [kind for kind in KINDS if kind.built]
        absent = [kind.crd_name for kind in kinds if not await _served(cluster, kind.api_version, kind.kind)]
    except Problem as problem:
        missing = AKS.role if isinstance(problem, Forbidden) else ""  # no token at all is no missing role
        return Finding(name, False, problem.failures[0].text(), missing)
    if denied:
        words = f"Kubernetes {version} answers, but the app may not {', '.join(denied)} there"
        return Finding(name, False, words, AKS.role)
    if absent:
        words = f"Kubernetes {version} lacks {len(absent)} CRDs: run `fluxless install` there"
        return Finding(name, False, words, install=True)
    return Finding(name, True, f"Kubernetes {version}")


async def _denied(cluster: Cluster) -> list[str]:
    """What the app may not do of what its work takes, in words; empty when it may do enough."""

    async def may(attributes: Mapping[str, str]) -> bool:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await cluster.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool((answer.get("status") or {}).get("allowed"))

    asked = (*NEEDED, *APPLYING, IMPERSONATING)
    answers = dict(zip(map(_words, asked), await asyncio.gather(*map(may, asked)), strict=True))
    wanted = NEEDED if answers[_words(IMPERSONATING)] else (*NEEDED, *APPLYING)
    return [words for words in map(_words, wanted) if not answers[words]]


def _words(attributes: Mapping[str, str]) -> str:
    what = "/".join(attributes[name] for name in ("resource", "subresource") if attributes.get(name))
    return f"{attributes['verb']} {what}{attributes['group'] and '.' + attributes['group']}"


async def _served(cluster: Cluster, api_version: str, kind: str) -> bool:
    try:
        await cluster.resource(api_version, kind)
    except NoSuchKind:
        return False
    return True


async def _program() -> Finding:
    """An app setting may name one that is not ours."""
    try:
        await kustomize.answers()
    except Problem as problem:
        return Finding(PROGRAM, False, problem.failures[0].text())
    return Finding(PROGRAM, True, "builds")


async def _registry(host: str, identity: Callable[[], Identity]) -> Finding:
    try:
        async with Registry(Repository(host, NOBODY_HAS), Credentials(identity=identity())) as registry:
            await registry.tags()
    except NotInRegistry:
        return Finding(host, True, "gives a token")
    except RegistryRefused as problem:
        return Finding(host, False, problem.failures[0].text(), ACR.role)
    except Problem as problem:
        return Finding(host, False, problem.failures[0].text())
    return Finding(host, True, "gives a token")

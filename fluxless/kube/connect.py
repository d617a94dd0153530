"""From a cluster of the app settings to a `Cluster`: by kubeconfig file, in-line kubeconfig or AKS resource id.

The engine calls it once per cluster and worker. Nothing is ever written to disk but short-lived TLS files, which
Python's ssl module cannot take from memory.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.purposes import AKS, MANAGEMENT
from fluxless.kube import kubeconfig
from fluxless.kube.answers import Budget
from fluxless.kube.client import AT_ONCE, Cluster
from fluxless.kube.kubeconfig import Connection, Files, KubeconfigProblem
from fluxless.transport import proxied, show

if TYPE_CHECKING:
    from fluxless.auth.identity import Identity

NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
RESOURCE_ID = re.compile(
    r"^/subscriptions/(?P<subscription>[\w-]+)/resourceGroups/(?P<group>[\w.()-]+)"
    r"/providers/Microsoft\.ContainerService/managedClusters/(?P<name>[\w-]+)\Z",
    re.IGNORECASE,
)
WAYS = ("kubeconfig", "kubeconfigInline", "resourceId")
ARM = "https://management.azure.com"


@dataclass(frozen=True, slots=True, repr=False)
class ClusterConfig:
    """One entry of `FLUXLESS_CLUSTERS`; exactly one of the three ways is set."""

    name: str
    kubeconfig: str = ""
    kubeconfig_inline: str = ""
    resource_id: str = ""
    client_id: str = ""
    context: str = ""
    """Of the kubeconfig; the CLI sets it."""
    may_open: frozenset[str] = frozenset()
    """Resource ids, in lower case, of clusters that objects of this one may open as the app (CM-16)."""
    open_as: str = ""
    """Client id of the identity that opens those; empty for the app's."""


@dataclass(frozen=True, slots=True, repr=False)
class Brought:
    """A kubeconfig that an object brings. It names no files, runs nothing, and skips no check of certificates."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, repr=False)
class Minted:
    """One that is made for an object, with a new token each time: `of` tells apart what it is made of."""

    name: str
    of: str
    kubeconfig: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True, repr=False)
class Named:
    """An AKS cluster that an object names, and who opens it: `who` tells identities apart, and `identity` gives it. It
    is `listed` where the app's settings name it: then it is no choice of the object's.
    """

    name: str
    resource_id: str
    who: str
    identity: Callable[[], Awaitable[Identity]]
    listed: bool = False


class ConfigProblem(Problem):
    """`FLUXLESS_CLUSTERS` cannot be understood."""

    def __init__(self, message: str) -> None:
        step = 'write it like [{"name": "prod", "resourceId": "/subscriptions/…"}]; see docs/operations.md'
        super().__init__(Failure(FailureClass.VALIDATION, f"FLUXLESS_CLUSTERS: {message}", next_step=step))


def read_clusters(text: str) -> dict[str, ClusterConfig]:
    """The clusters of the app setting, in its order. Raises `ConfigProblem`."""
    if not text.strip():
        raise ConfigProblem("the app setting is empty")
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise ConfigProblem(f"not JSON ({error})") from None
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigProblem("it must be a list of at least one object")
    found: dict[str, ClusterConfig] = {}
    for entry in entries:
        name = str(entry.get("name") or "")
        if not NAME.match(name):
            raise ConfigProblem(f"{name!r} is no name for a cluster (lower-case letters, digits and dashes)")
        if name in found:
            raise ConfigProblem(f"the name {name!r} stands twice")
        unknown = sorted(set(entry) - {"name", "clientId", "mayOpen", "openAs", *WAYS})
        if unknown:
            raise ConfigProblem(f"cluster {name!r} has unknown field(s) {', '.join(unknown)}")
        given = [way for way in WAYS if entry.get(way)]
        if len(given) != 1:
            raise ConfigProblem(f"cluster {name!r} needs exactly one of {', '.join(WAYS)}")
        resource_id = str(entry.get("resourceId") or "")
        if resource_id and not RESOURCE_ID.match(resource_id):
            raise ConfigProblem(f"cluster {name!r}: resourceId is not that of a managed cluster")
        found[name] = ClusterConfig(
            name=name,
            kubeconfig=str(entry.get("kubeconfig") or ""),
            kubeconfig_inline=str(entry.get("kubeconfigInline") or ""),
            resource_id=resource_id,
            client_id=str(entry.get("clientId") or ""),
            open_as=str(entry.get("openAs") or ""),
        )
    return {
        name: replace(config, may_open=_may_open(name, entry.get("mayOpen") or [], found))
        for entry, (name, config) in zip(entries, found.items(), strict=True)
    }


def _may_open(name: str, given: Any, known: Mapping[str, ClusterConfig]) -> frozenset[str]:
    """By name of a cluster of the setting, or by resource id."""
    if not isinstance(given, list):
        raise ConfigProblem(f"cluster {name!r}: mayOpen must be a list of names or resource ids of clusters")
    wanted = [known[str(one)].resource_id if str(one) in known else str(one) for one in given]
    for one, resource_id in zip(given, wanted, strict=True):
        if not RESOURCE_ID.match(resource_id):
            words = f"cluster {name!r}: mayOpen has {one!r}, which is no cluster with a resourceId"
            raise ConfigProblem(words)
    return frozenset(resource_id.lower() for resource_id in wanted)


class KubeconfigRefused(Problem):
    """ARM knows who asks, and does not give them the kubeconfig: a role is missing."""


def management() -> tuple[str, dict[str, Any]]:
    """Where ARM is, and what its clients must be told of each request there: tests put one without TLS in its place."""
    arm = os.environ.get("FLUXLESS_ARM_ENDPOINT") or ARM
    return arm, {} if arm.startswith("https://") else {"enforce_https": False}


async def connect(config: ClusterConfig) -> Cluster:
    """Open a cluster of the app settings or the command line; nothing is sent to its API server yet. Raises
    `Problem`.
    """
    if config.resource_id:
        from fluxless.auth.identity import credential

        client_id = config.client_id or os.environ.get("FLUXLESS_IDENTITY_CLIENT_ID") or None
        return await _connect_aks(config.name, config.resource_id, credential(client_id))
    where = f"of cluster {config.name!r}"
    if config.kubeconfig_inline:
        text, files = config.kubeconfig_inline, Files(Path())
        return await _open(config.name, await asyncio.to_thread(kubeconfig.parse, text, where, files=files))
    path = Path(config.kubeconfig)
    try:
        text = await asyncio.to_thread(path.read_text)
    except OSError as error:
        step = "give the path of a readable file"
        raise KubeconfigProblem(where, f"{path} cannot be read ({error.strerror})", step) from None
    files = Files(path.parent)
    connection = await asyncio.to_thread(kubeconfig.parse, text, where, files=files, context=config.context)
    return await _open(config.name, connection)


async def connect_brought(brought: Brought) -> Cluster:
    """Open the cluster of a kubeconfig that an object brings, likewise. Its addresses are judged (`addresses.py`).
    Raises `Problem`.
    """
    connection = await asyncio.to_thread(kubeconfig.parse, brought.text, f"of cluster {brought.name!r}")
    return await _open(brought.name, replace(connection, insecure=False), judged=True)


async def connect_named(named: Named, identity: Identity) -> Cluster:
    """Open the AKS cluster that an object names, likewise; its addresses are judged unless the app's settings list it.
    Raises `Problem`.
    """
    return await _connect_aks(named.name, named.resource_id, identity, judged=not named.listed)


async def _open(
    name: str, connection: Connection, token: Callable[[], Awaitable[str]] | None = None, *, judged: bool = False
) -> Cluster:
    try:
        api = await asyncio.to_thread(_client, connection)
    except (ssl.SSLError, ValueError) as error:
        step = "give PEM, in base64, and a key without a passphrase"
        raise KubeconfigProblem(f"of cluster {name!r}", f"its certificates cannot be used: {error}", step) from None
    rest = api.rest_client
    if judged:
        from fluxless.connections import Connector

        own = not connection.proxy
        rest._create_connector = lambda: Connector(limit=rest.maxsize, ssl=rest.ssl_context, own_proxy=own)
    way = {"proxy": connection.proxy, "server_hostname": connection.server_name}
    rest.pool_manager = _Straight(rest._create_pool_manager, {name: value for name, value in way.items() if value})
    return Cluster(name, api, token or _authorization(connection), Budget() if judged else None)


def _client(connection: Connection) -> Any:
    """The SDK's client; importing it takes a third of a second, hence the thread."""
    from kubernetes.aio.client import ApiClient, Configuration

    configuration = Configuration(
        host=connection.server,
        ca_cert_data=connection.ca.decode() or None,
        verify_ssl=not connection.insecure,
        connection_pool_maxsize=AT_ONCE + 8,
        proxy=connection.proxy or None,
        tls_server_name=connection.server_name or None,
    )
    configuration.client_session_kwargs = {"trust_env": proxied()}
    api = ApiClient(configuration)
    if connection.certificate and connection.key:
        show(api.rest_client.ssl_context, connection.certificate, connection.key)
    return api


class _Straight:
    """A session whose every request goes the same `way`, and follows no redirects: an API server has none, and what it
    names would be asked by the app, with the headers of the object's account.
    """

    def __init__(self, create: Callable[[], Any], way: Mapping[str, str]) -> None:
        self._create = create
        self._way = way
        self._session: Any = None

    def request(self, method: str, url: Any, **named: Any) -> Any:
        """See aiohttp."""
        if self._session is None:
            self._session = self._create()
        return self._session.request(method, url, **{**named, **self._way}, allow_redirects=False)

    async def close(self) -> None:
        """Give back the connections."""
        if self._session is not None:
            await self._session.close()


def _authorization(connection: Connection) -> Callable[[], Awaitable[str]]:
    async def header() -> str:
        if connection.token:
            return f"Bearer {connection.token}"
        if connection.token_file:  # rotated by whoever wrote it, so it is read each time
            return f"Bearer {await asyncio.to_thread(Path(connection.token_file).read_text)}".strip()
        if connection.username:
            pair = f"{connection.username}:{connection.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        return ""

    return header


async def _connect_aks(name: str, resource_id: str, identity: Identity, *, judged: bool = False) -> Cluster:
    """Ask ARM for the user kubeconfig, and put an Entra token in place of its exec plugin, which cannot run here."""
    where = f"of AKS cluster {name!r}"
    text = await _user_kubeconfig(name, resource_id, identity)
    server, cluster, user = kubeconfig.sections(text, where)
    server_id = _server_id(user)
    if not server_id:
        return await _open(name, kubeconfig.parse(text, where), judged=judged)
    if f"{server_id}/.default" != AKS.scope:
        step = "let the cluster use Entra integration that AKS manages"
        raise KubeconfigProblem(where, f"its Entra application {server_id!r} is not that of AKS", step)
    ca = base64.b64decode(str(cluster.get("certificate-authority-data") or ""))

    async def token() -> str:
        return f"Bearer {await identity.token(AKS, server)}"  # the authority is ARM's word, nobody else's

    return await _open(name, Connection(server=server, ca=ca), token, judged=judged)


def _server_id(user: Mapping[str, Any]) -> str:
    """The Entra application of the API server, as AKS names it for kubelogin; empty for clusters without Entra."""
    plugin = user.get("exec")
    if not isinstance(plugin, dict) or Path(str(plugin.get("command"))).name != "kubelogin":
        return ""
    arguments = [str(argument) for argument in plugin.get("args") or []]
    return next((value for flag, value in itertools.pairwise(arguments) if flag == "--server-id"), "")


async def _user_kubeconfig(name: str, resource_id: str, identity: Identity) -> str:
    from azure.core.exceptions import AzureError
    from azure.mgmt.containerservice.aio import ContainerServiceClient

    match = RESOURCE_ID.match(resource_id)
    if match is None:
        raise ConfigProblem(f"cluster {name!r}: resourceId is not that of a managed cluster")
    arm, options = management()
    try:
        async with ContainerServiceClient(
            identity.pinned(MANAGEMENT, arm), match["subscription"], base_url=arm, credential_scopes=[MANAGEMENT.scope]
        ) as client:
            answer = await client.managed_clusters.list_cluster_user_credentials(
                match["group"], match["name"], format="exec", **options
            )
    except AzureError as error:
        raise _not_had(name, error) from error
    found = answer.kubeconfigs or []
    if not found:
        raise Problem(Failure(FailureClass.INTERNAL, f"ARM gave no kubeconfig for AKS cluster {name!r}"))
    return bytes(found[0].value or b"").decode()


def _not_had(name: str, error: Any) -> Problem:
    """Of an error of Azure's client. Only a refusal is cured by a role: not a missing identity, cluster or network."""
    said = str(getattr(error, "message", "") or error).splitlines()
    words = f"the kubeconfig of AKS cluster {name!r} cannot be had: {said[0] if said else type(error).__name__}"
    match getattr(error, "status_code", None):
        case 401 | 403:
            step = f"give the app's identity the role {MANAGEMENT.role}"
            return KubeconfigRefused(Failure(FailureClass.FORBIDDEN, words, next_step=step))
        case 404:
            return Problem(Failure(FailureClass.VALIDATION, words, next_step="correct resourceId in FLUXLESS_CLUSTERS"))
    step = "check that the app has an identity (FLUXLESS_IDENTITY_CLIENT_ID) and can reach ARM; it is tried again"
    return Problem(Failure(FailureClass.INTERNAL, words, next_step=step))

"""What objects say about other clusters (`spec.kubeConfig`) names no files of the host, and opens no cluster as the app
that its own cluster may not open.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import gc
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from fluxless import addresses
from fluxless.addresses import AddressPolicy
from fluxless.api.failure import Problem
from fluxless.api.kinds import KUSTOMIZATION
from fluxless.auth import identity
from fluxless.kube.connect import Brought, Minted, Named, connect_brought, read_clusters
from fluxless.kube.errors import ApiProblem
from fluxless.reconcile.errors import Ended
from fluxless.reconcile.remotes import KEPT, Remotes
from fluxless.reconcile.services import Services, Settings
from fluxless.reconcile.target import TargetRun, open_target
from fluxless.transport import Tls
from tests.support.identity import IdentityEndpoint, environment
from tests.support.proxies import Proxy
from tests.support.serving import served
from tests.support.tls import Authority

SECRET = "the token that the host keeps in a file"
REFUSALS = (Problem, Ended)


def _resource(name: str) -> str:
    return f"/subscriptions/s-1/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/{name}"


class Elsewhere:
    """An API server, ARM and the identity endpoint; `seen` are the Authorization headers of the first, `opened` the
    clusters that ARM gave away.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.opened: list[str] = []
        self.identity = IdentityEndpoint(lambda *_: "token")
        self.user: dict[str, Any] = {"token": "of-the-app"}
        """Of the kubeconfig that ARM gives."""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/identity", self.identity.give)
        app.router.add_post("/{path:.*}/listClusterUserCredential", self._credentials)
        app.router.add_get("/version", self._version)
        app.router.add_get("/unknown", self._unknown)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _credentials(self, request: web.Request) -> web.Response:
        self.opened.append(request.path.rsplit("/", 2)[1])
        text = json.dumps(_kubeconfig(self.url, self.user))
        return web.json_response({"kubeconfigs": [{"name": "u", "value": base64.b64encode(text.encode()).decode()}]})

    async def _unknown(self, _: web.Request) -> web.Response:
        return web.json_response({}, status=401)

    async def _version(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("Authorization", ""))
        return web.json_response({"gitVersion": "v1.36.0"})


@pytest_asyncio.fixture
async def elsewhere(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Elsewhere]:
    found = Elsewhere()
    await found.start()
    monkeypatch.setenv("FLUXLESS_ARM_ENDPOINT", found.url)
    for name, value in environment(f"{found.url}/identity").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FLUXLESS_IDENTITY_CLIENT_ID", raising=False)
    identity.credential.cache_clear()
    yield found
    for client in (None, "c-9"):
        await identity.credential(client).close()
    identity.credential.cache_clear()
    await found.stop()


def _kubeconfig(server: str, user: Mapping[str, Any], **cluster: Any) -> dict[str, Any]:
    return {
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


class References:
    """The Secret or the ConfigMap of the object."""

    def __init__(self, data: Mapping[str, str]) -> None:
        self._data = {key: value.encode() for key, value in data.items()}

    async def secret(self, _: str, __: str) -> dict[str, bytes]:
        return self._data

    config_map = secret


class Cluster:
    """The object's own: it has accounts that are federated with identities of their names, and gives their tokens."""

    name = "one"

    async def resource(self, *_: str) -> Any:
        return SimpleNamespace(path=lambda namespace, name, _: f"{namespace}/{name}")

    async def get(self, _: Any, name: str, __: str) -> dict[str, Any] | None:
        notes = {f"azure.workload.identity/{key}": name for key in ("client-id", "tenant-id")}
        return None if name == "absent" else {"metadata": {"annotations": notes}}

    async def request(self, _: str, path: str, **__: Any) -> dict[str, Any]:
        return {"status": {"token": f"of {path}"}}


async def _asked(kind: str, data: Mapping[str, str], remotes: Remotes | None = None, **settings: Any) -> None:
    """Open the cluster that an object of the cluster `one` names, and ask it something."""
    cluster: Any = Cluster()
    survey: Any = SimpleNamespace(cluster=cluster, references=lambda _: References(data))
    spec = {"kubeConfig": {f"{kind}Ref": {"name": "there"}}}
    meta = {"name": "a", "namespace": "tenant"}
    obj = {"apiVersion": "x/v1", "kind": "Kustomization", "metadata": meta, "spec": spec}
    none: Any = None
    services = Services(none, none, Settings(**settings), remotes=remotes or Remotes())
    run = TargetRun(KUSTOMIZATION, obj, survey, services)
    try:
        await open_target(run)
        await run.target.request("GET", "/version")
    finally:
        await services.remotes.close()


FILES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("tokenFile", {"tokenFile": "{file}"}, {}),
    ("client-certificate", {"client-certificate": "{file}"}, {}),
    ("client-key", {"client-key": "{file}"}, {}),
    ("certificate-authority", {}, {"certificate-authority": "{file}"}),
]


@pytest.mark.parametrize(("name", "user", "cluster"), FILES, ids=[name for name, _, _ in FILES])
@pytest.mark.parametrize("there", [True, False])
async def test_a_kubeconfig_of_an_object_names_no_file(
    elsewhere: Elsewhere, tmp_path: Path, name: str, user: dict[str, Any], cluster: dict[str, Any], there: bool
) -> None:
    """And does not even learn whether there is one."""
    file = tmp_path / "token"
    if there:
        file.write_text(SECRET)
    text = json.dumps(_kubeconfig(elsewhere.url, user, **cluster)).replace("{file}", str(file))
    with pytest.raises(REFUSALS, match=f"{name} names a file, and none is read for an object"):
        await _asked("secret", {"value": text})
    assert elsewhere.seen == []


async def test_what_stands_in_the_kubeconfig_itself_is_used(elsewhere: Elsewhere) -> None:
    await _asked("secret", {"value": json.dumps(_kubeconfig(elsewhere.url, {"token": "mine"}))})
    assert elsewhere.seen == ["Bearer mine"]


def _clusters(**first: Any) -> Remotes:
    entries = [
        {"name": "one", "resourceId": _resource("one"), **first},
        {"name": "two", "resourceId": _resource("two"), "mayOpen": ["one"]},
    ]
    return Remotes(read_clusters(json.dumps(entries)))


@pytest.mark.parametrize("wanted", ["one", "two", "three"])
async def test_no_object_opens_a_cluster_as_the_app_unless_its_own_may(elsewhere: Elsewhere, wanted: str) -> None:
    data = {"provider": "azure", "cluster": _resource(wanted)}
    with pytest.raises(REFUSALS, match="add it to \"mayOpen\" of 'one' in the app setting FLUXLESS_CLUSTERS"):
        await _asked("configMap", data, _clusters())
    assert (elsewhere.opened, elsewhere.identity.clients, elsewhere.seen) == ([], [], [])


@pytest.mark.parametrize("listed", ["two", _resource("two"), _resource("TWO")])
async def test_a_cluster_that_is_listed_is_opened(elsewhere: Elsewhere, listed: str) -> None:
    data = {"provider": "azure", "cluster": _resource("two")}
    await _asked("configMap", data, _clusters(mayOpen=[listed], openAs="c-9"))
    assert (elsewhere.opened, elsewhere.identity.clients, elsewhere.seen) == (["two"], ["c-9"], ["Bearer of-the-app"])
    with pytest.raises(REFUSALS, match="FLUXLESS_CLUSTERS"):
        await _asked("configMap", data | {"cluster": _resource("three")}, _clusters(mayOpen=[listed]))


@pytest.mark.parametrize(
    ("server_id", "words"),
    [("6dae42f8-4368-4678-94ff-3960e28e3630", "aks=<host>"), ("https://vault.azure.net", "is not that of AKS")],
)
async def test_a_cluster_gets_a_token_for_aks_alone_and_only_where_aks_is(
    elsewhere: Elsewhere, server_id: str, words: str
) -> None:
    elsewhere.user = {"exec": {"command": "kubelogin", "args": ["get-token", "--server-id", server_id]}}
    with pytest.raises(REFUSALS, match=words):
        await _asked("configMap", {"provider": "azure", "cluster": _resource("two")}, _clusters(mayOpen=["two"]))
    assert (elsewhere.identity.asked, elsewhere.seen) == (["https://management.azure.com"], [])


class Federated:
    """In the place of Entra: a credential that notes whose it is."""

    made: ClassVar[list[tuple[str, ...]]] = []

    def __init__(self, tenant: str, client: str, assertion: Callable[[], str]) -> None:
        self.made.append((tenant, client, assertion()))

    async def get_token(self, *_: str) -> Any:
        return SimpleNamespace(token="of-the-account", expires_on=4102444800)

    async def close(self) -> None:
        self.made.append(("closed",))


@pytest.mark.parametrize(
    ("named", "settings"),
    [
        ({"serviceAccountName": "mover"}, {}),
        ({}, {"default_kubeconfig_service_account": "mover"}),
        ({"serviceAccountName": "mover"}, {"default_kubeconfig_service_account": "other"}),
    ],
)
async def test_an_account_opens_it_by_its_own_identity(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, named: dict[str, str], settings: dict[str, str]
) -> None:
    """Flux's `--default-kubeconfig-service-account` as well; no permission of the app's is used, so none is needed."""
    monkeypatch.setattr("azure.identity.aio.ClientAssertionCredential", Federated)
    Federated.made.clear()
    data = {"provider": "azure", "cluster": _resource("two"), **named}
    await _asked("configMap", data, _clusters(), object_level_identity=True, **settings)
    assert Federated.made == [("mover", "mover", "of tenant/mover"), ("closed",)]
    assert (elsewhere.opened, elsewhere.identity.clients) == (["two"], [])


async def test_an_account_that_is_not_there_leaves_nothing_to_the_app(elsewhere: Elsewhere) -> None:
    data = {"provider": "azure", "cluster": _resource("two")}
    settings: dict[str, Any] = {"object_level_identity": True, "default_kubeconfig_service_account": "absent"}
    with pytest.raises(REFUSALS, match="service account 'tenant/absent' not found"):
        await _asked("configMap", data, _clusters(mayOpen=["two"]), **settings)
    assert (elsewhere.opened, elsewhere.identity.clients) == ([], [])


async def test_an_account_of_its_own_takes_the_gate(elsewhere: Elsewhere) -> None:
    """It was ignored, and the cluster opened as the app."""
    data = {"provider": "azure", "cluster": _resource("two"), "serviceAccountName": "mine"}
    with pytest.raises(REFUSALS, match="FLUXLESS_OBJECT_LEVEL_IDENTITY"):
        await _asked("configMap", data, _clusters())
    assert elsewhere.identity.clients == []


async def test_a_cluster_that_an_account_names_is_judged(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """ARM says the address, but of a cluster in a subscription of the tenant's."""
    monkeypatch.setattr("azure.identity.aio.ClientAssertionCredential", Federated)
    before = addresses.use(AddressPolicy())
    try:
        data = {"provider": "azure", "cluster": _resource("two"), "serviceAccountName": "mover"}
        with pytest.raises(REFUSALS, match="FLUXLESS_ALLOWED_ADDRESSES"):
            await _asked("configMap", data, _clusters(), object_level_identity=True)
    finally:
        addresses.use(before)
    assert (elsewhere.opened, elsewhere.seen) == (["two"], [])


class User:
    """Who asks something of a cluster."""


def _brought(elsewhere: Elsewhere, namespace: str, token: str) -> Brought:
    return Brought(f"one/{namespace}/kubeconfig", json.dumps(_kubeconfig(elsewhere.url, {"token": token})))


async def test_many_kubeconfigs_of_one_namespace_close_nobodys_connection(elsewhere: Elsewhere) -> None:
    remotes, first, second = Remotes(), User(), User()
    other = await remotes.get(_brought(elsewhere, "other", "o"), first)
    used = await remotes.get(_brought(elsewhere, "greedy", "in use"), second)
    for number in range(KEPT + 10):
        await remotes.get(_brought(elsewhere, "greedy", f"{number}"), User())
    assert await remotes.get(_brought(elsewhere, "other", "o"), first) is other
    await used.request("GET", "/version")  # forgotten, but not closed under its user
    del second
    gc.collect()
    await remotes.get(_brought(elsewhere, "other", "o"), first)
    with pytest.raises(ApiProblem, match="closed"):
        await used.request("GET", "/version")
    with pytest.raises(ApiProblem, match="closed"):
        async with used.stream("GET", "/version", {}, None):
            pass
    await remotes.close()


async def test_what_helm_asks_goes_by_the_proxy_too_and_for_the_same_name(tmp_path: Path) -> None:
    """What a program asks through us must not go another way than what we ask ourselves."""
    authority, proxy = Authority(tmp_path), Proxy("http")
    app = web.Application()

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"gitVersion": "v1.36.0"})

    app.router.add_get("/version", version)
    asked_of: dict[str, Any] = {
        "certificate-authority-data": base64.b64encode(authority.certificate).decode(),
        "proxy-url": await proxy.start(),
    }

    async def asked(url: str, name: str) -> int:
        config = _kubeconfig(url, {"token": "t"}, **asked_of, **{"tls-server-name": name})
        cluster = await connect_brought(Brought("one/a/kubeconfig", json.dumps(config)))
        try:
            async with cluster.stream("GET", "/version", {}, None) as answer:
                return answer.status
        finally:
            await cluster.close()

    async with served(app, tls=authority.server_context(names=("cluster.example",))) as url:
        assert await asked(url, "cluster.example") == 200
        assert proxy.seen == [url.removeprefix("https://")]
        with pytest.raises(Problem, match="cannot be reached"):
            await asked(url, "other.example")
    proxy.stop()


async def test_namespaces_share_no_connection_though_they_bring_the_same(elsewhere: Elsewhere) -> None:
    """Its errors name a Secret, and what its server may answer is counted."""
    remotes, user = Remotes(), User()
    one, two = [await remotes.get(_brought(elsewhere, name, "same"), user) for name in ("a", "b")]
    assert (one.name, two.name) == ("one/a/kubeconfig", "one/b/kubeconfig")
    await remotes.close()


async def test_who_waits_for_arm_holds_up_nobody_else(elsewhere: Elsewhere) -> None:
    remotes, going_on = Remotes(), asyncio.Event()

    async def never() -> Any:
        going_on.set()
        await asyncio.Event().wait()

    slow = asyncio.create_task(remotes.get(Named("one/a/there", _resource("two"), "who", never), User()))
    await going_on.wait()
    async with asyncio.timeout(5):
        await remotes.get(_brought(elsewhere, "b", "t"), User())
    slow.cancel()
    await remotes.close()


async def test_a_connection_with_a_token_of_an_account_is_kept(elsewhere: Elsewhere) -> None:
    """Each reconcile brought a new token, so a new connection, and the old ones of others were closed for it. One that
    is not known any more is left, and closed.
    """
    remotes, made = Remotes(), 0

    async def kubeconfig() -> str:
        nonlocal made
        made += 1
        return json.dumps(_kubeconfig(elsewhere.url, {"token": f"{made}"}))

    config, user = Minted("one/a/there", "address", kubeconfig), User()
    cluster = await remotes.get(config, user)
    assert await remotes.get(config, user) is cluster
    assert made == 1
    with pytest.raises(ApiProblem):
        await cluster.request("GET", "/unknown")
    assert await remotes.get(config, user) is not cluster
    await remotes.close()
    with pytest.raises(ApiProblem, match="closed"):
        await cluster.request("GET", "/version")


def _encrypted() -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM), pem


def test_no_key_asks_the_terminal_for_its_passphrase() -> None:
    """OpenSSL asks on whatever terminal or input the worker has, and waits."""
    certificate, key = _encrypted()
    with pytest.raises(ValueError, match="encrypted"):
        Tls(certificate=certificate, key=key).context()


async def test_no_key_of_a_kubeconfig_does_either(elsewhere: Elsewhere) -> None:
    certificate, key = (base64.b64encode(part).decode() for part in _encrypted())
    user = {"client-certificate-data": certificate, "client-key-data": key}
    with pytest.raises(REFUSALS, match="encrypted"):
        await _asked("secret", {"value": json.dumps(_kubeconfig(elsewhere.url, user))})

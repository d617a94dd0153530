"""No address out of an object reaches what is near the app: a canary plays the endpoint that must see nobody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fluxless import addresses, transport
from fluxless.addresses import AddressPolicy, AddressRefused
from fluxless.api.failure import Problem
from fluxless.artifacts.cache import ArtifactCache
from fluxless.artifacts.directory import DirectoryStore
from fluxless.bucket.azure import AzureContainer
from fluxless.bucket.s3 import S3Bucket
from fluxless.git import github, ssh
from fluxless.git.auth import Auth
from fluxless.git.ls_remote import ls_remote
from fluxless.kube.connect import Brought, ClusterConfig, connect, connect_brought
from fluxless.kustomize import bases
from fluxless.notification import oidc
from fluxless.notification.signatures import Refused
from fluxless.oci.client import Registry
from fluxless.oci.reference import Repository
from fluxless.source.helm_repository import Server
from fluxless.transport import Proxy, Tls

NEAR = "127.0.0.2"
NAME = "near.example"
SPELLED = (
    NEAR,
    "127.2",
    "2130706434",
    "0x7f000002",
    "0x7f.0.0.2",
    "0177.0.0.2",
    "[::ffff:127.0.0.2]",
    "[::ffff:7f00:2]",
    NAME,
)
"""One address in all the forms that a resolver takes, and a name that leads to it."""
SECONDS = 5.0


class Canary:
    """Listens where metadata would, and counts."""

    port = 0
    seen = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen += 1
        writer.close()


@pytest_asyncio.fixture(loop_scope="session")
async def canary(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Canary]:
    found = Canary()
    server = await asyncio.start_server(found.serve, NEAR, 0)
    found.port = server.sockets[0].getsockname()[1]
    real = socket.getaddrinfo

    def resolve(host: str, *rest: object, **named: object) -> object:
        return real(NEAR if host == NAME else host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield found
    server.close()


@pytest.fixture
def strict() -> Iterator[None]:
    """The app as it starts without the setting, but for servers of tests on 127.0.0.1 alone."""
    before = addresses.use(AddressPolicy.of("127.0.0.1", {}))
    yield
    addresses.use(before)


Door = Callable[[str, int, Path], Awaitable[object]]


async def _git(host: str, port: int, folder: Path) -> object:
    return await ls_remote(f"http://{host}:{port}/r.git", Auth(), timeout=SECONDS)


async def _git_tls(host: str, port: int, folder: Path) -> object:
    return await ls_remote(f"https://{host}:{port}/r.git", Auth(tls=Tls(insecure=True)), timeout=SECONDS)


def _ssh_auth(proxy: Proxy | None = None) -> Auth:
    key = asyncssh.generate_private_key("ssh-ed25519")
    known = b"* " + key.export_public_key()
    return Auth(identity=key.export_private_key(), known_hosts=known, proxy=proxy)


async def _ssh(host: str, port: int, folder: Path) -> object:
    return await ssh.advertisement(f"ssh://git@{host}:{port}/r.git", _ssh_auth(), timeout=SECONDS)


async def _registry(host: str, port: int, folder: Path) -> object:
    async with Registry(Repository(f"{host}:{port}", "a/b"), insecure=True, timeout=SECONDS) as registry:
        return await registry.tags()


async def _charts(host: str, port: int, folder: Path) -> object:
    async with transport.session(timeout=SECONDS) as http:
        server = Server(f"http://{host}:{port}/charts", http, "", everywhere=False, timeout=SECONDS)
        return await server.index(folder / "index.yaml")


async def _s3(host: str, port: int, folder: Path) -> object:
    return await _closed(S3Bucket(f"{host}:{port}", "bucket", key="a", secret="b", secure=False, timeout=SECONDS))


async def _s3_sts(host: str, port: int, folder: Path) -> object:
    ldap = (f"http://{host}:{port}", "user", "pass", Tls())
    return await _closed(S3Bucket("127.0.0.1:9", "bucket", ldap=ldap, secure=False, timeout=SECONDS))


async def _azure(host: str, port: int, folder: Path) -> object:
    return await _closed(AzureContainer(f"http://{host}:{port}/account?sig=x", "bucket", None, timeout=SECONDS))


async def _closed(bucket: S3Bucket | AzureContainer) -> object:
    try:
        return await bucket.index("")
    finally:
        await bucket.close()


async def _issuer(host: str, port: int, folder: Path) -> object:
    return await oidc._fetch(f"http://{host}:{port}")


async def _github(host: str, port: int, folder: Path) -> object:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    data = {
        "githubAppID": b"1",
        "githubAppInstallationID": b"2",
        "githubAppPrivateKey": pem,
        "githubAppBaseURL": f"http://{host}:{port}".encode(),
    }
    return await github.token(data, "secret", proxy=None, timeout=SECONDS)


def _kubeconfig(server: str, proxy: str = "") -> Brought:
    cluster = {"server": server, **({"proxy-url": proxy} if proxy else {})}
    text = json.dumps(
        {
            "clusters": [{"name": "a", "cluster": cluster}],
            "users": [{"name": "a", "user": {"token": "t"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        }
    )
    return Brought("tenant", text)


async def _asked(brought: Brought) -> object:
    cluster = await connect_brought(brought)
    try:
        return await cluster.request("GET", "/version", timeout=SECONDS)
    finally:
        await cluster.close()


async def _api_server(host: str, port: int, folder: Path) -> object:
    return await _asked(_kubeconfig(f"http://{host}:{port}"))


async def _helm_to_api_server(host: str, port: int, folder: Path) -> object:
    cluster = await connect_brought(_kubeconfig(f"http://{host}:{port}"))
    try:
        async with cluster.stream("GET", "/version", {}, None) as answer:
            return await answer.read()
    finally:
        await cluster.close()


async def _api_server_by_proxy(host: str, port: int, folder: Path) -> object:
    return await _asked(_kubeconfig("http://api.example:6443", f"http://{host}:{port}"))


async def _proxy(host: str, port: int, folder: Path) -> object:
    auth = Auth(proxy=Proxy(f"http://{host}:{port}"))
    return await ls_remote("http://git.example/r.git", auth, timeout=SECONDS)


async def _socks(host: str, port: int, folder: Path) -> object:
    auth = Auth(proxy=Proxy(f"socks5://{host}:{port}"))
    return await ls_remote("http://git.example/r.git", auth, timeout=SECONDS)


async def _ssh_proxy(host: str, port: int, folder: Path) -> object:
    auth = _ssh_auth(Proxy(f"http://{host}:{port}"))
    return await ssh.advertisement("ssh://git@git.example/r.git", auth, timeout=SECONDS)


async def _bucket_proxy(host: str, port: int, folder: Path) -> object:
    proxy = Proxy(f"http://{host}:{port}")
    bucket = S3Bucket("s3.example", "bucket", key="a", secret="b", secure=False, proxy=proxy, timeout=SECONDS)
    return await _closed(bucket)


async def _azure_proxy(host: str, port: int, folder: Path) -> object:
    proxy = Proxy(f"http://{host}:{port}")
    endpoint = "http://a.example?sig=x"
    return await _closed(AzureContainer(endpoint, "bucket", None, proxy=proxy, timeout=SECONDS))


async def _base(host: str, port: int, folder: Path) -> object:
    one: Any = SimpleNamespace(shown="kustomization.yaml")
    return await bases._download(f"http://{host}:{port}/x.yaml", one, SECONDS)


async def _foreign_artifact(host: str, port: int, folder: Path) -> object:
    cache = ArtifactCache(DirectoryStore(folder / "store"), folder / "cache", foreign=True)
    digest = f"sha256:{'0' * 64}"
    return await cache.tree({"digest": digest, "path": "none", "url": f"http://{host}:{port}/a.tar.gz"})


DOORS: dict[str, Door] = {
    "GitRepository url": _git,
    "GitRepository url, TLS": _git_tls,
    "GitRepository url, SSH": _ssh,
    "OCIRepository url": _registry,
    "HelmRepository url": _charts,
    "Bucket endpoint": _s3,
    "Bucket sts.endpoint": _s3_sts,
    "Bucket endpoint, azure": _azure,
    "Receiver issuerURL": _issuer,
    "githubAppBaseURL": _github,
    "kubeConfig server": _api_server,
    "kubeConfig server, for helm": _helm_to_api_server,
    "kubeConfig proxy-url": _api_server_by_proxy,
    "proxySecretRef": _proxy,
    "proxySecretRef, SOCKS": _socks,
    "proxySecretRef, SSH": _ssh_proxy,
    "proxySecretRef of a Bucket": _bucket_proxy,
    "proxySecretRef of a Bucket, azure": _azure_proxy,
    "remote base": _base,
    "ExternalArtifact url": _foreign_artifact,
}
PROBLEMS = (Problem, Refused)


@pytest.mark.parametrize(
    ("door", "host"),
    [(door, host) for door in DOORS for host in SPELLED if host in {NEAR, NAME} or "azure" not in door],
)
async def test_nothing_near_the_app_is_called(
    strict: None, canary: Canary, tmp_path: Path, door: str, host: str
) -> None:
    with pytest.raises(PROBLEMS) as caught:
        await DOORS[door](host, canary.port, tmp_path)
    assert canary.seen == 0
    if host in {NEAR, NAME}:  # some clients take no other form
        assert "is not allowed: it is the app's own machine" in str(caught.value)
        assert "FLUXLESS_ALLOWED_ADDRESSES" in str(caught.value)


@pytest.mark.parametrize("door", DOORS)
async def test_what_the_setting_allows_is_called(strict: None, canary: Canary, tmp_path: Path, door: str) -> None:
    addresses.use(AddressPolicy.of("127.0.0.0/8", {}))
    with pytest.raises(PROBLEMS):
        await DOORS[door](NEAR, canary.port, tmp_path)  # it answers nothing
    assert canary.seen > 0


@contextlib.asynccontextmanager
async def _redirecting(target: str) -> AsyncIterator[int]:
    """A server on 127.0.0.1, which may be called, that leads elsewhere."""

    async def lead(request: web.Request) -> web.StreamResponse:
        if request.path == "/v2/a/b/tags/list":
            challenge = f'Bearer realm="{target}/token",service="x"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        if request.path == "/.well-known/openid-configuration":
            return web.json_response({"jwks_uri": f"{target}/keys"})
        return web.Response(status=302, headers={"Location": f"{target}{request.path}"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", lead)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


LED = (
    "GitRepository url",
    "OCIRepository url",
    "HelmRepository url",
    "Bucket endpoint",
    "Receiver issuerURL",
    "kubeConfig server",
    "remote base",
    "ExternalArtifact url",
)


@pytest.mark.parametrize("host", [NEAR, NAME, "[::ffff:127.0.0.2]"])
@pytest.mark.parametrize("door", LED)
async def test_no_server_leads_near_the_app(strict: None, canary: Canary, tmp_path: Path, door: str, host: str) -> None:
    async with _redirecting(f"http://{host}:{canary.port}") as port:
        with pytest.raises(PROBLEMS):
            await DOORS[door]("127.0.0.1", port, tmp_path)
    assert canary.seen == 0


async def test_a_name_that_changes_its_answer_gets_nobody_in(
    strict: None, canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["127.0.0.1"])
    asked = socket.getaddrinfo

    def resolve(host: str, *rest: object, **named: object) -> object:
        return asked(next(answers, NEAR) if host == "turns.example" else host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for _ in range(2):
        with pytest.raises(Problem):
            await _git("turns.example", canary.port, tmp_path)
    assert canary.seen == 0


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.130.4",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:a9fe:a9:fe00::",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe:0:0:0:1",
        "2001:db8::5efe:a9fe:a9fe",
        "::ffff:0:169.254.169.254",
    ],
)
def test_no_setting_opens_metadata(address: str) -> None:
    with pytest.raises(AddressRefused):
        AddressPolicy.of("0.0.0.0/0, ::/0", {}).judge("x", address, 80)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.20.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"),
        *("64:ff9b::a01:203", "2002:a01:203::1", "::ffff:10.1.2.3", "::7f00:1"),
    ],
)
def test_private_addresses_are_called_where_the_setting_says_so(address: str) -> None:
    with pytest.raises(AddressRefused, match="FLUXLESS_ALLOWED_ADDRESSES"):
        AddressPolicy().judge("x", address, 443)
    allowed = "10.0.0.0/8,127.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,::1,fd12::/64"
    AddressPolicy.of(allowed, {}).judge("x", address, 443)


@pytest.mark.parametrize(
    "address", ["20.50.2.1", "140.82.121.4", "2603:1030::1", "2606:4700::1111", "64:ff9b::1432:201"]
)
def test_public_addresses_are_called(address: str) -> None:
    AddressPolicy().judge("x", address, 443)


@pytest.mark.parametrize("name", ["IDENTITY_ENDPOINT", "MSI_ENDPOINT"])
@pytest.mark.parametrize("said", ["127.0.0.1", "localhost", "[::1]"])
def test_the_identity_endpoint_is_never_called(name: str, said: str) -> None:
    policy = AddressPolicy.of("127.0.0.0/8, ::1", {name: f"http://{said}:41741/msi/token"})
    for address in ("127.0.0.1", "127.0.0.9", "::1"):
        with pytest.raises(AddressRefused, match="tokens"):
            policy.judge("x", address, 41741)
        policy.judge("x", address, 41742)


def test_an_address_of_this_machine_counts_as_its_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")
        own = str(probe.getsockname()[0])
    with pytest.raises(AddressRefused, match="own machine"):
        AddressPolicy.of(f"{own}/32", {}).judge("x", own, 80)


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "0xa9fea9fe", "localhost", "127.0.0.1."])
async def test_the_apps_own_proxy_is_not_asked_for_what_is_near(
    strict: None, canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    addresses.use(AddressPolicy())
    monkeypatch.setenv("HTTP_PROXY", f"http://{NEAR}:{canary.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(Problem, match="is not allowed"):
        await _git(host, 80, tmp_path)
    assert canary.seen == 0
    with pytest.raises(Problem):
        await _git("git.example", 80, tmp_path)
    assert canary.seen > 0  # the proxy itself is the app's, wherever it is


def test_a_range_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from functions import host

    monkeypatch.setenv("FLUXLESS_ALLOWED_ADDRESSES", "10.0.0.5/8")
    host.allow_addresses.cache_clear()
    with pytest.raises(Problem, match=r"FLUXLESS_ALLOWED_ADDRESSES '10\.0\.0\.5/8'"):
        host.allow_addresses()


async def test_an_api_server_leads_nowhere(strict: None, canary: Canary) -> None:
    """Not even that of the app's settings, which is not judged: it would take the impersonated account along."""
    addresses.use(AddressPolicy(everything=True))
    async with _redirecting(f"http://{NEAR}:{canary.port}") as port:
        text = _kubeconfig(f"http://127.0.0.1:{port}").text
        cluster = await connect(ClusterConfig("own", kubeconfig_inline=text))
        try:
            with pytest.raises(Problem):
                await cluster.impersonating("system:serviceaccount:t:x").request("GET", "/version", timeout=SECONDS)
            async with cluster.stream("GET", "/version", {}, None) as answer:
                assert answer.status == 302
        finally:
            await cluster.close()
    assert canary.seen == 0

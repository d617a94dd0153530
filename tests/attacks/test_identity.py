"""The app's identity speaks only to hosts that were meant: every field of an object that could lead a token out, with
the real SDKs, against somebody on 127.0.0.1 who writes down whatever he is sent.
"""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from rich.console import Console

from fluxless import transport
from fluxless.api.failure import Problem
from fluxless.api.kinds import BUCKET, GIT_REPOSITORY, HELM_REPOSITORY, OCI_REPOSITORY
from fluxless.auth import identity
from fluxless.bucket.objects import BucketProblem
from fluxless.cli.artifacts import Access
from fluxless.git.errors import GitProblem
from fluxless.git.ls_remote import ls_remote
from fluxless.oci.client import TOKENS
from fluxless.oci.errors import RegistryProblem
from fluxless.oci.reference import Repository
from fluxless.reconcile.errors import Ended
from fluxless.reconcile.services import Services, Settings
from fluxless.source.bucket import BucketRun
from fluxless.source.git import GitRepositoryRun
from fluxless.source.git_access import access
from fluxless.source.helm_origin import Origin
from fluxless.source.helm_repository import HelmRepositoryRun
from fluxless.source.oci import OCIRepositoryRun
from tests.support.identity import IdentityEndpoint, environment
from tests.support.proxies import Proxy
from tests.support.tls import Authority

TOKEN = "token-of-the-app-for-"
STORAGE = "https://storage.azure.com"
REFUSALS = (Problem, Ended, BucketProblem, RegistryProblem, GitProblem)


class Somebody:
    """Speaks HTTP, HTTPS with a certificate that everybody trusts, and HTTPS with one of an authority of his own, and
    has a proxy; `seen` is all that came, headers and bodies. Asked for anything, he asks back for tokens, as registries
    and storage accounts do.
    """

    def __init__(self, trusted: ssl.SSLContext, own: ssl.SSLContext, authority: str) -> None:
        self.authority = authority
        self.seen: list[str] = []
        self.identity = IdentityEndpoint(lambda resource, _: f"{TOKEN}{resource}")
        self.challenge = f"Bearer resource_id={STORAGE}, authorization_uri=https://login.microsoftonline.com/t"
        self._contexts = {"https": trusted, "own": own}

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/identity", self.identity.give)
        app.router.add_post("/oauth2/exchange", self._exchange)
        app.router.add_post("/oauth2/token", self._exchange)
        app.router.add_route("*", "/{path:(v2/)?away/.*}", self._redirect)
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        for context in (None, *self._contexts.values()):
            await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        names = ("http", *self._contexts)
        self.hosts = {
            name: f"127.0.0.1:{address[1]}" for name, address in zip(names, self._runner.addresses, strict=True)
        }
        self._proxy = Proxy("http")
        self.hosts["proxy"] = (await self._proxy.start()).partition("://")[2]

    async def stop(self) -> None:
        self._proxy.stop()
        await self._runner.cleanup()

    async def _exchange(self, request: web.Request) -> web.Response:
        await self._note(request)
        return web.json_response({"refresh_token": f"{TOKEN}registry", "access_token": f"{TOKEN}repository"})

    async def _redirect(self, request: web.Request) -> web.Response:
        await self._note(request)
        if "/v2/" in request.path and not request.headers.get("Authorization"):
            return await self._take(request)
        raise web.HTTPTemporaryRedirect(f"http://{self.hosts['http']}/{request.match_info['path']}")

    async def _take(self, request: web.Request) -> web.Response:
        await self._note(request)
        challenge = self.challenge
        if "/v2/" in request.path:
            challenge = f'Bearer realm="{request.scheme}://{request.host}/oauth2/token",service="{request.host}"'
            if request.headers.get("Authorization"):
                return web.json_response({"name": "a", "tags": ["1.0.0"]})
        return web.json_response({}, status=401, headers={"WWW-Authenticate": challenge})

    async def _note(self, request: web.Request) -> None:
        self.seen.append(f"{request.scheme} {request.raw_path} {dict(request.headers)} {await request.text()}")

    def stolen(self) -> list[str]:
        return [said for said in self.seen if TOKEN in said.replace("%3A", ":")]


@pytest_asyncio.fixture
async def somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Somebody]:
    (tmp_path / "public").mkdir()
    (tmp_path / "own").mkdir()
    public, own = Authority(tmp_path / "public"), Authority(tmp_path / "own")
    trust = tmp_path / "trust.pem"
    trust.write_bytes(public.certificate)
    found = Somebody(public.server_context(), own.server_context(), own.certificate.decode())
    await found.start()
    for name in ("FLUXLESS_TOKEN_HOSTS", "FLUXLESS_ACR_SUFFIXES", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(f"http://{found.hosts['http']}/identity").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SSL_CERT_FILE", str(trust))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=str(trust)))
    transport._context.cache_clear()
    identity.credential.cache_clear()
    TOKENS.clear()
    yield found
    await identity.credential(None).close()
    transport._context.cache_clear()
    identity.credential.cache_clear()
    TOKENS.clear()
    await found.stop()


class Secrets:
    """The Secrets of the namespace."""

    def __init__(self, secrets: Mapping[str, Mapping[str, str]]) -> None:
        self._secrets = secrets

    async def secret(self, _: str, name: str) -> dict[str, bytes] | None:
        data = self._secrets.get(name)
        return None if data is None else {key: value.encode() for key, value in data.items()}


def _run(cls: Any, kind: Any, spec: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]], **given: Any) -> Any:
    survey: Any = SimpleNamespace(cluster=SimpleNamespace(name="test"), references=lambda _: Secrets(secrets))
    none: Any = None
    meta = {"name": "a", "namespace": "tenant"}
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": {"provider": "azure", **spec}}
    return cls(kind, obj, survey, Services(none, none, Settings(**given)))


async def _bucket(spec: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]], **given: Any) -> None:
    run = _run(BucketRun, BUCKET, {"bucketName": "b", "timeout": "5s", **spec}, secrets, **given)
    async with run.objects() as objects:
        await objects.index("")


async def _git(spec: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]], **given: Any) -> None:
    run = _run(GitRepositoryRun, GIT_REPOSITORY, {"timeout": "5s", **spec}, secrets, **given)
    await ls_remote(run.url, await access(run), timeout=5)


async def _oci(spec: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]], **given: Any) -> None:
    run = _run(OCIRepositoryRun, OCI_REPOSITORY, {"timeout": "5s", **spec}, secrets, **given)
    async with run.registry() as registry:
        await registry.tags()


async def _helm(spec: Mapping[str, Any], secrets: Mapping[str, Mapping[str, str]], **given: Any) -> None:
    run = _run(HelmRepositoryRun, HELM_REPOSITORY, {"type": "oci", "timeout": "5s", **spec}, secrets, **given)
    await Origin(run).find("chart", "", Path("/nowhere"))


async def _cli(spec: Mapping[str, Any], _: Mapping[str, Mapping[str, str]]) -> None:
    """`fluxless list artifacts --provider azure`."""
    access = Access(provider="azure", insecure=bool(spec.get("insecure")))
    async with access.open(Repository.parse(spec["url"]), Console(quiet=True)) as registry:
        await registry.tags()


KINDS: dict[str, Callable[..., Awaitable[Any]]] = {
    "the command line": _cli,
    "Bucket": _bucket,
    "GitRepository": _git,
    "OCIRepository": _oci,
    "HelmRepository": _helm,
}
LISTED = {"FLUXLESS_TOKEN_HOSTS": "storage=127.0.0.1,devops=127.0.0.1", "FLUXLESS_ACR_SUFFIXES": "127.0.0.1"}
"""The host is meant to have tokens; what is wrong is the way there."""
SECRETS = {
    "proxy": {"address": "http://{proxy}"},
    "ca": {"ca.crt": "{authority}"},
    "pair": {"clientId": "c1c1c1c1-0000-4000-8000-000000000001"},
    "authority": {"tenantId": "t", "clientId": "c", "clientSecret": TOKEN, "authorityHost": "https://{https}"},
}
PROXY, CA = {"proxySecretRef": {"name": "proxy"}}, {"certSecretRef": {"name": "ca"}}
FIELDS: list[tuple[str, dict[str, Any], dict[str, str], str]] = [
    ("Bucket", {"endpoint": "https://{https}"}, {}, "FLUXLESS_TOKEN_HOSTS"),
    ("Bucket", {"endpoint": "https://{https}", **PROXY}, {}, "FLUXLESS_TOKEN_HOSTS"),
    ("Bucket", {"endpoint": "https://{https}", "secretRef": {"name": "pair"}}, {}, "FLUXLESS_TOKEN_HOSTS"),
    ("Bucket", {"endpoint": "https://{https}", "secretRef": {"name": "authority"}}, LISTED, "entra"),
    ("Bucket", {"endpoint": "https://a.blob.core.windows.net@{https}"}, {}, "FLUXLESS_TOKEN_HOSTS"),
    ("Bucket", {"endpoint": "https://{https}?.blob.core.windows.net"}, {}, "FLUXLESS_TOKEN_HOSTS"),
    ("Bucket", {"endpoint": "https://{https}\\.blob.core.windows.net"}, {}, "FLUXLESS_TOKEN_HOSTS"),
    ("GitRepository", {"url": "https://{https}/o/p/_git/r"}, {}, "FLUXLESS_TOKEN_HOSTS"),
    ("GitRepository", {"url": "https://dev.azure.com@{https}/o/p/_git/r"}, {}, "FLUXLESS_TOKEN_HOSTS"),
    ("GitRepository", {"url": "https://{own}/o/p/_git/r", "secretRef": {"name": "ca"}}, LISTED, "ca.crt"),
    ("GitRepository", {"url": "https://{https}/o/p/_git/r", **PROXY}, {}, "FLUXLESS_TOKEN_HOSTS"),
    ("OCIRepository", {"url": "oci://{https}/app"}, {}, "FLUXLESS_ACR_SUFFIXES"),
    ("OCIRepository", {"url": "oci://{http}/app", "insecure": True, **PROXY}, LISTED, "https"),
    ("OCIRepository", {"url": "oci://{http}/app", **PROXY}, LISTED, "https"),
    ("OCIRepository", {"url": "oci://{own}/app", "insecure": True}, LISTED, "spec.insecure"),
    ("OCIRepository", {"url": "oci://{own}/app", **CA}, LISTED, "ca.crt"),
    ("HelmRepository", {"url": "oci://{https}/charts"}, {}, "FLUXLESS_ACR_SUFFIXES"),
    ("HelmRepository", {"url": "oci://{own}/charts", "insecure": True}, LISTED, "spec.insecure"),
    ("HelmRepository", {"url": "oci://{own}/charts", **CA}, LISTED, "ca.crt"),
    ("the command line", {"url": "oci://{https}/app"}, {}, "FLUXLESS_ACR_SUFFIXES"),
    ("the command line", {"url": "oci://{own}/app", "insecure": True}, LISTED, "spec.insecure"),
]


def _filled(value: Any, somebody: Somebody) -> Any:
    text = json.dumps(value)
    for name, host in somebody.hosts.items():
        text = text.replace(f"{{{name}}}", host)
    return json.loads(text.replace("{authority}", somebody.authority.replace("\n", "\\n")))


@pytest.mark.parametrize(
    ("kind", "spec", "settings", "words"), FIELDS, ids=[f"{kind} {spec}" for kind, spec, _, _ in FIELDS]
)
async def test_no_field_leads_a_token_out(
    somebody: Somebody,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    spec: dict[str, Any],
    settings: dict[str, str],
    words: str,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(REFUSALS) as raised:
        await KINDS[kind](_filled(spec, somebody), _filled(SECRETS, somebody))
    assert somebody.stolen() == []
    failures = " ".join(failure.text() for failure in raised.value.failures)
    assert words in failures
    assert TOKEN not in failures


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Bucket", {"endpoint": "https://{https}"}),
        ("GitRepository", {"url": "https://{https}/o/p/_git/r"}),
        ("OCIRepository", {"url": "oci://{https}/app"}),
        ("HelmRepository", {"url": "oci://{https}/charts"}),
    ],
)
async def test_a_host_that_was_meant_gets_its_token(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch, kind: str, spec: dict[str, Any]
) -> None:
    """So that the refusals above are of the field, and of nothing else."""
    for name, value in LISTED.items():
        monkeypatch.setenv(name, value)
    with contextlib.suppress(*REFUSALS):  # somebody is no storage account and no Git server
        await KINDS[kind](_filled(spec, somebody), {})
    assert somebody.stolen()


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Bucket", {"endpoint": "https://{https}/away"}),
        ("GitRepository", {"url": "https://{https}/away/o/p/_git/r"}),
        ("OCIRepository", {"url": "oci://{https}/away/app"}),
        ("HelmRepository", {"url": "oci://{https}/away"}),
    ],
)
async def test_no_redirect_takes_a_token_along(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch, kind: str, spec: dict[str, Any]
) -> None:
    for name, value in LISTED.items():
        monkeypatch.setenv(name, value)
    with contextlib.suppress(*REFUSALS):
        await KINDS[kind](_filled(spec, somebody), {})
    assert any("/away/" in said for said in somebody.stolen()), "who was meant got it"
    assert not any(said.startswith("http ") for said in somebody.stolen())


@pytest.mark.parametrize("resource", ["https://management.azure.com", "https://vault.azure.net", "api://attacker"])
async def test_the_audience_that_a_challenge_names_is_nobodys(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch, resource: str
) -> None:
    monkeypatch.setenv("FLUXLESS_TOKEN_HOSTS", "storage=127.0.0.1")
    somebody.challenge = f"Bearer resource_id={resource}, authorization_uri=https://login.microsoftonline.com/t"
    with pytest.raises(REFUSALS):
        await _bucket(_filled({"endpoint": "https://{https}"}, somebody), {})
    assert set(somebody.identity.asked) == {STORAGE}
    assert not any(f"{TOKEN}{resource}" in said for said in somebody.seen)


async def test_what_one_object_has_earned_at_a_registry_is_not_shown_for_another(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker keeps it by registry and identity: the second object brings a proxy and no TLS."""
    monkeypatch.setenv("FLUXLESS_ACR_SUFFIXES", "127.0.0.1")
    await _oci(_filled({"url": "oci://{http}/app"}, somebody), {})
    somebody.seen.clear()
    other = _filled({"url": "oci://{http}/app", "insecure": True, **PROXY}, somebody)
    with pytest.raises(REFUSALS):
        await _oci(other, _filled(SECRETS, somebody))
    assert somebody.stolen() == []


@pytest.mark.parametrize("secret", [{}, {"clientId": "c1c1c1c1-0000-4000-8000-000000000001"}])
async def test_the_apps_own_storage_account_is_no_bucket(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch, secret: dict[str, str]
) -> None:
    """There are the artifacts of all tenants, and the package that the app runs."""
    monkeypatch.setenv("FLUXLESS_TOKEN_HOSTS", "storage=127.0.0.1")
    monkeypatch.setenv("FLUXLESS_BLOB_ACCOUNT_URL", f"https://{somebody.hosts['https']}")
    ref = {"secretRef": {"name": "own"}} if secret else {}
    with pytest.raises(REFUSALS, match="FLUXLESS_SOURCE_IDENTITY_CLIENT_ID"):
        await _bucket(_filled({"endpoint": "https://{https}", **ref}, somebody), {"own": secret})
    assert somebody.stolen() == []


RULER = "c1c1c1c1-0000-4000-8000-000000000001"


@pytest.mark.parametrize("spelled", [RULER, RULER.upper(), RULER.replace("-", ""), f"{{{RULER}}}", f"({RULER})"])
async def test_an_identity_that_rules_clusters_is_not_chosen_by_a_secret(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    monkeypatch.setenv("FLUXLESS_TOKEN_HOSTS", "storage=127.0.0.1")
    spec = _filled({"endpoint": "https://{https}", "secretRef": {"name": "s"}}, somebody)
    with pytest.raises(REFUSALS, match=r"rules clusters|no UUID"):
        await _bucket(spec, {"s": {"clientId": spelled}}, ruling_identities=frozenset({RULER}))
    assert somebody.identity.asked == []

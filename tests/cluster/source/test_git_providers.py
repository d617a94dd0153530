"""GitHub Apps and Azure DevOps by identity (GR-5, AZ-12), against local stand-ins of their token services."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fluxless import transport
from fluxless.auth import identity
from fluxless.git import github
from tests.support.azure import Azure
from tests.support.flux import Flux, message, ready
from tests.support.repositories import Repo, config_map
from tests.support.tls import Authority
from tools.gitserver import Access, GitServer


class GitHub:
    """Gives tokens to the app that signs with the right key."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._public = key.public_key()
        self.pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode()
        self.given = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/app/installations/{id}/access_tokens", self._token)
        app.router.add_get("/orgs/{name}/installation", self._installation)
        app.router.add_get("/users/{name}/installation", self._installation)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def _allowed(self, request: web.Request) -> bool:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, self._public, algorithms=["RS256"])
        except jwt.PyJWTError:
            return False
        return bool(claims["iss"] == "123" and claims["exp"] - time.time() < 600)

    async def _installation(self, request: web.Request) -> web.Response:
        if request.path != "/users/ann/installation" or not self._allowed(request):
            return web.json_response({"message": "Not Found"}, status=404)
        return web.json_response({"id": 42})

    async def _token(self, request: web.Request) -> web.Response:
        if not self._allowed(request):
            return web.json_response({"message": "A JSON web token could not be decoded"}, status=401)
        if request.match_info["id"] != "42":
            return web.json_response({"message": "Not Found"}, status=404)
        self.given += 1
        return web.json_response({"token": "ghs_app"}, status=201)


@pytest_asyncio.fixture(loop_scope="session")
async def hub() -> AsyncIterator[GitHub]:
    running = GitHub()
    await running.start()
    yield running
    await running.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def closed(git_server: GitServer) -> AsyncIterator[GitServer]:
    server = GitServer(git_server.root, access=Access(github.USERNAME, "ghs_app"))
    await server.start()
    yield server
    await server.stop()


async def test_a_github_app_earns_tokens(
    flux: Flux, repo: Repo, git_server: GitServer, closed: GitServer, hub: GitHub
) -> None:
    repo.push({"a.yaml": config_map("a")})
    url = repo.url.replace(git_server.url, closed.url)
    base = {"githubAppID": "123", "githubAppPrivateKey": hub.pem, "githubAppBaseURL": hub.url}
    await flux.secret("by-id", {**base, "githubAppInstallationID": "42"})
    await flux.secret("by-owner", {**base, "githubAppInstallationOwner": "ann"})
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "other-key": ({**base, "githubAppPrivateKey": other.decode(), "githubAppInstallationID": "42"}, "401"),
        "no-key": ({"githubAppID": "123", "githubAppInstallationID": "42"}, "has no key 'githubAppPrivateKey'"),
        "no-installation": (base, "has no key 'githubAppInstallationID, nor githubAppInstallationOwner'"),
        "wrong-installation": ({**base, "githubAppInstallationID": "1"}, "404 Not Found"),
        "wrong-owner": ({**base, "githubAppInstallationOwner": "bob"}, "404 Not Found"),
        "garbage": ({**base, "githubAppPrivateKey": "x", "githubAppInstallationID": "42"}, "is no PEM of an RSA key"),
    }
    for name, (data, _) in wrong.items():
        await flux.secret(name, data)
    for name in ("by-id", "by-owner", *wrong):
        await flux.source(repo, name, url=url, provider="github", secretRef={"name": name})
    await flux.run(patience=0.3)
    for name in ("by-id", "by-owner"):
        found = await flux.repository(name)
        assert ready(found) == ("True", "Succeeded"), message(found)
    given = hub.given
    await flux.request("GitRepository", "by-id", "by-owner")
    await flux.run(patience=0.3)
    assert hub.given == given  # tokens are kept
    for name, (_, text) in wrong.items():
        found = await flux.repository(name)
        assert ready(found) == ("False", "AuthenticationFailed"), message(found)
        assert text in message(found), message(found)
        assert "PRIVATE KEY" not in message(found)


async def test_a_provider_that_does_not_fit_is_named(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.secret("app", {"githubAppID": "123"})
    await flux.secret("user", {"username": "me", "password": "x"})
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "no-secret": ({"provider": "github"}, "secretRef with github app data must be specified"),
        "no-app": ({"provider": "github", "secretRef": {"name": "user"}}, "secretRef with github app data"),
        "no-provider": ({"secretRef": {"name": "app"}}, "has github app data but provider is not set to github"),
        "aws": ({"provider": "aws"}, "provider 'aws' is not supported"),
        "plain": ({"provider": "azure"}, "provider azure needs an https URL"),
    }
    for name, (spec, _) in cases.items():
        await flux.source(repo, name, **spec)
    await flux.run(patience=0.3)
    for name, (_, text) in cases.items():
        found = await flux.repository(name)
        assert ready(found) == ("False", "InvalidProviderConfiguration"), name
        assert text in message(found)


async def test_azure_devops_by_managed_identity(
    flux: Flux, repo: Repo, git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.push({"a.yaml": config_map("a")})
    azure, authority = Azure(tmp_path), Authority(tmp_path)
    await azure.start()
    devops = GitServer(git_server.root, access=Access(bearer="token-0"), tls=authority.server_context())
    url = await devops.start()
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, azure.environment[name])
    identity.credential.cache_clear()
    (tmp_path / "trust.pem").write_bytes(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trust.pem"))
    monkeypatch.setenv("FLUXLESS_TOKEN_HOSTS", "devops=127.0.0.1")
    transport._context.cache_clear()
    try:
        await flux.source(repo, url=repo.url.replace(git_server.url, url), provider="azure")
        await flux.run(patience=0.3)
        found = await flux.repository()
        assert ready(found) == ("True", "Succeeded"), message(found)
        assert azure.earned == ["managed identity"]
    finally:
        transport._context.cache_clear()
        identity.credential.cache_clear()
        await devops.stop()
        await azure.stop()

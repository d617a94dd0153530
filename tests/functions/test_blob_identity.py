"""The app's store with an identity and no key (AZ-10): Azurite asks for Entra's tokens over HTTPS, as an account does
whose shared keys are disabled.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import jwt
import pytest
import pytest_asyncio
from aiohttp import web

from tests.support.tls import Authority
from tools.azurite import launcher
from tools.places import ROOT

AUDIENCE, ISSUER = "https://storage.azure.com", "https://sts.windows.net/00000000-0000-0000-0000-000000000001/"
SCRIPT = """
import asyncio
from functions.host import open_store
from fluxless.artifacts.store import StoreUnavailable

async def main():
    store = open_store()
    try:
        etag = await store.put("a/b.json", b"one")
        print(await store.get("a/b.json") == (b"one", etag))
    except StoreUnavailable as problem:
        print(problem.failures[0].message, "-", problem.failures[0].next_step)
    finally:
        await store.close()

asyncio.run(main())
"""


class Identities:
    """The identity endpoint of the app: tokens for the storage of a client id; `audience` is what they are good for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.audience = AUDIENCE

    async def give(self, request: web.Request) -> web.Response:
        """A token that Azurite takes for one of Entra's."""
        assert request.headers["X-IDENTITY-HEADER"] == "header"
        self.asked.append((request.query["resource"], request.query.get("client_id", "")))
        now = int(time.time())
        claims = {"aud": self.audience, "iss": ISSUER, "nbf": now - 60, "iat": now - 60, "exp": now + 3600}
        token = jwt.encode(claims, "a key that the emulator never looks at", algorithm="HS256")
        body = {"access_token": token, "token_type": "Bearer", "resource": self.asked[-1][0]}
        return web.json_response(body | {"expires_on": str(now + 3600)})


@pytest.fixture
def account(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of the account, and whom to trust."""
    authority = Authority(tmp_path)
    files = {"cert": tmp_path / "azurite.crt", "key": tmp_path / "azurite.key"}
    for file, data in zip(files.values(), authority.issue("azurite"), strict=True):
        file.write_bytes(data)
    trust = tmp_path / "authority.pem"
    trust.write_bytes(authority.certificate)
    connection = launcher.start(tmp_path / "azurite", tls=(files["cert"], files["key"]))
    yield connection.partition("BlobEndpoint=")[2].partition(";")[0], trust
    launcher.stop(tmp_path / "azurite", kill=True)


@pytest_asyncio.fixture
async def identities() -> AsyncIterator[tuple[Identities, str]]:
    """The endpoint and its address."""
    given = Identities()
    app = web.Application()
    app.router.add_get("/msi/token", given.give)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield given, f"http://127.0.0.1:{runner.addresses[0][1]}/msi/token"
    await runner.cleanup()


async def _said(account: tuple[str, Path], endpoint: str, **settings: str) -> str:
    url, trust = account
    environment = {
        "PATH": os.environ["PATH"],
        "IDENTITY_ENDPOINT": endpoint,
        "IDENTITY_HEADER": "header",
        "SSL_CERT_FILE": str(trust),
        "FLUXLESS_BLOB_ACCOUNT_URL": url,
        **settings,
    }
    command = [sys.executable, "-c", SCRIPT]
    done = await asyncio.to_thread(
        lambda: subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    )
    return done.stdout.strip() or done.stderr[-2000:]


async def test_an_identity_needs_no_key(account: tuple[str, Path], identities: tuple[Identities, str]) -> None:
    given, endpoint = identities
    assert await _said(account, endpoint) == "True"
    assert await _said(account, endpoint, FLUXLESS_IDENTITY_CLIENT_ID="client-1") == "True"
    assert given.asked == [(AUDIENCE, ""), (AUDIENCE, "client-1")]
    given.audience = "https://vault.azure.net"
    said = await _said(account, endpoint)
    assert "blob storage" in said
    assert "the app's identity" in said

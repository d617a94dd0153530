"""Workload identity in a pod, as AKS sets it up: the real SDK gives the token of the pod's account for one of Entra."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from fluxless.api.failure import Problem
from fluxless.auth.identity import blocking, credential
from fluxless.auth.purposes import ACR, MANAGEMENT
from tests.support.tls import Authority
from tools.places import ROOT

TENANT = "00000000-0000-0000-0000-0000000000aa"
CLIENT = "00000000-0000-0000-0000-0000000000bb"


class Entra:
    """Gives tokens for assertions; `asked` are the forms that came, `of_the_node` what the machine itself was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.of_the_node: list[str] = []
        self.refuses = False

    async def metadata(self, request: web.Request) -> web.Response:
        """In the place of the endpoint that gives a virtual machine its tokens."""
        self.of_the_node.append(request.path)
        return web.Response(status=404)

    async def token(self, request: web.Request) -> web.Response:
        assert request.match_info["tenant"] == TENANT
        self.asked.append(dict(await request.post()))
        if self.refuses:
            said = "AADSTS70021: No matching federated identity record found for presented assertion."
            return web.json_response({"error": "invalid_client", "error_description": said}, status=400)
        return web.json_response(
            {"access_token": f"token-{len(self.asked)}", "token_type": "Bearer", "expires_in": 3600}
        )


@pytest_asyncio.fixture
async def entra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Entra]:
    """What the mutating webhook of workload identity puts into a pod."""
    found, authority = Entra(), Authority(tmp_path)
    app = web.Application()
    app.router.add_post("/{tenant}/oauth2/v2.0/token", found.token)
    app.router.add_get("/metadata/{path:.*}", found.metadata)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.server_context()).start()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (tmp_path / "authority.pem").write_bytes(authority.certificate)
    (tmp_path / "token").write_text("the token of the pod")
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"https://127.0.0.1:{runner.addresses[0][1]}/")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{runner.addresses[1][1]}")
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    credential.cache_clear()
    yield found
    credential.cache_clear()
    await runner.cleanup()


SCRIPT = """
import asyncio, json, sys
from fluxless.api.failure import Problem
from fluxless.auth.identity import blocking, credential
from fluxless.auth.purposes import ACR

URL = "https://a.azurecr.io"

async def main(client):
    identity = credential(client)
    try:
        tokens = [await identity.token(ACR, URL) for _ in range(2)]
        tokens.append(await asyncio.to_thread(lambda: blocking(ACR, URL, client).get_token(ACR.scope).token))
        print(json.dumps({"tokens": tokens}))
    except Problem as problem:
        print(json.dumps({"message": problem.failures[0].message, "step": problem.failures[0].next_step}))
    finally:
        await identity.close()

asyncio.run(main(sys.argv[1] or None))
"""
"""In a process of its own: aiohttp reads whom to trust when it is imported."""


ROTATED = """
import asyncio, json, os, time
from pathlib import Path
from unittest import mock
from fluxless.auth.identity import credential
from fluxless.auth.purposes import ACR

URL = "https://a.azurecr.io"

async def main():
    identity, now = credential(), time.time
    tokens = [await identity.token(ACR, URL)]
    Path(os.environ["AZURE_FEDERATED_TOKEN_FILE"]).write_text("the next token of the pod")
    tokens.append(await identity.token(ACR, URL))
    with mock.patch("time.time", lambda: now() + 4000):
        tokens.append(await identity.token(ACR, URL))
    await identity.close()
    print(json.dumps({"tokens": tokens}))

asyncio.run(main())
"""
"""Likewise; more than an hour passes, after which Entra's token is of no use, and the pod's is another."""


async def _ask(*arguments: str, script: str = SCRIPT) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    found: dict[str, Any] = json.loads(printed)
    return found


@pytest.mark.parametrize(("client_id", "used"), [("", CLIENT), ("another", "another")])
async def test_the_token_of_the_pod_earns_one_of_entra(entra: Entra, client_id: str, used: str) -> None:
    answer = await _ask(client_id)
    assert answer["tokens"] == ["token-1", "token-1", "token-2"]  # one for the app, one for libraries that block
    assert entra.of_the_node == [], "nothing else is tried first"
    assert len(entra.asked) == 2
    for form in entra.asked:
        assert (form["client_assertion"], form["client_id"]) == ("the token of the pod", used)
        assert form["scope"] == ACR.scope


async def test_a_rotated_token_of_the_pod_is_read_anew(entra: Entra) -> None:
    answer = await _ask(script=ROTATED)
    assert answer["tokens"] == ["token-1", "token-1", "token-2"]  # a file that is new costs nothing before it is needed
    assert [form["client_assertion"] for form in entra.asked] == ["the token of the pod", "the next token of the pod"]


async def test_an_identity_that_does_not_trust_the_account_is_named(entra: Entra) -> None:
    entra.refuses = True
    answer = await _ask("client-1")
    assert f"no Entra token for {ACR.scope} as app/client-1" in answer["message"]
    assert "AADSTS70021" in answer["message"]
    assert ACR.role in answer["step"]
    assert "the token of the pod" not in str(answer)


@pytest.mark.parametrize("choose", [credential, partial(blocking, MANAGEMENT, "https://management.azure.com")])
def test_half_of_the_variables_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, choose: Callable[[str | None], Any]
) -> None:
    credential.cache_clear()
    for name in ("IDENTITY_ENDPOINT", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/var/run/token")
    with pytest.raises(Problem, match="workload identity is not set up"):
        choose(None)

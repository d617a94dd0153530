"""An encrypted file and the Secret with its keys say whom sops asks and by what: the child learns nothing of who the
app is, gets tokens for vaults alone, and reads no file of the host.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from fluxless.api.failure import Problem
from fluxless.auth import identity
from fluxless.kustomize.keyring import read_keys
from fluxless.reconcile.errors import Ended
from fluxless.reconcile.services import Services, Settings
from fluxless.render import sops
from tests.support.identity import HEADER, IdentityEndpoint, environment
from tests.support.proxies import Proxy
from tests.support.tls import Authority

THIEF = "keys.example.net"
TOKEN = "token-of-the-app-for-"
AKS = "6dae42f8-4368-4678-94ff-3960e28e3630"


class Thief:
    """Has a vault under a name of his own, with a certificate that everybody trusts. `identity` is the endpoint that
    gives the app its tokens; `seen` are the Authorization headers that came to the vault.
    """

    def __init__(self) -> None:
        self.identity = IdentityEndpoint(lambda resource, _: f"{TOKEN}{resource}")
        self.seen: list[str] = []
        self.resource = ""

    async def start(self, folder: Path) -> dict[str, str]:
        """The environment of the app."""
        authority = Authority(folder)
        trust = folder / "trust.pem"
        trust.write_bytes(authority.certificate)
        app = web.Application()
        app.router.add_get("/identity", self.identity.give)
        app.router.add_route("*", "/{path:.*}", self._vault)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        context = authority.server_context(names=(THIEF, "x.vault.azure.net"))
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        plain, tls = (address[1] for address in self._runner.addresses)
        self._proxy = Proxy("http", leads_to=tls)
        return {
            **environment(f"http://127.0.0.1:{plain}/identity"),
            "AZURE_CLIENT_ID": "client-of-the-app",
            "HTTPS_PROXY": await self._proxy.start(),
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(trust),
        }

    async def stop(self) -> None:
        self._proxy.stop()
        await self._runner.cleanup()

    async def _vault(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("Authorization", ""))
        challenge = f'Bearer authorization="https://login.microsoftonline.com/t", resource="{self.resource}"'
        return web.json_response({}, status=401, headers={"WWW-Authenticate": challenge})


@pytest_asyncio.fixture
async def thief(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Thief]:
    found = Thief()
    for name, value in (await found.start(tmp_path)).items():
        monkeypatch.setenv(name, value)
    identity.credential.cache_clear()
    yield found
    await identity.credential(None).close()
    identity.credential.cache_clear()
    await found.stop()


def _encrypted(vault: str) -> bytes:
    key = {"vault_url": vault, "name": "k", "version": "1", "created_at": "2026-01-01T00:00:00Z", "enc": "AAAA"}
    head = {"azure_kv": [key], "lastmodified": "2026-01-01T00:00:00Z", "mac": "ENC[x]", "version": "3.11.0"}
    return json.dumps({"data": "ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]", "sops": head}).encode()


async def _decrypted(data: bytes, secret: Mapping[str, bytes] | None = None) -> bytes:
    """As a Kustomization with `decryption` does, with the keys of a Secret or without one."""

    class Secrets:
        async def secret(self, *_: str) -> Mapping[str, bytes] | None:
            return secret

    none: Any = None
    run: Any = SimpleNamespace(
        spec={"decryption": {"provider": "sops", **({} if secret is None else {"secretRef": {"name": "keys"}})}},
        services=Services(none, none, Settings()),
        survey=SimpleNamespace(references=lambda _: Secrets()),
        ref=SimpleNamespace(namespace="tenant"),
        cluster=SimpleNamespace(name="one"),
        local=none,
        inputs="",
        digest=lambda text: text,
    )
    await read_keys(run)
    return await sops.decrypt(data, "json", run.decryption.keys, "a.json")


@pytest.mark.parametrize(
    ("vault", "resource"),
    [
        (f"https://{THIEF}.", AKS),  # a resource without a host is part of every name that ends in a dot, says the SDK
        (f"https://{THIEF}.", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"),  # the vaults' own, by its id
        (f"https://{THIEF}.", "https:management.azure.com"),
        (f"https://{THIEF}", "https://example.net"),
        ("https://x.vault.azure.net", "https://azure.net"),
        ("https://x.vault.azure.net", "https://net"),
    ],
)
async def test_a_file_that_names_a_vault_gets_no_other_token(
    thief: Thief, vault: str, resource: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sops, "SOPS_TIME", 3)  # the SDK tries for nine seconds
    thief.resource = resource
    with pytest.raises(Problem, match="cannot be decrypted"):
        await _decrypted(_encrypted(vault))
    assert bool(thief.seen) is vault.endswith(".vault.azure.net"), "only what is a Key Vault by its name is asked"
    assert thief.identity.asked == []
    assert not any(TOKEN in said for said in thief.seen)


async def test_a_vault_gets_its_token(thief: Thief) -> None:
    """So that the refusals above are of the resource, and of nothing else."""
    thief.resource = "https://vault.azure.net"
    with pytest.raises(Problem, match="cannot be decrypted"):
        await _decrypted(_encrypted("https://x.vault.azure.net"))
    assert thief.identity.asked == ["https://vault.azure.net"]
    assert f"Bearer {TOKEN}https://vault.azure.net" in thief.seen


async def test_the_child_learns_nothing_of_who_the_app_is(
    thief: Thief, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "sops"
    program.write_text("#!/bin/sh\n/usr/bin/env\n")
    program.chmod(0o700)

    async def printing(_: str) -> str:
        return str(program)

    monkeypatch.setattr(sops, "binary", printing)
    monkeypatch.setenv("FLUXLESS_PUSH_SECRET", "the-secret-of-the-app")
    said = (await _decrypted(b"{}")).decode()
    assert "IDENTITY_ENDPOINT" in said
    assert not any(word in said for word in (HEADER, "client-of-the-app", "the-secret-of-the-app"))


@pytest.mark.parametrize("key", ["{file}", '{"type": "external_account", "credential_source": {"file": "{file}"}}'])
async def test_a_credential_of_google_names_no_file(thief: Thief, tmp_path: Path, key: str) -> None:
    file = tmp_path / "credential.json"
    file.write_text("{}")
    with pytest.raises((Problem, Ended), match=r"sops\.gcp-kms"):
        await _decrypted(b"{}", {"sops.gcp-kms": key.replace("{file}", str(file)).encode()})


async def test_fields_that_go_would_read_in_another_case_are_left_out() -> None:
    from fluxless.render.keys import Keys

    key = {"type": "service_account", "private_key": "x", "TYPE": "external_account", "Token_URI": "file:///x"}
    found = dict(Keys.of_secret({"sops.gcp-kms": json.dumps(key).encode()}, "tenant/keys").environment)
    assert json.loads(found["GOOGLE_CREDENTIALS"]) == {"type": "service_account", "private_key": "x"}

"""Entra and a Key Vault on 127.0.0.1, with real RSA keys: what the azure SDKs of sops talk to in tests."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.identity import IdentityEndpoint, environment
from tests.support.proxies import Proxy
from tests.support.tls import Authority

VAULT = "keys.vault.azure.net"
ENTRA = "login.microsoftonline.com"
TENANT = "00000000-0000-0000-0000-000000000001"
KEY = f"https://{VAULT}/keys/sops/1"
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


class Azure:
    """The vault encrypts and decrypts for whoever Entra has given a token; `tokens` says by what it was earned.

    Every name of Azure leads here by a proxy, so that clients check hosts, certificates and challenges as they do
    in real life.
    """

    def __init__(self, folder: Path) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._authority = Authority(folder)
        self._context = self._authority.server_context(names=(VAULT, ENTRA))
        self.trust = folder / "authority.pem"
        self.trust.write_bytes(self._authority.certificate)
        self.earned: list[str] = []
        self.unwrapped: list[str] = []
        self.allowed = True
        self._tokens: dict[str, str] = {}
        self._identity = IdentityEndpoint(lambda _, client: self._earn(f"managed identity {client}".strip()))

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/identity", self._identity.give)
        app.router.add_get("/common/discovery/instance", self._instance)
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._tenant)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        app.router.add_post("/keys/sops/{version}/{operation}", self._operate)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context).start()
        plain, tls = (address[1] for address in self._runner.addresses)
        self._proxy = Proxy("http", leads_to=tls)
        self.environment = {
            **environment(f"http://127.0.0.1:{plain}/identity"),
            "HTTPS_PROXY": await self._proxy.start(),
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(self.trust),
        }

    async def stop(self) -> None:
        self._proxy.stop()
        await self._runner.cleanup()

    def _earn(self, how: str) -> str:
        token = f"token-{len(self.earned)}"
        self.earned.append(how)
        self._tokens[token] = how
        return token

    def _give(self, how: str) -> web.Response:
        return web.json_response({"access_token": self._earn(how), "token_type": "Bearer", "expires_in": 3600})

    async def _instance(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "tenant_discovery_endpoint": f"https://{ENTRA}/t/v2.0/.well-known/openid-configuration",
                "metadata": [
                    {"preferred_network": ENTRA, "preferred_cache": ENTRA, "aliases": [ENTRA]},
                ],
            }
        )

    async def _tenant(self, request: web.Request) -> web.Response:
        base = f"https://{ENTRA}/{request.match_info['tenant']}"
        return web.json_response(
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "issuer": f"{base}/v2.0",
            }
        )

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        who = str(form.get("client_id"))
        if form.get("client_assertion"):
            return self._give(f"assertion of {who}: {form['client_assertion']!s}")
        if form.get("client_secret") == "right":
            return self._give(f"secret of {who}")
        error = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
        return web.json_response(error, status=401)

    async def _operate(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self._tokens:
            challenge = f'Bearer authorization="https://{ENTRA}/{TENANT}", resource="https://vault.azure.net"'
            return web.json_response({}, status=401, headers={"WWW-Authenticate": challenge})
        if not self.allowed:
            words = {
                "error": {"code": "Forbidden", "message": "Caller is not authorized to perform action on resource."}
            }
            return web.json_response(words, status=403)
        body: dict[str, Any] = await request.json()
        value = base64.urlsafe_b64decode(body["value"] + "==")
        assert body["alg"] == "RSA-OAEP-256"
        if request.match_info["operation"] in {"decrypt", "unwrapkey"}:
            self.unwrapped.append(self._tokens[token])
            result = self._key.decrypt(value, OAEP)
        else:
            result = self._key.public_key().encrypt(value, OAEP)
        text = base64.urlsafe_b64encode(result).decode().rstrip("=")
        return web.json_response({"kid": KEY, "value": text})

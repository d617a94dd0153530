"""Entra and a Key Vault on 127.0.0.1, with real RSA keys: what the azure SDKs of sops talk to in tests."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

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

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/identity", self._managed)
        app.router.add_get("/common/discovery/instance", self._instance)
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._tenant)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)
        app.router.add_post("/keys/sops/{version}/{operation}", self._operate)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context).start()
        plain, tls = (address[1] for address in self._runner.addresses)
        self._tls_port = tls
        self._proxy = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        proxy = self._proxy.sockets[0].getsockname()[1]
        self.environment = {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{plain}/identity",
            "IDENTITY_HEADER": "header",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy}",
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(self.trust),
        }

    async def stop(self) -> None:
        self._proxy.close()
        await self._runner.cleanup()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """CONNECT to anything leads to our TLS port."""
        await reader.readuntil(b"\r\n\r\n")
        there, back = await asyncio.open_connection("127.0.0.1", self._tls_port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            except (ConnectionError, ssl.SSLError):
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, back), pump(there, writer))

    def _give(self, how: str, resource: str = "") -> web.Response:
        token = f"token-{len(self.earned)}"
        self.earned.append(how)
        self._tokens[token] = how
        body = {
            "access_token": token,
            "resource": resource,
            "token_type": "Bearer",
            "expires_in": 3600,
            "expires_on": int(time.time()) + 3600,
        }
        return web.json_response(body)

    async def _managed(self, request: web.Request) -> web.Response:
        assert request.headers["X-IDENTITY-HEADER"] == "header"
        resource = request.query.get("resource", "")
        return self._give(f"managed identity {request.query.get('client_id', '')}".strip(), resource)

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

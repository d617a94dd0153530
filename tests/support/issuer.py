"""An issuer of OpenID Connect tokens on 127.0.0.1, with keys that can be changed."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa


class Issuer:
    """`asked` counts how often its keys were fetched."""

    def __init__(self) -> None:
        self.asked = 0
        self._keys: dict[str, Any] = {}
        self.rotate("one")

    def rotate(self, name: str) -> None:
        """From now on sign with another key, and offer that one only."""
        self._name = name
        self._keys = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    async def start(self) -> str:
        """Its URL."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/keys", self._offer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _configuration(self, request: web.Request) -> web.Response:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def _offer(self, request: web.Request) -> web.Response:
        self.asked += 1
        keys = []
        for name, key in self._keys.items():
            entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
            keys.append({**entry, "kid": name, "use": "sig"})
        return web.json_response({"keys": keys})

    def token(self, *, key: Any = None, kid: str = "", **claims: Any) -> str:
        """A bearer token; by default of this issuer, for five minutes."""
        now = int(time.time())
        base = {"iss": self.url, "aud": "notification-controller", "sub": "me", "iat": now, "exp": now + 300}
        merged = {name: value for name, value in (base | claims).items() if value is not None}
        signing = key or self._keys[self._name]
        algorithm = "ES256" if isinstance(signing, ec.EllipticCurvePrivateKey) else "RS256"
        return "Bearer " + jwt.encode(merged, signing, algorithm=algorithm, headers={"kid": kid or self._name})

"""An identity endpoint on 127.0.0.1 for a child that asks Azure on our behalf: it gives tokens of one purpose, where
the app's own endpoint gives all. The child never sees that one's address and secret. `render/sops.py` opens it.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from fluxless.api.failure import Problem
from fluxless.auth.identity import Identity
from fluxless.auth.purposes import Purpose, hosts_of

if TYPE_CHECKING:
    from aiohttp import web

Gives = Callable[[], Awaitable[Identity]]
LIFE = 300
"""Seconds that a child may keep a token in mind; it lives for less."""


@contextlib.asynccontextmanager
async def identity_door(purpose: Purpose, gives: Gives) -> AsyncIterator[Mapping[str, str]]:
    """The environment of the child, which the door is open for while the context lasts; `gives` is asked when the child
    asks, and what it gives is closed if it is of one object. The child's SDK asks for the audience that a server names
    after it has compared that with the server's host; here it has to be one of the purpose's hosts.
    """
    from aiohttp import web

    header, path = secrets.token_urlsafe(24), secrets.token_urlsafe(24)

    async def answer(request: web.Request) -> web.Response:
        resource = request.query.get("resource", "").rstrip("/")
        if not secrets.compare_digest(request.headers.get("X-IDENTITY-HEADER", ""), header):
            return web.json_response({"message": "another child's door"}, status=403)
        if resource.partition("https://")[2] not in hosts_of(purpose):
            words = f"no token for {resource[:200]} is given, only for {purpose.name} of Azure"
            return web.json_response({"message": words}, status=403)
        try:
            identity = await gives()
            try:
                token = await identity.token(purpose._replace(scope=f"{resource}/.default"), resource)
            finally:
                if not identity.shared:
                    await identity.close()
        except Problem as problem:
            return web.json_response({"message": problem.failures[0].text()}, status=403)
        until = str(int(time.time()) + LIFE)
        body = {"access_token": token, "resource": resource, "token_type": "Bearer", "expires_on": until}
        return web.json_response(body)

    app = web.Application(client_max_size=1024)
    app.router.add_get(f"/{path}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{runner.addresses[0][1]}/{path}",
            "IDENTITY_HEADER": header,
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        }
    finally:
        await runner.cleanup()

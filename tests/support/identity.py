"""The identity endpoint of an app, as App Service has one: it gives tokens for whatever it is asked."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web

HEADER = "the-header-of-the-app"


class IdentityEndpoint:
    """`asked` are the resources that tokens were wanted for, and `clients` the client ids, "" for the app's own.

    `token` makes one, of a resource and a client id. Mount `give` at any path, and tell the app by `environment`.
    """

    def __init__(self, token: Callable[[str, str], str]) -> None:
        self.asked: list[str] = []
        self.clients: list[str] = []
        self._token = token

    async def give(self, request: web.Request) -> web.Response:
        """A token."""
        assert request.headers["X-IDENTITY-HEADER"] == HEADER
        resource, client = request.query["resource"], request.query.get("client_id", "")
        self.asked.append(resource)
        self.clients.append(client)
        body = {"access_token": self._token(resource, client), "resource": resource, "token_type": "Bearer"}
        return web.json_response(body | {"expires_on": str(int(time.time()) + 3600)})


def environment(address: str) -> dict[str, str]:
    """What an app knows of the endpoint at an address."""
    return {"IDENTITY_ENDPOINT": address, "IDENTITY_HEADER": HEADER}

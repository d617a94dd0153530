"""Application Insights on 127.0.0.1, and the endpoint of the app's identity: for Azure's exporter."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.identity import IdentityEndpoint, environment
from tests.support.tls import Authority

SCOPE = "https://monitor.azure.com/"
TOKEN = "the token of the app"


class Insights:
    """`items` are the telemetry items that were taken in; `refuses` is an HTTP status to answer with instead."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = Authority(folder)
        self._context = authority.server_context()
        self._trust = folder / "authority.pem"
        self._trust.write_bytes(authority.certificate)
        self.items: list[dict[str, Any]] = []
        self.identity = IdentityEndpoint(lambda *_: TOKEN)
        self.refuses = 0
        self.tried = 0

    async def start(self) -> None:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/{path:.*}v2.1/track", self._track)
        app.router.add_get("/identity", self.identity.give)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context).start()
        plain, tls = (address[1] for address in self._runner.addresses)
        self.connection = (
            f"InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint=https://127.0.0.1:{tls}/"
        )
        self.environment = {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": self.connection,
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",  # the SDK's own telemetry, for Microsoft
            **environment(f"http://127.0.0.1:{plain}/identity"),
            "FLUXLESS_TOKEN_HOSTS": "monitor=127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(self._trust),
        }

    async def stop(self) -> None:
        await self._runner.cleanup()

    def spans(self) -> list[dict[str, Any]]:
        """Every span that came: what it is called, ids, success, and its properties."""
        return [
            {
                "span": item["data"]["baseData"]["name"],
                "trace": item["tags"]["ai.operation.id"],
                "id": item["data"]["baseData"]["id"],
                "parent": item["tags"].get("ai.operation.parentId", ""),
                "success": item["data"]["baseData"]["success"],
                "type": item["data"]["baseType"],
                "share": item.get("sampleRate"),
                **item["data"]["baseData"]["properties"],
            }
            for item in self.items
            if item["data"]["baseType"] in {"RemoteDependencyData", "RequestData"}
        ]

    async def _track(self, request: web.Request) -> web.Response:
        self.tried += 1
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"errors": []}, status=401)
        if self.refuses:
            return web.json_response({"errors": []}, status=self.refuses)
        body = await request.read()
        text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        try:
            found = json.loads(text)
        except ValueError:
            found = [json.loads(line) for line in text.splitlines()]
        items = found if isinstance(found, list) else [found]
        self.items += items
        return web.json_response({"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []})

"""A door on 127.0.0.1 through which a program that we start reaches one API server: it sees neither token nor key.

The door's path is a random token and it opens for one program. It says who is asking (the field manager of writes) and
where records are kept (Secrets of one namespace stand in another), which the helm binary cannot be told.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from fluxless.kube.client import Cluster

if TYPE_CHECKING:
    from aiohttp import web

BODY_LIMIT = 32 * 1024 * 1024
"""Bytes of one request; an API server takes a tenth of that."""
CHUNK = 1 << 16
_KEPT = {"content-type", "accept", "accept-encoding", "user-agent"}
_RECORDS = re.compile(r"^/api/v1/namespaces/(?P<namespace>[^/]+)/secrets(?P<name>/sh\.helm\.release\.v1\.[^/]+)?$")
_NAMED = b"sh.helm.release.v1."
_HEAD = 256
"""Bytes of a new object within which its name stands, in JSON and in Protobuf: metadata comes first."""


@dataclass(frozen=True, slots=True)
class Door:
    """`manager` is the field manager of every write. Helm's records of `namespace` are kept in `records`."""

    manager: str
    namespace: str
    records: str

    def path(self, method: str, path: str, query: str, body: bytes) -> str:
        """Where a request goes: Helm's own records, which it lists by label, are in another namespace."""
        found = _RECORDS.match(path)
        if found is None or found["namespace"] != self.namespace or self.records == self.namespace:
            return path
        listed, made = method == "GET" and "owner%3Dhelm" in query, method == "POST" and _NAMED in body[:_HEAD]
        ours = found["name"] or listed or made
        return f"/api/v1/namespaces/{self.records}/secrets{found['name'] or ''}" if ours else path

    def query(self, query: str) -> str:
        """The query with our field manager in place of the program's."""
        if "fieldManager=" not in query:
            return query
        pairs = parse_qsl(query, keep_blank_values=True)
        return urlencode([(key, self.manager if key == "fieldManager" else value) for key, value in pairs])


@contextlib.asynccontextmanager
async def opened(cluster: Cluster, door: Door) -> AsyncIterator[str]:
    """The address of the cluster behind the door, good while the context lasts."""
    from aiohttp import web

    token = secrets.token_urlsafe(24)

    async def pass_on(request: web.Request) -> web.StreamResponse:
        path = "/" + request.match_info["path"]
        query = door.query(request.query_string)
        body = await request.read() if request.can_read_body else None
        target = door.path(request.method, path, request.query_string, body or b"") + (f"?{query}" if query else "")
        headers = {name: value for name, value in request.headers.items() if name.lower() in _KEPT}
        async with cluster.stream(request.method, target, headers, body) as answer:
            reply = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name in ("Content-Type", "Retry-After", "Warning"):
                if name in answer.headers:
                    reply.headers[name] = answer.headers[name]
            await reply.prepare(request)
            async for chunk in answer.content.iter_chunked(CHUNK):
                await reply.write(chunk)
            await reply.write_eof()
            return reply

    app = web.Application(client_max_size=BODY_LIMIT)
    app.router.add_route("*", f"/{token}/{{path:.*}}", pass_on)
    # the program has ended: a watch that it left open ends with it
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/{token}"
    finally:
        await runner.cleanup()

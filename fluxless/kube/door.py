"""A door on 127.0.0.1 through which a program that we start reaches one API server: it sees neither token nor key.

The door's path is a random token and it opens for one program. It says who is asking (the field manager of writes) and
where records are kept (Secrets of one namespace stand in another), which the helm binary cannot be told.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from fluxless import limits
from fluxless.kube import answers
from fluxless.kube.client import Cluster
from fluxless.kube.documents import Document, Documents
from fluxless.kube.errors import TooLarge

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import web

BODY_LIMIT = 32 * 1024 * 1024
"""Bytes of one request; an API server takes a tenth of that."""
CHUNK = 1 << 16
_KEPT = {"content-type", "accept", "accept-encoding", "user-agent"}
_RECORDS = re.compile(r"^/api/v1/namespaces/(?P<namespace>[^/]+)/secrets(?P<name>/sh\.helm\.release\.v1\.[^/]+)?$")
_WRITING = {"POST", "PUT", "PATCH"}
_NAMED = b"sh.helm.release.v1."
_HEAD = 256
"""Bytes of a new object within which its name stands, in JSON and in Protobuf: metadata comes first."""


@dataclass(frozen=True, slots=True)
class Door:
    """`manager` is the field manager of every write. Helm's records of `namespace` are kept in `records`.

    `seen` gets every object that the API server has answered a write with. `closed` says why nothing may be written
    any more, and nothing while it may. `documents` are shared with other doors of the same cluster.
    """

    manager: str
    namespace: str
    records: str
    seen: Callable[[dict[str, Any]], None] | None = None
    closed: Callable[[], str] | None = None
    documents: Documents = field(default_factory=Documents)

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
        path, method = request.rel_url.raw_path.removeprefix(f"/{token}"), request.method  # as it was written
        headers = {name: value for name, value in request.headers.items() if name.lower() in _KEPT}
        if door.documents.serves(method, path):
            return await _known(cluster, door.documents, str(request.rel_url).partition(token)[2], headers)
        if method != "GET" and door.closed is not None and (why := door.closed()):
            return web.json_response(_refusal(why), status=409)
        if _RECORDS.match(path):  # in a form that we can read as well
            headers["Accept"] = "application/json"
        query = door.query(request.query_string)
        body = await request.read() if request.can_read_body else None
        target = door.path(method, path, request.query_string, body or b"") + (f"?{query}" if query else "")
        async with cluster.stream(method, target, headers, body) as answer:
            reply = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name in ("Content-Type", "Retry-After", "Warning"):
                if name in answer.headers:
                    reply.headers[name] = answer.headers[name]
            await reply.prepare(request)
            with contextlib.suppress(ConnectionResetError):  # the program has ended and hears no more
                if door.seen is not None and _is_written(method, answer):
                    data = await answers.read(cluster.name, answer, limits.OBJECT)
                    door.seen(answers.decode(cluster.name, data, limits.OBJECT))
                    await reply.write(data)
                else:
                    await _pass_on(cluster, answer, reply)
                await reply.write_eof()
        door.documents.forget_if_defining(method, path)
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


async def _pass_on(cluster: Cluster, answer: aiohttp.ClientResponse, reply: web.StreamResponse) -> None:
    """As it comes. Raises `TooLarge` for more than a program should have to take."""
    size = 0
    async for chunk in answer.content.iter_chunked(CHUNK):
        size += len(chunk)
        if size > limits.TO_HELM:
            raise TooLarge(f"cluster {cluster.name!r}: the answer is larger than {limits.TO_HELM >> 20} MiB")
        await reply.write(chunk)


def _is_written(method: str, answer: aiohttp.ClientResponse) -> bool:
    """Whether the answer is an object as it was stored."""
    kind = answer.headers.get("Content-Type", "")
    return method in _WRITING and answer.status in {200, 201} and kind.startswith("application/json")


async def _known(cluster: Cluster, documents: Documents, target: str, headers: dict[str, str]) -> web.Response:
    from aiohttp import web

    async def ask() -> Document:
        async with asyncio.timeout(limits.KINDS_WITHIN), cluster.stream("GET", target, headers, None) as answer:
            body = await answers.read(cluster.name, answer, limits.ANSWER)
            return Document(answer.status, answer.headers.get("Content-Type", ""), body)

    document = await documents.get(target, headers.get("Accept", ""), ask)
    return web.Response(body=document.body, status=document.status, headers={"Content-Type": document.content_type})


def _refusal(why: str) -> dict[str, Any]:
    """As an API server refuses."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "Conflict",
        "code": 409,
        "message": why,
    }

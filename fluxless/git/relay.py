"""A door on 127.0.0.1 through which libgit2 reaches a remote: it cannot itself send a bearer token, trust a CA of one
remote or show a client certificate. The door's path is a random token, it opens for one fetch and knows one remote.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fluxless.git.auth import Auth, session
from fluxless.git.errors import AuthenticationRefused, GitProblem, RemoteUnavailable, RepositoryNotFound
from fluxless.transport import words

if TYPE_CHECKING:
    from aiohttp import web

_PASSED_ON = ("Content-Type", "Accept", "Content-Encoding", "Git-Protocol")
_RETURNED = ("Content-Type", "Content-Encoding", "Cache-Control")


@dataclass(slots=True)
class Door:
    """`problem` is what the remote meant, where libgit2 sees no more than a connection that ends."""

    url: str = ""
    problem: GitProblem | None = None


@contextlib.asynccontextmanager
async def relay(url: str, auth: Auth, *, timeout: float, advertised: bytes = b"") -> AsyncIterator[Door]:
    """The door, open while the context lasts. What the remote has `advertised` a moment ago it is not asked again."""
    import aiohttp
    from aiohttp import web

    door = Door()

    token = secrets.token_urlsafe(24)
    base = url.rstrip("/")

    async with session(auth, timeout) as http:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            path = request.match_info["path"]
            if advertised and path == "info/refs":
                return web.Response(body=advertised, content_type="application/x-git-upload-pack-advertisement")
            headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
            _acknowledge(request)
            target = f"{base}/{path}" + (f"?{request.query_string}" if request.query_string else "")
            body = await request.read() if request.can_read_body else None
            try:
                found = await http.request(request.method, target, headers=headers, data=body)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                door.problem = RemoteUnavailable(url, *words(error, timeout))
                return web.Response(status=502)
            async with found as answer:
                if answer.status in {401, 403}:
                    door.problem = AuthenticationRefused(url)
                elif answer.status in {404, 410}:
                    door.problem = RepositoryNotFound(url)
                reply = web.StreamResponse(status=answer.status, reason=answer.reason)
                for name in _RETURNED:
                    if name in answer.headers:
                        reply.headers[name] = answer.headers[name]
                await reply.prepare(request)
                async for chunk in answer.content.iter_chunked(1 << 16):
                    await reply.write(chunk)
                await reply.write_eof()
                return reply

        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", f"/{token}/{{path:.*}}", pass_on)
        # A fetch that was given up leaves its answer unread, and the runner would wait for it for a minute.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            door.url = f"http://127.0.0.1:{port}/{token}"
            yield door
        finally:
            await runner.cleanup()


def _acknowledge(request: web.Request) -> None:
    """Tell libgit2's socket at once that the head of a request has come: it sends the body only then (Nagle), and the
    kernel would wait 40 ms for something to send along (RFC 1122, 4.2.3.2). Linux.
    """
    connection = request.transport.get_extra_info("socket") if request.transport is not None else None
    if connection is not None and hasattr(socket, "TCP_QUICKACK"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

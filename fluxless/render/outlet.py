"""A proxy on 127.0.0.1 through which a program that we start reaches addresses that its input names: those alone that
the app may call. It is open while one call lasts.

Programs in Go go by no proxy to 127.0.0.1 and localhost unless they are told to in their own way: who relies on this
one says how it holds them to it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from fluxless import transport
from fluxless.addresses import AddressRefused, policy, refusal
from fluxless.limits import OUTLET_BYTES, OUTLET_HEAD

if TYPE_CHECKING:
    import aiohttp

CHUNK = 1 << 16
NOWHERE = "http://127.0.0.1:9"
"""A proxy for programs that are to reach nobody: the port of `discard`, where nobody listens."""
_HOP = {"connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "transfer-encoding", "upgrade"}


@dataclass(slots=True)
class Outlet:
    """`url` is the proxy's; `refused` are the addresses that were asked for in vain. `hosts` says of a name whether it
    may be asked for at all.
    """

    url: str = ""
    refused: list[AddressRefused] = field(default_factory=list)
    hosts: Callable[[str], bool] | None = None

    def check(self, host: str) -> None:
        """Raises `AddressRefused` for a host that may not be asked for."""
        if self.hosts is not None and not self.hosts(host.rstrip(".").lower()):
            raise AddressRefused(host, host, "it is no service that this program is to reach", "name another one")


@contextlib.asynccontextmanager
async def opened(
    *, timeout: float, redirects: bool = False, hosts: Callable[[str], bool] | None = None
) -> AsyncIterator[Outlet]:
    """The proxy, while the context lasts; `timeout` in seconds is for one connection. Without `redirects` an answer
    that leads elsewhere is an error: a program might follow it without this proxy.
    """
    outlet = Outlet(hosts=hosts)
    async with transport.session(timeout=timeout, decompress=False) as http:
        working: set[asyncio.Task[None]] = set()

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(_serve(outlet, http, reader, writer, timeout, redirects))
            working.add(task)
            task.add_done_callback(working.discard)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=OUTLET_HEAD)
        outlet.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield outlet
        finally:
            server.close()
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)


async def _serve(
    outlet: Outlet,
    http: aiohttp.ClientSession,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    timeout: float,
    redirects: bool,
) -> None:
    import aiohttp

    try:
        async with asyncio.timeout(timeout):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, _, rest = head[0].partition(" ")
            target = rest.rpartition(" ")[0]
            if method == "CONNECT":
                await _tunnel(outlet, target, reader, writer, timeout)
            else:
                outlet.check(urlsplit(target).hostname or "")
                await _pass_on(http, method, target, head[1:], reader, writer, redirects)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
        if (refused := refusal(error)) is not None:
            outlet.refused.append(refused)
        status = b"502 Bad Gateway" if refused is None else b"403 Forbidden"  # the first one is tried again
        with contextlib.suppress(OSError):
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
            await writer.drain()
    finally:
        writer.close()


async def _pass_on(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    lines: list[str],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    redirects: bool,
) -> None:
    """A request in plain HTTP."""
    if urlsplit(url).scheme != "http":
        raise ValueError(url)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    size = int(headers.pop("content-length", "0"))
    if size < 0 or size > OUTLET_BYTES or "transfer-encoding" in headers:
        raise ValueError("a body without a size")
    body = await reader.readexactly(size)
    kept = {name: value for name, value in headers.items() if name not in _HOP}
    async with http.request(method, url, headers=kept, data=body or None, allow_redirects=False) as answer:
        if 300 <= answer.status < 400 and not redirects:
            raise ValueError("a redirect")
        writer.write(f"HTTP/1.1 {answer.status} {answer.reason or ''}\r\n".encode("latin-1", "replace"))
        for name, value in answer.headers.items():
            if name.lower() not in _HOP and name.lower() != "content-length":
                writer.write(f"{name}: {value}\r\n".encode("latin-1", "replace"))
        writer.write(b"Connection: close\r\n\r\n")
        left = OUTLET_BYTES
        async for chunk in answer.content.iter_chunked(CHUNK):
            left -= len(chunk)
            if left < 0:
                return  # the program sees an answer that ends in the middle, or as much as it wanted
            writer.write(chunk)
            await writer.drain()


async def _tunnel(
    outlet: Outlet, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float
) -> None:
    name, _, port = target.rpartition(":")
    host = name.strip("[]")
    outlet.check(host)
    there, back = await _connected(host, int(port), timeout)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
    finally:
        back.close()


async def _connected(host: str, port: int, timeout: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To a host whose address is judged, by the app's own proxy where it has one."""
    from fluxless.connections import dial

    own = getproxies_environment().get("https")
    if not own or proxy_bypass(host):
        return await asyncio.open_connection(sock=await dial(host, port, timeout=timeout))
    policy().judge_name(host, port)
    proxy = urlsplit(own)
    there, back = await asyncio.open_connection(
        proxy.hostname, proxy.port or 80, ssl=True if proxy.scheme == "https" else None
    )
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair).decode()}")
    back.write("\r\n".join([*lines, "", ""]).encode())
    status = (await there.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
    if status != b"200":
        back.close()
        raise OSError(f"the app's proxy answers {status.decode(errors='replace')}")
    return there, back


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    left = OUTLET_BYTES
    while left > 0 and (data := await source.read(CHUNK)):
        left -= len(data)
        sink.write(data)
        await sink.drain()
    sink.write_eof()

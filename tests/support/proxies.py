"""Proxies on 127.0.0.1 that count: HTTP (CONNECT and plain) and SOCKS5 (RFC 1928, RFC 1929)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class Proxy:
    """`seen` are the targets as `host:port`."""

    def __init__(self, kind: str, username: str = "", password: str = "", *, leads_to: int = 0) -> None:
        """`leads_to` is a port of ours that all that is asked for by CONNECT leads to, whatever it is called."""
        self.kind = kind
        self._leads_to = leads_to
        self.seen: list[str] = []
        self._username = username
        self._password = password

    async def start(self) -> str:
        serve = self._http if self.kind == "http" else self._socks
        self._server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return f"{self.kind}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.close()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        method, target, _ = lines[0].split(" ")
        pair = base64.b64encode(f"{self._username}:{self._password}".encode()).decode()
        if self._username and f"proxy-authorization: basic {pair}".lower() not in head.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        if method == "CONNECT":
            host, _, port = target.partition(":")
            way = ("127.0.0.1", self._leads_to) if self._leads_to else (host, int(port))
            there, back = await asyncio.open_connection(*way)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            parts = urlsplit(target)
            host, port = parts.hostname or "", str(parts.port or 80)
            there, back = await asyncio.open_connection(host, int(port))
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            kept = [line for line in lines[1:] if not line.lower().startswith(("proxy-", "connection:"))]
            back.write("\r\n".join([f"{method} {path} HTTP/1.1", "Connection: close", *kept]).encode())
        self.seen.append(f"{host}:{port}")
        await _join(reader, writer, there, back)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x02" if self._username else b"\x05\x00")
        if self._username:
            _, length = await reader.readexactly(2)
            username = await reader.readexactly(length)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            if (username.decode(), password.decode()) != (self._username, self._password):
                writer.write(b"\x01\x01")
                writer.close()
                return
            writer.write(b"\x01\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = ".".join(str(part) for part in await reader.readexactly(4))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        there, back = await asyncio.open_connection(host, port)
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        self.seen.append(f"{host}:{port}")
        await _join(reader, writer, there, back)


@contextlib.asynccontextmanager
async def proxy(kind: str, username: str = "", password: str = "") -> AsyncIterator[tuple[str, Proxy]]:
    """(address, proxy), while the context lasts."""
    running = Proxy(kind, username, password)
    address = await running.start()
    try:
        yield address, running
    finally:
        running.stop()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: asyncio.StreamReader, back: asyncio.StreamWriter
) -> None:
    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        sink.close()

    await asyncio.gather(pump(reader, back), pump(there, writer))

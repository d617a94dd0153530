"""Opens connections to addresses that come out of objects, after `addresses.py` has judged the very address that is
connected to: a name is resolved once, so that no second answer of a DNS server gets another one in.

For aiohttp connectors, for asyncssh and SOCKS a socket, for urllib3 its classes. `transport.py` and the rooms of
protocols import it where they connect.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import aiohappyeyeballs
import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from fluxless import limits
from fluxless.addresses import AddressRefused, policy
from fluxless.fair_slots import FairSlots, tenant
from fluxless.transport import Proxy

SECOND_FAMILY_AFTER = 0.25
"""Seconds after which the other of IPv6 and IPv4 is tried as well (RFC 8305)."""


def reachable(host: str, answers: Sequence[Any]) -> list[Any]:
    """Those of getaddrinfo's answers that may be called. Raises `AddressRefused` if none may."""
    kept: list[Any] = []
    refused: AddressRefused | None = None
    for info in answers:
        try:
            policy().judge(host, str(info[4][0]), int(info[4][1]))
            kept.append(info)
        except AddressRefused as problem:
            refused = refused or problem
    if refused is not None and not kept:
        raise refused
    return kept


_lookups = ThreadPoolExecutor(limits.LOOKUPS, "fluxless-lookup")
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, FairSlots] = WeakKeyDictionary()


async def found(host: str, port: int, family: int = 0, flags: int = 0) -> list[Any]:
    """What getaddrinfo says of a host, asked in threads of its own: one that nobody answers holds its thread for as
    long as the system's resolver is patient, whoever gave up waiting, and with it a slot of its tenant. Raises OSError.
    """
    loop, who = asyncio.get_running_loop(), tenant.get()
    slots = _slots.setdefault(loop, FairSlots(limits.LOOKUPS))

    def ask() -> list[Any]:
        return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, flags))

    await slots.acquire(who)
    asked = loop.run_in_executor(_lookups, ask)
    asked.add_done_callback(lambda done: _looked(slots, who, done))
    return await asyncio.shield(asked)


def _looked(slots: FairSlots, who: str, done: asyncio.Future[list[Any]]) -> None:
    slots.release(who)
    if not done.cancelled():
        done.exception()  # heard, though nobody may be waiting any more


async def dial(host: str, port: int, *, timeout: float) -> socket.socket:
    """A connected socket. Raises OSError, `AddressRefused` among them, and TimeoutError."""
    async with asyncio.timeout(timeout):
        kept = reachable(host, await found(host, port))
        return await aiohappyeyeballs.start_connection(kept, happy_eyeballs_delay=SECOND_FAMILY_AFTER)


class _Dialler:
    """What python-socks takes for a proxy before the proxy."""

    async def connect(self, dest_host: str, dest_port: int, timeout: float | None = None, **_: Any) -> socket.socket:
        return await dial(dest_host, dest_port, timeout=timeout or 60.0)


async def through(proxy: Proxy, host: str, port: int, *, timeout: float) -> socket.socket:
    """A socket that a SOCKS5 or HTTP proxy has connected to a host, whose name the proxy resolves. The proxy's own
    address is judged; what it reaches is its affair. Raises OSError and TimeoutError.
    """
    from python_socks import ProxyError, ProxyTimeoutError
    from python_socks.async_.asyncio import Proxy as Tunnel

    try:
        tunnel = Tunnel.from_url(proxy.url, forward=_Dialler())
        return await tunnel.connect(host, port, timeout=timeout)
    except ProxyTimeoutError as error:
        raise TimeoutError(str(error)) from error
    except ProxyError as error:
        raise OSError(f"the proxy says: {error}") from error


class Connector(aiohttp.TCPConnector):
    """Judges what it connects to. `own_proxy` says that a proxy is the app's own: it is trusted, but addresses that are
    written out are judged, since it may be as near to what is near the app as the app is.
    """

    def __init__(self, *, own_proxy: bool = False, **named: Any) -> None:
        super().__init__(resolver=_Resolver(), **named)
        self._own_proxy = own_proxy

    async def _create_proxy_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        if self._own_proxy:
            policy().judge_name(req.url.host or "", req.url.port or 0)
        return await super()._create_proxy_connection(req, traces, timeout)

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[Any],
        req: Any,
        client_error: Any = aiohttp.ClientConnectorError,
        **named: Any,
    ) -> Any:
        """Called with the addresses that are connected to, those that were written out included."""
        to_proxy = client_error is aiohttp.ClientProxyConnectionError
        if not (self._own_proxy and to_proxy):
            addr_infos[:] = reachable(req.url.host or "", addr_infos)
        return await super()._wrap_create_connection(
            *args, addr_infos=addr_infos, req=req, client_error=client_error, **named
        )


class SocksConnector(aiohttp.TCPConnector):
    """Connects by a SOCKS proxy."""

    def __init__(self, proxy: Proxy, context: ssl.SSLContext, **named: Any) -> None:
        super().__init__(ssl=context, resolver=_Unresolved(), **named)
        self._through = proxy

    async def _wrap_create_connection(
        self, *args: Any, addr_infos: list[Any], req: Any, timeout: Any, client_error: Any = None, **named: Any
    ) -> Any:
        host, port = addr_infos[0][4][:2]
        sock = await through(self._through, host, port, timeout=timeout.sock_connect or timeout.total or 60.0)
        try:
            return await asyncio.get_running_loop().create_connection(*args, sock=sock, **named)
        except ssl.SSLCertVerificationError as error:
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from error
        except ssl.SSLError as error:
            raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from error


class _Resolver(AbstractResolver):
    """Asks as everybody here does."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=str(place[0]), port=place[1], family=kind, proto=proto, flags=numeric)
            for kind, _, proto, _, place in await found(host, port, family, socket.AI_ADDRCONFIG)
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Unresolved(AbstractResolver):
    """Leaves names as they are: the proxy resolves them."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is held."""

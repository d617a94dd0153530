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
from typing import Any

import aiohappyeyeballs
import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from fluxless.addresses import AddressRefused, policy
from fluxless.transport import Proxy

SECOND_FAMILY_AFTER = 0.25
"""Seconds after which the other of IPv6 and IPv4 is tried as well (RFC 8305)."""


def reachable(host: str, found: Sequence[Any]) -> list[Any]:
    """Those of getaddrinfo's answers that may be called. Raises `AddressRefused` if none may."""
    kept: list[Any] = []
    refused: AddressRefused | None = None
    for info in found:
        try:
            policy().judge(host, str(info[4][0]), int(info[4][1]))
            kept.append(info)
        except AddressRefused as problem:
            refused = refused or problem
    if refused is not None and not kept:
        raise refused
    return kept


async def dial(host: str, port: int, *, timeout: float) -> socket.socket:
    """A connected socket. Raises OSError, `AddressRefused` among them, and TimeoutError."""
    async with asyncio.timeout(timeout):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return await aiohappyeyeballs.start_connection(reachable(host, found), happy_eyeballs_delay=SECOND_FAMILY_AFTER)


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
        super().__init__(**named)
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


class _Unresolved(AbstractResolver):
    """Leaves names as they are: the proxy resolves them."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is held."""

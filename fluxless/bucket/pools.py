"""Connections of urllib3, which MinIO's client uses, to addresses that are judged before (`addresses.py`)."""

from __future__ import annotations

import socket
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from fluxless.connections import reachable


class _Judged(HTTPConnection):
    """Resolves a name once, and connects to what was judged."""

    def _new_conn(self) -> socket.socket:
        host = self._dns_host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from error
        problem: OSError | None = None
        try:
            for info in reachable(host, found):
                try:
                    place = (str(info[4][0]), int(info[4][1]))
                    return create_connection(place, self.timeout, socket_options=self.socket_options)
                except OSError as error:
                    problem = error
        except OSError as error:  # refused
            problem = error
        if isinstance(problem, TimeoutError):
            raise ConnectTimeoutError(self, f"{self.host} does not answer in {self.timeout} s") from problem
        raise NewConnectionError(self, f"no connection: {problem}") from problem


class _JudgedTls(_Judged, HTTPSConnection):
    """Likewise."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Judged


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _JudgedTls


def judged(manager: Any) -> Any:
    """The pool or proxy manager, so that all its connections are judged: those to servers, proxies and redirects."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager

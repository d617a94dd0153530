"""Connections of urllib3, which MinIO's client uses, to addresses that are judged before (`addresses.py`), with answers
of bounded size. Threads that wait for a server for too long go on when one hangs up.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, ProtocolError
from urllib3.util.connection import create_connection

from fluxless import limits
from fluxless.connections import reachable


class Lines:
    """All sockets of one client."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []
        self._over = False
        self._turn = threading.Lock()

    def add(self, line: socket.socket) -> socket.socket:
        """The same. A copy is kept, since TLS takes a socket over. Raises OSError after the end."""
        with self._turn:
            if self._over:
                line.close()
                raise OSError("the connection was given up")
            self._open.append(line.dup())
        return line

    def hang_up(self) -> None:
        """Whoever reads or writes gets an error, now and from now on."""
        with self._turn:
            self._over = True
            for line in self._open:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
                line.close()
            self._open = []


class _Judged(HTTPConnection):
    """Resolves a name once, and connects to what was judged."""

    lines: Lines

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
                    return self.lines.add(create_connection(place, self.timeout, socket_options=self.socket_options))
                except OSError as error:
                    problem = error
        except OSError as error:  # refused
            problem = error
        if isinstance(problem, TimeoutError):
            raise ConnectTimeoutError(self, f"{self.host} does not answer in {self.timeout} s") from problem
        raise NewConnectionError(self, f"no connection: {problem}") from problem


class _JudgedTls(_Judged, HTTPSConnection):
    """Likewise."""


class _Bounded(HTTPConnectionPool):
    """Answers that the client wants whole, such as lists, have a limit."""

    def urlopen(self, *args: Any, preload_content: bool = True, **named: Any) -> Any:
        """See urllib3."""
        answer: Any = super().urlopen(*args, **{**named, "preload_content": False})
        if preload_content and answer._body is None:
            data = answer.read(limits.LISTING + 1, decode_content=True)
            if len(data) > limits.LISTING:
                answer.close()
                raise ProtocolError(f"the answer is larger than {limits.LISTING >> 20} MiB")
            answer._body = data
            answer.release_conn()
        return answer


class _BoundedTls(_Bounded, HTTPSConnectionPool):
    """Likewise."""


def judged(manager: Any, lines: Lines) -> Any:
    """The pool or proxy manager, so that all its connections are judged: those to servers, proxies and redirects."""
    plain, tls = type("Plain", (_Judged,), {"lines": lines}), type("Tls", (_JudgedTls,), {"lines": lines})
    manager.pool_classes_by_scheme = {
        "http": type("PlainPool", (_Bounded,), {"ConnectionCls": plain}),
        "https": type("TlsPool", (_BoundedTls,), {"ConnectionCls": tls}),
    }
    return manager

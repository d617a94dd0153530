"""What an API server says of its kinds, asked once for all programs that speak through a door (`door.py`).

Helm asks for all of it at every start: eight requests and a megabyte. An answer is as old as the object that holds it,
and forgotten when a definition is written.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_SPOKEN = re.compile(r"^/(version|api|apis|api/v1|apis/[^/]+/[^/]+|openapi/v3(/.*)?)$")
_DEFINING = re.compile(r"^/apis/(apiextensions\.k8s\.io/[^/]+/customresourcedefinitions|apiregistration\.k8s\.io/)")


@dataclass(frozen=True, slots=True)
class Document:
    """An answer as it came."""

    status: int
    content_type: str
    body: bytes


class Documents:
    """Answers by path and accepted type."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], asyncio.Future[Document]] = {}

    def serves(self, method: str, path: str) -> bool:
        """Whether a request is about kinds and not about objects."""
        return method == "GET" and _SPOKEN.match(path) is not None

    def forget_if_defining(self, method: str, path: str) -> None:
        """After a request that may have changed which kinds there are."""
        if method != "GET" and _DEFINING.match(path):
            self.forget()

    def forget(self) -> None:
        """Ask anew from now on."""
        self._known.clear()

    async def get(self, path: str, accept: str, ask: Callable[[], Awaitable[Document]]) -> Document:
        """The answer: the first who asks sends the request, the others wait for it. Raises what `ask` raises."""
        key = (path, accept)
        if key not in self._known:
            self._known[key] = asyncio.ensure_future(ask())
        asked = self._known[key]
        try:
            document = await asyncio.shield(asked)
        except BaseException:
            self._forget(key, asked)
            raise
        if document.status != 200:
            self._forget(key, asked)
        return document

    def _forget(self, key: tuple[str, str], asked: asyncio.Future[Document]) -> None:
        if self._known.get(key) is asked and (asked.done() or asked.cancelled()):
            del self._known[key]

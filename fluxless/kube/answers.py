"""Reads what an API server answers, which may be anybody: within bounds of bytes and values, and JSON or a problem."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from fluxless import limits, transport
from fluxless.kube.errors import TooLarge, Unreachable

MINUTE = 60.0
DEFAULT_PAUSE = 1.0
"""Seconds, where a server does not say in how many it may be asked again."""


class Overspent(TooLarge):
    """A cluster has answered too much lately: smaller pages would not help."""


class Budget:
    """How many values a cluster of somebody else may answer in a minute: a step keeps what it was answered for each
    object, and each of those answers may be as large as an object can be.
    """

    def __init__(self) -> None:
        self._since = float("-inf")
        self._spent = 0

    def spend(self, name: str, data: bytes) -> None:
        """Raises `Overspent` once there was too much."""
        now = time.monotonic()
        if now - self._since >= MINUTE:
            self._since, self._spent = now, 0
        self._spent += values(data)
        if self._spent > limits.REMOTE_VALUES:
            raise Overspent(f"cluster {name!r} answers more than {limits.REMOTE_VALUES} values in a minute")


async def read(name: str, answer: Any, limit: int) -> bytes:
    """The body, decompressed, of at most `limit` bytes. Raises `TooLarge`, and aiohttp's errors."""
    try:
        return await transport.read(answer, limit)
    except transport.AnswerTooLarge as error:
        raise TooLarge(f"cluster {name!r}: {error}") from error


def decode(name: str, data: bytes, limit: int) -> dict[str, Any]:
    """The JSON object of an answer that may have `limit` bytes. Raises `TooLarge` for one of so many values that it
    would take many times its size in memory, and `Unreachable` for what is no JSON object.
    """
    most = limits.VALUES_IN * (limit >> 20)
    if values(data) > most:
        raise TooLarge(f"cluster {name!r}: the answer has more than {most} values")
    try:
        found = json.loads(data) if data else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unreachable(f"cluster {name!r} answers no JSON object: no API server is there")
    return found


def values(data: bytes) -> int:
    """How many values JSON has at most: memory goes by them, and twenty bytes of it by one of text."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def pause(headers: Mapping[str, str]) -> float:
    """Seconds of `Retry-After`; one where it says nothing or names a date."""
    said = headers.get("Retry-After", "")
    return float(said) if said.isascii() and said.isdigit() and len(said) < 10 else DEFAULT_PAUSE

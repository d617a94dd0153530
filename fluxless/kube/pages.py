"""A list of an API server, page by page: within bounds of bytes, values, pages and time, whoever answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fluxless import limits
from fluxless.kube import answers
from fluxless.kube.errors import Gone, TooLarge, Unreachable

SMALLEST = 20
"""Objects of a page: no API server keeps such that so many of them are too large."""


async def all_of(
    name: str, what: str, ask: Callable[[Mapping[str, str]], Awaitable[bytes]], query: Mapping[str, str], limit: int
) -> list[dict[str, Any]]:
    """All objects, in pages of `limit`, or fewer where those are too large. `ask` gives the answer to a query, `name`
    is the cluster, `what` it lists. Raises `ApiProblem`.
    """
    asked = {**query, "limit": str(limit)}
    items: list[dict[str, Any]] = []
    until, size, values = time.monotonic() + limits.LIST_WITHIN, 0, 0
    for _ in range(limits.LIST_PAGES):
        if time.monotonic() > until:
            break
        try:
            data = await ask(asked)
            page = answers.decode(name, data, limits.ANSWER)
        except Gone:  # the continue token is too old: begin again
            if "continue" not in asked:
                raise
            del asked["continue"]
            items = []
            continue
        except answers.Overspent:
            raise
        except TooLarge:
            limit //= 4
            if limit < SMALLEST:
                raise
            asked["limit"] = str(limit)
            continue
        size, values = size + len(data), values + answers.values(data)
        if size > limits.LIST or values > limits.LIST_VALUES:
            raise TooLarge(f"cluster {name!r}: the list of {what} is too large")
        found, token = _read(name, page)
        items += found
        if not token:
            return items
        asked["continue"] = token
    words = f"cluster {name!r}: the list of {what} does not end"
    raise TooLarge(f"{words} within {limits.LIST_PAGES} pages or {limits.LIST_WITHIN} s")


def _read(name: str, page: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The objects of a page, and the token of the next one or nothing."""
    found, metadata = page.get("items") or [], page.get("metadata") or {}
    if not isinstance(found, list) or not isinstance(metadata, dict) or not all(map(_is_object, found)):
        raise Unreachable(f"cluster {name!r} answers no list of objects: no API server is there")
    return found, str(metadata.get("continue") or "")


def _is_object(item: Any) -> bool:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("name"), str)

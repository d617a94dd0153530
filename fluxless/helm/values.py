"""The values of a release: merged in order, and digested as Flux does (HR-71, HR-72). Pure.

The digest stands in `status.history`, where the real helm-controller left its own: it is of the bytes that Go's YAML
encoder writes, which ours are compared with in `tests/parity/valuesgo`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.go_yaml import dump, load

Values = dict[str, Any]
EMPTY = f"sha256:{hashlib.sha256(b'').hexdigest()}"


class ValuesProblem(Problem):
    """The values cannot be used; the words name where they come from."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(Failure(FailureClass.VALIDATION, message, next_step=next_step))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Values:
    """Mappings into mappings, anything else replaced, `above` wins. Neither is changed."""
    result = dict(below)
    for key, value in above.items():
        known = result.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        result[key] = merged(known, value) if both else value  # type: ignore[arg-type]
    return result


def parsed(text: str, what: str) -> Values:
    """The mapping in a YAML document; nothing is an empty one. Raises `Problem` naming `what`."""
    found = load(text, what)
    if found is not None and not isinstance(found, dict):
        raise ValuesProblem(f"{what} holds no mapping", "write values as `key: value`")
    return found or {}


def more_than(limit: int, values: Any) -> bool:
    """Whether there are more than that many lists, mappings, keys and scalars in the values."""
    left = [values]
    while left:
        each = left.pop()
        if isinstance(each, dict | list):
            limit -= len(each) + 1
            left += [inner for inner in (each.values() if isinstance(each, dict) else each) if inner]
        if limit < 0:
            return True
    return False


def digest(values: Mapping[str, Any]) -> str:
    """`sha256:<hex>` of the values; that of nothing when there are none. Raises `ValuesProblem` for what Go has no word
    for: numbers beyond 64 bits of floating point, halves of characters.
    """
    try:
        return f"sha256:{hashlib.sha256(encoded(values)).hexdigest()}" if values else EMPTY
    except (OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise ValuesProblem(f"the values cannot be written: {type(error).__name__}", "correct the values") from None


def encoded(values: Mapping[str, Any]) -> bytes:
    """YAML with sorted keys, byte for byte as Go writes it."""
    return dump(values).encode()

"""Fields of documents that we keep in the store. State is data, not truth: whoever wrote a document, another release of
ours included, its fields are taken for what they are only after a look at their type. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LARGEST = 2**53
"""The largest number that JSON carries faithfully."""


class Malformed(ValueError):
    """A field is not what this release writes there. Whoever reads the document counts it as lost."""


def text(value: Any) -> str:
    """A string. Raises `Malformed`."""
    if not isinstance(value, str):
        raise Malformed(f"{type(value).__name__} where a string stands")
    return value


def number(value: Any) -> float:
    """A number that is neither infinite nor none. Raises `Malformed`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        raise Malformed(f"{type(value).__name__} where a finite number stands")
    return float(value)


def whole(value: Any) -> int:
    """A whole number that is not negative. Raises `Malformed`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise Malformed(f"{type(value).__name__} where a whole number stands")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """An object. Raises `Malformed`."""
    if not isinstance(value, dict):
        raise Malformed(f"{type(value).__name__} where an object stands")
    return value


def listed(value: Any) -> list[Any]:
    """A list. Raises `Malformed`."""
    if not isinstance(value, list):
        raise Malformed(f"{type(value).__name__} where a list stands")
    return value


def texts(value: Mapping[str, Any]) -> dict[str, str]:
    """An object of strings. Raises `Malformed`."""
    return {key: text(each) for key, each in mapping(value).items()}

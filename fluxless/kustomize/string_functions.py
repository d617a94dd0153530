"""The functions of `${…}` expressions (KC-73, KC-74), each by its operator. Pure; `substitute.py` calls them.

Lengths and offsets count bytes of UTF-8, as in Flux; patterns are shell globs in which `*` also matches `/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

Function = Callable[[str, Sequence[str]], str]


class NegativeLength(ValueError):
    """A substring of negative length."""


def default(value: str, arguments: Sequence[str]) -> str:
    """The value, or the arguments when it is empty."""
    return value or "".join(arguments)


def length(value: str, _: Sequence[str]) -> str:
    """The number of bytes."""
    return str(len(value.encode()))


def _substring(value: str, arguments: Sequence[str]) -> str:
    """Bytes from an offset, which counts from the end when negative. What is no number leaves the value alone."""
    try:
        numbers = [_integer(argument) for argument in arguments]
    except ValueError:
        return value
    data = value.encode()
    offset = numbers[0] if numbers[0] >= 0 else max(0, len(data) + numbers[0])
    if len(numbers) == 1 or offset + numbers[1] >= len(data):
        return data[offset:].decode(errors="replace")
    if numbers[1] < 0:
        raise NegativeLength(f"negative length {numbers[1]} of a substring")
    return data[offset : offset + numbers[1]].decode(errors="replace")


def _integer(text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]+", text):
        raise ValueError(text)
    return int(text)


def _replace_first(value: str, arguments: Sequence[str]) -> str:
    return value.replace(arguments[0], arguments[1] if len(arguments) > 1 else "", 1)


def _replace_all(value: str, arguments: Sequence[str]) -> str:
    return value.replace(arguments[0], arguments[1] if len(arguments) > 1 else "")


def _replace_prefix(value: str, arguments: Sequence[str]) -> str:
    if len(arguments) == 2 and value.startswith(arguments[0]):
        return arguments[1] + value[len(arguments[0]) :]
    return value


def _replace_suffix(value: str, arguments: Sequence[str]) -> str:
    if len(arguments) == 2 and value.endswith(arguments[0]):
        return value[: len(value) - len(arguments[0])] + arguments[1]
    return value


@lru_cache(maxsize=512)
def _pattern(glob: str) -> re.Pattern[str] | None:
    """A glob as a regular expression, or None when it is malformed."""
    pieces: list[str] = []
    position = 0
    while position < len(glob):
        char = glob[position]
        position += 1
        if char == "*":
            pieces.append(".*")
        elif char == "?":
            pieces.append(".")
        elif char == "[":
            found = _character_class(glob, position)
            if found is None:
                return None
            piece, position = found
            pieces.append(piece)
        elif char == "\\":
            if position == len(glob):
                return None
            pieces.append(re.escape(glob[position]))
            position += 1
        else:
            pieces.append(re.escape(char))
    return re.compile("".join(pieces), re.DOTALL)


def _character_class(glob: str, position: int) -> tuple[str, int] | None:
    """`[a-z]` or `[^a-z]` from behind its bracket: the expression and the place behind it."""
    negated = glob[position : position + 1] == "^"
    position += negated
    ranges: list[str] = []
    while glob[position : position + 1] != "]" or not ranges:
        bounds: list[str] = []
        while not bounds or (len(bounds) == 1 and glob[position : position + 1] == "-"):
            position += len(bounds)  # the dash
            char = glob[position : position + 1]
            if char in {"", "-", "]"}:
                return None
            if char == "\\":
                position += 1
                char = glob[position : position + 1]
            position += 1
            if not char or position >= len(glob):
                return None
            bounds.append(char)
        if bounds[0] <= bounds[-1]:
            ranges.append(f"{re.escape(bounds[0])}-{re.escape(bounds[-1])}")
        else:
            ranges.append("")  # an empty range matches nothing, and is no error
    inner = "".join(ranges)
    if not inner:
        return (".", position + 1) if negated else (r"(?!)", position + 1)
    return f"[{'^' if negated else ''}{inner}]", position + 1


def _trim(value: str, glob: str, *, longest: bool, suffix: bool) -> str:
    """Without the longest or shortest prefix (or suffix) that the glob matches; empty matches do not count."""
    pattern = _pattern(_reverse_glob(glob) if suffix else glob)
    if pattern is None:
        return value
    text = value[::-1] if suffix else value
    lengths = range(len(text), 0, -1) if longest else range(1, len(text) + 1)
    matching = next((length for length in lengths if pattern.fullmatch(text, 0, length)), 0)
    return text[matching:][::-1] if suffix else text[matching:]


def _reverse_glob(glob: str) -> str:
    """Flux reverses the glob character by character, brackets and all; so do we."""
    return glob[::-1]


FUNCTIONS: dict[str, Function] = {
    ",": lambda value, _: value[:1].lower() + value[1:],
    ",,": lambda value, _: value.lower(),
    "^": lambda value, _: value[:1].upper() + value[1:],
    "^^": lambda value, _: value.upper(),
    ":": _substring,
    "#": lambda value, arguments: _trim(value, arguments[0], longest=False, suffix=False),
    "##": lambda value, arguments: _trim(value, arguments[0], longest=True, suffix=False),
    "%": lambda value, arguments: _trim(value, arguments[0], longest=False, suffix=True),
    "%%": lambda value, arguments: _trim(value, arguments[0], longest=True, suffix=True),
    "/": _replace_first,
    "//": _replace_all,
    "/#": _replace_prefix,
    "/%": _replace_suffix,
}

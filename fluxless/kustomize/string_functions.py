"""The functions of `${…}` expressions (KC-73, KC-74), each by its operator. Pure; `substitute.py` calls them.

Lengths and offsets count bytes of UTF-8, as in Flux; patterns are shell globs in which `*` also matches `/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from fluxless.patterns import InvalidPattern, shell

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


def _trim(value: str, glob: str, *, longest: bool, suffix: bool) -> str:
    """Without the longest or shortest prefix (or suffix) that the glob matches; empty matches do not count."""
    try:
        pattern = shell(_reverse_glob(glob) if suffix else glob, longest=longest)
    except InvalidPattern:
        return value
    text = value[::-1] if suffix else value
    found = pattern.prefix(text)
    if found == "" and not longest and pattern.matches(text[:1]):
        found = text[:1]
    rest = text[len(found or "") :]
    return rest[::-1] if suffix else rest


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

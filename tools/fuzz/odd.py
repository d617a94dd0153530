"""Makes odd things out of sound ones: bytes, scalars, trees of JSON. All by the given source of randomness."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

SCALARS: list[Any] = [
    *(None, True, False, 0, -1, 1, 1 << 31, 1 << 63, 1 << 64, 10**400, 1.5, -0.0, 1e308),
    *("", " ", "a", "0", "~", "null", "=", "<<", "..", "../..", "/", "\0", "\n", "\ud800", "\u2028", "\x85", "é" * 50),
    *("a" * 5000, "%s", "${x}", "{{ . }}", "[[[[", "sha256:" + "a" * 64, "ENC[AES256_GCM,data:,iv:,tag:,type:str]"),
    *([], {}, [[]], {"": None}, [None], {"a": {"a": {"a": {}}}}),
]
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def scalar(random: Random) -> Any:
    """A value of any kind."""
    return copy.deepcopy(random.choice(SCALARS))


def deep(random: Random) -> Any:
    """Something in something in something."""
    value: Any = scalar(random)
    for _ in range(random.choice((3, 50, 900))):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def changed(random: Random, value: Any, times: int = 0) -> Any:
    """A copy of a tree in which some values are others, are gone, or stand elsewhere."""
    result = copy.deepcopy(value)
    for _ in range(times or random.randint(1, 4)):
        result = _once(random, result)
    if result and random.random() < 0.03:  # last: nothing here could copy it
        place = random.choice(list(result)) if isinstance(result, dict) else 0
        if isinstance(result, dict | list):
            result[place] = deep(random)
    return result


def _once(random: Random, root: Any) -> Any:
    places: list[tuple[Any, Any]] = []
    stack = [root]
    while stack:
        current = stack.pop()
        keys = list(current) if isinstance(current, dict) else range(len(current)) if isinstance(current, list) else ()
        for key in keys:
            places.append((current, key))
            stack.append(current[key])
    if not places or random.random() < 0.03:
        return scalar(random)
    parent, key = random.choice(places)
    what = random.randrange(8)
    if what == 0:
        del parent[key]
    elif what == 1:
        other, from_key = random.choice(places)
        if (isinstance(other, dict) and from_key not in other) or (isinstance(other, list) and from_key >= len(other)):
            return root
        parent[key] = copy.deepcopy(other[from_key])
    elif what == 2:
        parent[key] = [parent[key]]
    elif what == 3 and isinstance(parent, dict):
        parent[str(scalar(random))] = parent.pop(key)
    else:
        parent[key] = scalar(random)
    return root


def as_json(value: Any) -> bytes:
    """The tree as JSON, however deep."""
    parts: list[str] = []
    stack: list[Any] = [("value", value)]
    while stack:
        kind, current = stack.pop()
        if kind == "text":
            parts.append(current)
        elif isinstance(current, dict):
            stack.append(("text", "}"))
            for number, (key, one) in enumerate(reversed(list(current.items()))):
                comma = "," if number else ""
                stack += [("text", comma), ("value", one), ("text", json.dumps(str(key)) + ":")]
            stack.append(("text", "{"))
        elif isinstance(current, list):
            stack.append(("text", "]"))
            for number, one in enumerate(reversed(current)):
                stack += [("text", "," if number else ""), ("value", one)]
            stack.append(("text", "["))
        else:
            parts.append(str(current) if isinstance(current, int) and abs(current) > 1 << 70 else json.dumps(current))
    return "".join(parts).encode()


def bent(random: Random, data: bytes, words: Sequence[bytes] = ()) -> bytes:
    """Bytes in which some are others, are gone, stand twice or elsewhere; `words` are put in."""
    result = bytearray(data)
    for _ in range(random.randint(1, 6)):
        random.choice(_BENDS)(random, result, words)
    return bytes(result)


def _flip(random: Random, data: bytearray, words: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _cut(random: Random, data: bytearray, words: Sequence[bytes]) -> None:
    start = random.randint(0, len(data))
    del data[start : start + random.choice((1, 4, 64, len(data)))]


def _twice(random: Random, data: bytearray, words: Sequence[bytes]) -> None:
    start, size = random.randint(0, len(data)), random.choice((1, 8, 200))
    data[start:start] = data[start : start + size] * random.choice((1, 3, 100))


def _word(random: Random, data: bytearray, words: Sequence[bytes]) -> None:
    at = random.randint(0, len(data))
    data[at : at + random.choice((0, 0, 4))] = random.choice(words) if words else random.randbytes(4)


def _number(random: Random, data: bytearray, words: Sequence[bytes]) -> None:
    size = random.choice((1, 2, 4))
    at = random.randint(0, max(0, len(data) - size))
    number = random.choice(NUMBERS) & ((1 << 8 * size) - 1)
    data[at : at + size] = number.to_bytes(size, random.choice(("big", "little")))


_BENDS: list[Callable[[Random, bytearray, Sequence[bytes]], None]] = [_flip, _cut, _twice, _word, _word, _number]

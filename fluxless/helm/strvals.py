"""Helm's language for single values, `a.b[0].c=value` (HR-71): `helm --set`, and `targetPath` of `valuesFrom`.

Must equal Helm's own reader; compared with it in `tests/parity/valuesgo`. Pure.
"""

from __future__ import annotations

import re
from typing import Any

from fluxless.limits import HELM_ITEMS

MAX_INDEX = 65536
MAX_DEPTH = 30
_SYNTAX = re.compile(r"[\\,\[\]{}]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}\Z")
"""Python reads no number of more than 4300 digits."""


class InvalidPath(ValueError):
    """The path or the value is not in the language, or stands for too much; the message repeats neither: the value may
    be a Secret's.
    """


def assign(values: dict[str, Any], path: str, value: str) -> None:
    """Set what Flux sets for a `targetPath`: a value in quotes is a string, any other is read as by `--set`. Changes
    `values`. Raises `InvalidPath`.
    """
    quoted = value[:1] == value[-1:] and value[:1] in {"'", '"'} and value != ""
    if quoted:
        value = value.strip("'\"")
    _Reader(f"{path}={value}", strings=quoted).into(values)


def assign_literal(values: dict[str, Any], path: str, value: str) -> None:
    """Set the value as it stands, whatever is in it (HR-29). Changes `values`. Raises `InvalidPath`."""
    escaped = _SYNTAX.sub(r"\\\g<0>", value)
    _Reader(f"{path}={escaped}", strings=True).into(values)


class _End(Exception):
    """The text is over; what was read before it counts."""


class _Reader:
    def __init__(self, text: str, *, strings: bool) -> None:
        self._text = text
        self._at = 0
        self._strings = strings
        self._left = HELM_ITEMS

    def into(self, values: dict[str, Any]) -> None:
        try:
            while True:
                self._key(values, 0)
        except _End:
            return

    # -- characters -------------------------------------------------------------------------------------------------

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise _End
        self._at += 1
        return self._text[self._at - 1]

    def _until(self, stops: str) -> tuple[str, str]:
        """(text before one of the stops, the stop or "" at the end); a backslash keeps the character after it."""
        found: list[str] = []
        while self._at < len(self._text):
            character = self._next()
            if character in stops:
                return "".join(found), character
            if character == "\\":
                if self._at >= len(self._text):
                    break
                character = self._next()
            found.append(character)
        return "".join(found), ""

    # -- keys -------------------------------------------------------------------------------------------------------

    def _key(self, data: dict[str, Any], depth: int) -> None:
        key, stop = self._until("=[,.")
        if stop == "":
            if key:
                raise InvalidPath("a key has no value")
            raise _End
        if stop == "[":
            index = self._index()
            known = data.get(key, [])
            if key in data and not isinstance(known, list):
                raise InvalidPath("an index stands after a key that is no list")
            try:
                made = self._item(self._copy(known), index, depth)
            except _Partly as partly:
                _put(data, key, partly.items)
                raise partly.cause from None
            _put(data, key, made)
        elif stop == "=":
            value, ended = self._value()
            _put(data, key, value)
            if ended:
                raise _End
        elif stop == ",":
            _put(data, key, "")
            raise InvalidPath("a key has no value (cannot end with ,)")
        else:
            self._inner(data, key, depth + 1)

    def _inner(self, data: dict[str, Any], key: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise InvalidPath(f"value name nested level is greater than maximum supported nested level of {MAX_DEPTH}")
        inner = data.get(key, {})
        if not isinstance(inner, dict):
            raise InvalidPath("a dot stands after a key that is no mapping")
        try:
            self._key(inner, depth)
        except (_End, InvalidPath):
            if inner:
                _put(data, key, inner)
            raise
        if not inner:
            raise InvalidPath("a key map has no value")
        _put(data, key, inner)

    # -- lists ------------------------------------------------------------------------------------------------------

    def _index(self) -> int:
        text, stop = self._until("]")
        if stop == "":
            raise _End
        if not _INTEGER.match(text):
            raise InvalidPath("an index is no number")
        return int(text)

    def _item(self, items: list[Any], index: int, depth: int) -> list[Any]:
        if index < 0:
            raise _Partly(items, InvalidPath("negative index not allowed"))
        text, stop = self._until("[.=")
        if text:
            raise _Partly(items, InvalidPath("unexpected data at end of array index"))
        if stop == "":
            raise _Partly(items, _End())
        if stop == "=":
            value, ended = self._value()
            made = self._set(items, index, value)
            if ended:
                raise _Partly(made, _End())
            return made
        if stop == "[":
            try:
                below = self._index()
            except (_End, InvalidPath) as cause:
                raise _Partly(items, cause) from None
            known = items[index] if index < len(items) and items[index] is not None else []
            if not isinstance(known, list):
                raise _Partly(items, InvalidPath("an index stands after an item that is no list"))
            try:
                inner = self._item(self._copy(known), below, depth)
            except _Partly as partly:
                raise _Partly(items, partly.cause) from None
            return self._set(items, index, inner)
        mapping = items[index] if index < len(items) else {}
        if not isinstance(mapping, dict):
            mapping = items[index] = {}
        try:
            self._key(mapping, depth)
        except (_End, InvalidPath) as cause:
            raise _Partly(items, cause) from None
        return self._set(items, index, mapping)

    def _set(self, items: list[Any], index: int, value: Any) -> list[Any]:
        if index > MAX_INDEX:
            words = f"an index is greater than maximum supported index of {MAX_INDEX}"
            raise _Partly(items, InvalidPath(words))
        more = max(index + 1 - len(items), 0)
        self._take(more)
        items += [None] * more
        items[index] = value
        return items

    def _copy(self, known: list[Any]) -> list[Any]:
        self._take(len(known))
        return list(known)

    def _take(self, items: int) -> None:
        """Before they are made. Raises `InvalidPath`."""
        self._left -= items
        if self._left < 0:
            raise InvalidPath(f"more than {HELM_ITEMS:,} items of lists are made or copied")

    # -- values -----------------------------------------------------------------------------------------------------

    def _value(self) -> tuple[Any, bool]:
        """(value, whether nothing but the end comes after it that ends the reading)."""
        if self._at >= len(self._text):
            return "", True
        if self._text[self._at] == "{":
            self._at += 1
            return self._list(), False
        text, _ = self._until(",")
        return self._typed(text), False

    def _list(self) -> list[Any]:
        items: list[Any] = []
        while True:
            text, stop = self._until(",}")
            if stop == "":
                raise InvalidPath("list must terminate with '}'")
            items.append(self._typed(text))
            if stop == "}":
                if self._text[self._at : self._at + 1] == ",":
                    self._at += 1
                return items

    def _typed(self, text: str) -> Any:
        if self._strings:
            return text
        word = text.lower()
        if word in {"true", "false"}:
            return word == "true"
        if word == "null":
            return None
        if text == "0":
            return 0
        if text and text[0] != "0" and _INTEGER.match(text) and -(1 << 63) <= int(text) < 1 << 63:
            return int(text)
        return text


class _Partly(Exception):
    """A list was cut short; what it holds counts all the same."""

    def __init__(self, items: list[Any], cause: _End | InvalidPath) -> None:
        super().__init__()
        self.items = items
        self.cause = cause


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    if key:
        data[key] = value

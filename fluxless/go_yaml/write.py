"""Values to a text that Go reads as the same values, byte for byte as its own encoder writes them. Pure.

What looks like a number, a date or a word to any YAML is quoted: `12:30:45`, `0o7`, `y`, `1e3`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from fluxless.go_yaml.scalars import INT64, general, is_date, plain

LINE = 80
"""Columns after which Go breaks a plain text."""
WIDE = 1 << 16
"""For people and for tools that compare lines: nothing is broken."""


def dump(value: Any, *, sort: bool = True, width: int = LINE) -> str:
    """One document; keys in the order of their bytes when `sort`, else as they stand."""
    events = [
        yaml.StreamStartEvent(encoding=None),
        yaml.DocumentStartEvent(explicit=False),
        *_events(value, sort),
        yaml.DocumentEndEvent(explicit=False),
        yaml.StreamEndEvent(),
    ]
    text: str = yaml.emit(events, Dumper=yaml.CSafeDumper, allow_unicode=True, width=width)
    return text.removesuffix("...\n") if text.endswith("\n...\n") else text  # a mark of its own, no end of a text


def _events(value: Any, sort: bool) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield yaml.MappingStartEvent(anchor=None, tag=None, implicit=True, flow_style=not value)
        for key in sorted(value, key=lambda each: str(each).encode()) if sort else value:
            yield _scalar(str(key), key=True)
            yield from _events(value[key], sort)
        yield yaml.MappingEndEvent()
    elif isinstance(value, list | tuple):
        yield yaml.SequenceStartEvent(anchor=None, tag=None, implicit=True, flow_style=not value)
        for item in value:
            yield from _events(item, sort)
        yield yaml.SequenceEndEvent()
    else:
        yield _scalar(value)


def _scalar(value: Any, *, key: bool = False) -> Any:
    style = None
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int | float):
        text = _number(value)
    else:
        text = str(value)
        style = '"' if key and text == "<<" else _style(text)  # Go writes this key plain and reads a merge
    return yaml.ScalarEvent(anchor=None, tag=None, implicit=(True, True), value=text, style=style)


def _number(value: float) -> str:
    """As Go writes one that came through JSON: whole numbers of 64 bits as such, any other in its shortest form."""
    if isinstance(value, int) and value in INT64:
        return str(value)
    value = float(value)
    if value.is_integer() and -(1 << 63) <= value < 1 << 64:
        return str(int(value))
    return general(value)


_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
"""Text to Go and a number to YAML 1.1."""


def _style(text: str) -> str | None:
    """None where the plain word would be read as text again."""
    if "\n" in text:
        return "|"
    return None if isinstance(plain(text), str) and not _BASE_60.match(text) and not is_date(text) else '"'

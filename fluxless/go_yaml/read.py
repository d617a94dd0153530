"""Texts to values, event by event: nothing recurses over what others nest, and aliases are counted before they expand.

1. The parser of libyaml says what stands there, an event at a time. An error is a `ManifestProblem` with file and line.
2. `Builder` makes values of the events. It counts every value as often as it will stand in the result and refuses a
   document of too many aliases by Go's own rule, and any text by the limits of `limits.py`.
3. What an alias names is copied: two places of a result never share a list or a mapping.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import IO, Any, TypeVar

import yaml

from fluxless.go_yaml.build import Builder, ManifestProblem
from fluxless.limits import YAML_BYTES, YAML_STREAM_NODES

Found = TypeVar("Found")
Source = str | bytes
"""A text. Bytes are read as they are: what is no UTF-8 is refused, as in Go."""
_APART = 32 * 1024
"""Characters from which a text is read off the event loop."""


def load_all(text: Source, name: str, *, strict: bool = False) -> Iterator[Any]:
    """The documents of a text, empty ones left out. Raises `ManifestProblem` naming file and line.

    A key that stands twice in a mapping is an error when `strict`, as for kustomize; else the last one counts.
    """
    builder = _opened(text, name, strict)
    while builder.enter():
        document = builder.document()
        if document is not None:
            yield document


def load(text: Source, name: str, *, strict: bool = False) -> Any:
    """The first document of a text, or None: Go reads no further. Raises `ManifestProblem`."""
    builder = _opened(text, name, strict)
    return builder.document() if builder.enter() else None


async def apart(read: Callable[[str, str], Found], text: str, name: str) -> Found:
    """`read(text, name)`, off the event loop when the text is long or may grow by aliases. Raises what that raises."""
    return await asyncio.to_thread(read, text, name) if "*" in text or len(text) > _APART else read(text, name)


def fields(stream: IO[bytes], name: str, inside: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The fields of the mapping in a stream as (path, value), those of its field `inside` one by one.

    So a mapping of any length fits into memory, a field at a time. No aliases: they would keep all that they may name.
    Raises `ManifestProblem`.
    """
    builder = Builder(yaml.CBaseLoader(stream), name, strict=False, total=YAML_STREAM_NODES, aliases=False)
    if not builder.enter():
        return
    event = builder.next()
    if not isinstance(event, yaml.MappingStartEvent):
        return
    while not isinstance(event := builder.next(), yaml.MappingEndEvent):
        key = builder.key(event)
        event = builder.next()
        if key != inside or not isinstance(event, yaml.MappingStartEvent):
            yield (key,), builder.value(event)
            continue
        while not isinstance(event := builder.next(), yaml.MappingEndEvent):
            yield (key, builder.key(event)), builder.value(builder.next())


def split(text: str) -> list[str]:
    """The documents of kustomize's output, as text. It never writes `---` in the first column of a value."""
    return [part for part in re.split(r"^---\n", text, flags=re.MULTILINE) if part.strip()]


def _opened(text: Source, name: str, strict: bool) -> Builder:
    if len(text) > YAML_BYTES:
        raise ManifestProblem(f"more than {YAML_BYTES >> 20} MiB of YAML", name, "split the file")
    try:
        return Builder(yaml.CBaseLoader(text), name, strict=strict)
    except UnicodeEncodeError:  # half a surrogate pair, which is no character
        raise ManifestProblem("not valid YAML: control characters are not allowed", name) from None

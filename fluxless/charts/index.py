"""The index of a repository of charts (HRP-21), read event by event: 50 MB of YAML fit into bounded memory.

It is kept as JSON with one chart per line, so that one chart is found without reading the others into memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fluxless.charts.errors import ChartProblem

LIMIT = 50 * 1024 * 1024
"""Bytes of an index (Flux's `--helm-index-max-size`)."""
DEEPEST = 50
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}


def reencode(source: Path, target: Path) -> int:
    """Read YAML or JSON, write JSON; the number of charts. Blocking. Raises `ChartProblem`."""
    count = 0
    with source.open("rb") as raw, target.open("w") as out:
        try:
            events = yaml.parse(raw, Loader=yaml.CSafeLoader)
            top: dict[str, Any] = {}
            first = True
            for key, value in _document(events):
                if key is None:
                    name, versions = value
                    listed = versions if isinstance(versions, list) else []
                    kept = [entry for entry in listed if isinstance(entry, dict) and entry.get("version")]
                    out.write(("{\n" if first else ",\n") + json.dumps(name) + ": " + json.dumps(kept))
                    first, count = False, count + 1
                else:
                    top[key] = value
        except yaml.YAMLError as error:
            words = " ".join(str(error).split())[:300]
            step = "the URL must be that of a Helm repository, which has an index.yaml"
            raise ChartProblem(f"failed to load Helm repository from index YAML: {words}", step) from None
        if not isinstance(top.get("apiVersion"), str):
            step = "the URL must be that of a Helm repository, which has an index.yaml"
            raise ChartProblem("failed to load Helm repository from index YAML: no API version specified", step)
        rest = json.dumps({key: top[key] for key in ("apiVersion", "generated") if key in top})
        out.write(("{\n" if first else ",\n") + '"": ' + rest + "\n}\n")
    return count


def lookup(index: Path, chart: str) -> list[dict[str, Any]] | None:
    """The versions of a chart, or None when there is no such chart; blocking."""
    start = json.dumps(chart) + ": "
    with index.open() as lines:
        for line in lines:
            if line.startswith(start):
                found: list[dict[str, Any]] = json.loads(line[len(start) :].rstrip().removesuffix(","))
                return found
    return None


def _document(events: Iterator[Any]) -> Iterator[tuple[str | None, Any]]:
    """The top-level fields, and each of `entries` by itself as (None, (name, versions))."""
    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            break
        if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            return
    while True:
        key = next(events)
        if not isinstance(key, yaml.ScalarEvent):
            return
        value = next(events)
        if key.value == "entries" and isinstance(value, yaml.MappingStartEvent):
            while isinstance(name := next(events), yaml.ScalarEvent):
                yield None, (name.value, _value(next(events), events, 0))
        else:
            yield key.value, _value(value, events, 0)


def _value(event: Any, events: Iterator[Any], depth: int) -> Any:
    """Plain words are what they say, all other scalars are text: in an index everything is."""
    if depth > DEEPEST:
        raise yaml.YAMLError(f"nested deeper than {DEEPEST}")
    if isinstance(event, yaml.ScalarEvent):
        return _WORDS.get(event.value, event.value) if event.implicit[0] else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_value(item, events, depth + 1))
        return items
    if isinstance(event, yaml.MappingStartEvent):
        fields: dict[str, Any] = {}
        while isinstance(key := next(events), yaml.ScalarEvent):
            fields[key.value] = _value(next(events), events, depth + 1)
        return fields
    raise yaml.YAMLError("aliases are not supported")

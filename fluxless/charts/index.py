"""The index of a repository of charts (HRP-21), read chart by chart: 50 MB of YAML fit into bounded memory.

It is kept as JSON with one chart per line, so that one chart is found without reading the others into memory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fluxless.charts.errors import ChartProblem
from fluxless.go_yaml import ManifestProblem, fields, text_of

LIMIT = 50 * 1024 * 1024
"""Bytes of an index (Flux's `--helm-index-max-size`)."""
_STEP = "the URL must be that of a Helm repository, which has an index.yaml"


def reencode(source: Path, target: Path) -> int:
    """Read YAML or JSON, write JSON; the number of charts. Blocking. Raises `ChartProblem`."""
    count = 0
    top: dict[str, Any] = {}
    with source.open("rb") as raw, target.open("w") as out:
        try:
            for path, value in fields(raw, "index.yaml", inside="entries"):
                if len(path) == 1:
                    top[path[0]] = value
                    continue
                kept = [_entry(entry) for entry in _list(value) if isinstance(entry, dict) and entry.get("version")]
                out.write(("{\n" if not count else ",\n") + json.dumps(path[1]) + ": " + json.dumps(kept))
                count += 1
        except ManifestProblem as problem:
            first = problem.failures[0]
            words = f"failed to load Helm repository from index YAML: {first.message} ({first.origin})"
            raise ChartProblem(words, _STEP) from None
        if not text_of(top.get("apiVersion")):
            raise ChartProblem("failed to load Helm repository from index YAML: no API version specified", _STEP)
        rest = json.dumps({key: top[key] for key in ("apiVersion", "generated") if key in top})
        out.write(("{\n" if not count else ",\n") + '"": ' + rest + "\n}\n")
    return count


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """One version of a chart; its fields are text but for lists, mappings and those that say yes or no."""
    return {key: text_of(each) if type(each) in {int, float} else each for key, each in entry.items()}


def lookup(index: Path, chart: str) -> list[dict[str, Any]] | None:
    """The versions of a chart, or None when there is no such chart; blocking."""
    start = json.dumps(chart) + ": "
    with index.open() as lines:
        for line in lines:
            if line.startswith(start):
                found: list[dict[str, Any]] = json.loads(line[len(start) :].rstrip().removesuffix(","))
                return found
    return None

"""What helm is given of a chart: all of it as files that we have read, packed subcharts too, and schemas that lead
nowhere. Helm's own reader of archives, which may see in one what ours does not, meets none but ours.
"""

from __future__ import annotations

import bisect
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from fluxless.charts.chart import Chart, File, read_archive
from fluxless.charts.errors import ChartProblem
from fluxless.limits import CHART_BYTES, CHART_DEPTH, CHART_FILES, CHART_SCHEMA_DEPTH

SCHEMA = "values.schema.json"
_DEFINITIONS = re.compile(r"(charts/[^/]+/)*crds/.+\.(ya?ml|json)", re.DOTALL)
_PACKED = re.compile(r"((?:charts/[^/]+/)*charts/)([^/_.][^/]*)\.tgz", re.DOTALL)
_REFERENCES = {"$ref", "$dynamicRef", "$recursiveRef"}
_DIALECT = re.compile(r"https?://json-schema\.org/[a-z0-9/-]+#?")
"""Of JSON Schema's own dialects, which helm brings along."""


def for_helm(chart: Chart, *, schemas: bool) -> list[File]:
    """The files as they stand in an archive; `schemas` says that helm will read them. Raises `ChartProblem`."""
    files = opened(chart)
    for path, content in files.items():
        if "\\" in path:  # helm takes it for a slash when the chart was packed on Windows
            raise ChartProblem(f"{chart.shown} has an illegal file {path!r}", "name it without a backslash")
        if schemas and path.rpartition("/")[2] == SCHEMA:
            files[path] = _closed(content, f"{path} of {chart.shown}")
    return [File(f"{chart.name}/{path}", files[path]) for path in sorted(files)]


def definitions(chart: Chart) -> Iterator[tuple[str, bytes]]:
    """The files in `crds/`, its own and those of the charts in it. Raises `ChartProblem`."""
    files = opened(chart)
    yield from ((path, files[path]) for path in sorted(files) if _DEFINITIONS.fullmatch(path))


def opened(chart: Chart) -> dict[str, bytes]:
    """The files with folders in place of packed subcharts, at any depth. Raises `ChartProblem`."""
    files, room = dict(chart.files), CHART_BYTES - sum(map(len, chart.files.values()))
    for _ in range(CHART_DEPTH):
        packed = [found for path in files if (found := _PACKED.fullmatch(path))]
        if not packed:
            return files
        names, taken = sorted(files), _Taken()
        for found in packed:
            path = found[0]
            shown = f"{path} of {chart.shown}"
            left = CHART_FILES - len(files)
            inner = read_archive(io.BytesIO(files.pop(path)), shown, most=room, files_left=left)
            room -= sum(map(len, inner.values()))
            folder = taken.free(f"{found[1]}{found[2].replace('.', '-')}", names)
            files |= {f"{folder}/{below}": content for below, content in inner.items()}
    words = f"{chart.shown} has packed charts in packed charts, more than {CHART_DEPTH} deep"
    raise ChartProblem(words, "unpack them in the chart's folder charts/")


class _Taken:
    """The folders that packed charts have become. It never tries a name twice: all of them may wish for the same."""

    def __init__(self) -> None:
        self._folders: set[str] = set()
        self._last: dict[str, int] = {}

    def free(self, wish: str, names: list[str]) -> str:
        """A name like this that no folder has, neither these nor those of the sorted `names`."""
        number = self._last.get(wish, 0)
        folder = f"{wish}-{number}" if number else wish
        while folder in self._folders or _holds(names, f"{folder}/"):
            number += 1
            folder = f"{wish}-{number}"
        self._last[wish] = number
        self._folders.add(folder)
        return folder


def _holds(names: list[str], prefix: str) -> bool:
    place = bisect.bisect_left(names, prefix)
    return place < len(names) and names[place].startswith(prefix)


def _closed(content: bytes, shown: str) -> bytes:
    """The schema, written as we have read it: helm would fetch what it refers to, from files and addresses near us.
    Raises `ChartProblem`.
    """
    step = "copy what it refers to into the schema, or set disableSchemaValidation in spec.install and spec.upgrade"
    try:
        schema = json.loads(content)
    except (ValueError, RecursionError):
        raise ChartProblem(f"{shown} is no JSON", "correct it") from None
    stack: list[tuple[Any, int]] = [(schema, 0)]
    while stack:
        value, depth = stack.pop()
        if depth > CHART_SCHEMA_DEPTH:
            raise ChartProblem(f"{shown} is more than {CHART_SCHEMA_DEPTH} levels deep", "make it flatter")
        if isinstance(value, dict):
            for key in _REFERENCES & value.keys():
                if isinstance(value[key], str) and not value[key].startswith("#"):
                    raise ChartProblem(f"{shown} refers to '{value[key][:200]}', outside of the chart", step)
            dialect = value.get("$schema")
            if isinstance(dialect, str) and not _DIALECT.fullmatch(dialect):
                raise ChartProblem(f"{shown} has a dialect of its own, '{dialect[:200]}'", step)
        below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        stack += [(one, depth + 1) for one in below]
    return json.dumps(schema).encode()

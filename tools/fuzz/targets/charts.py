"""Charts and indexes: their metadata, schemas and lists of versions."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from fluxless.api.failure import Problem
from fluxless.charts.chart import Chart
from fluxless.charts.index import lookup, reencode
from fluxless.charts.subcharts import definitions, for_helm
from tools.fuzz import odd

_CHART = {
    "apiVersion": "v2",
    "name": "web",
    "version": "1.0.0",
    "dependencies": [
        {"name": "leaf", "version": "1.x", "repository": "file://../leaf", "alias": "a", "condition": "x"}
    ],
}
_INDEX = {
    "apiVersion": "v1",
    "entries": {"web": [{"name": "web", "version": "1.0.0", "urls": ["web.tgz"], "digest": "00", "created": "2026"}]},
    "generated": "2026-01-01",
}
_SCHEMA = {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"$ref": "#/definitions/a"}}}
_FILES = ("Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json", "crds/a.yaml", "charts/leaf/Chart.yaml")


def inputs(random: Random) -> tuple[dict[str, bytes], bytes]:
    """The files of a chart, and an index."""
    bodies: list[Any] = [_CHART, _CHART, {"a": 1}, _SCHEMA, {"kind": "X"}, _CHART]
    files = {}
    for name, body in zip(_FILES, bodies, strict=True):
        if name == "Chart.yaml" or random.random() < 0.5:
            files[name] = odd.as_json(odd.changed(random, body) if random.random() < 0.6 else body)
    index = odd.as_json(odd.changed(random, _INDEX))
    return files, odd.bent(
        random, index, [b"&a ", b"*a", b"<<: *a", b"!!int ", b"? ", b"---\n"]
    ) if random.random() < 0.5 else index


def judge(data: tuple[dict[str, bytes], bytes], folder: Path) -> object:
    """What the controllers ask of both."""
    files, index = data
    said: list[Any] = []
    try:
        chart = Chart(dict(files), "the chart")
        said += [chart.name, chart.version, chart.missing(), chart.values_in("values.yaml")]
        said += [len(for_helm(chart, schemas=True)), list(definitions(chart))]
        chart.rename(name="other", version="2.0.0")
    except Problem as problem:
        said.append(str(problem))
    source, target = folder / "index.yaml", folder / "index.json"
    source.write_bytes(index)
    reencode(source, target)
    json.loads(target.read_text())
    return [*said, lookup(target, "web")]

"""The dashboard asks only for metrics and labels that `/api/metrics` has, in PromQL that parses."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fluxless import metrics
from fluxless.engine import exposition
from fluxless.engine.metering import Total
from fluxless.engine.schedule import Entry, Schedule
from fluxless.reconcile.world import Ref, World
from tests.support.app import routes
from tools import dashboard
from tools.places import ROOT

FOLDER = ROOT / "infra" / "monitoring"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
OBJECT: dict[str, Any] = {
    "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
    "kind": "Kustomization",
    "metadata": {"name": "web", "namespace": "apps"},
    "spec": {"suspend": False},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}


def shown() -> dict[str, set[str]]:
    """Every series that the app can show, with its labels."""
    series: dict[str, metrics.Series] = {}
    for metric in metrics.ALL.values():
        numbers = [1.0] * (len(metric.bounds) + 2 if metric.bounds else 1)
        of_object = metric.labels == metrics.OBJECT
        known = ("prod", "Kustomization", "web", "apps") if of_object else ("x",) * len(metric.labels)
        series[metric.name] = {known: numbers}
    gauges = {"process_cpu_seconds_total": 1.0, "process_resident_memory_bytes": 1.0, "gotk_token_cached_items": 1.0}
    ref = Ref.of(OBJECT)
    text = exposition.text(
        Total(series, {"w": gauges}), {"prod": World({ref: OBJECT}, 0.0)}, {"prod": Schedule({ref: Entry()})}, 0.0
    )
    found: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] |= set(sample.labels)
    return found


def selectors(expression: Any) -> Iterator[Any]:
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
        return
    parts = [getattr(expression, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
    for part in [*parts, *(getattr(expression, "args", None) or [])]:
        if part is not None:
            yield from selectors(part)


def parsed(query: str) -> Any:
    return promql_parser.parse(re.sub(r"\$__rate_interval|\$__range", "5m", query))


def wrong(query: str) -> list[str]:
    """What a query asks for in vain."""
    known = shown()
    found = []
    for selector in selectors(parsed(query)):
        labels = known.get(selector.name)
        if labels is None:
            found.append(selector.name)
            continue
        asked = {matcher.name for matcher in selector.matchers.matchers}
        found += [f"{selector.name}: {label}" for label in sorted(asked - labels)]
    return found


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_a_query_asks_for_what_is_there(title: str, query: str) -> None:
    assert list(selectors(parsed(query))), title
    assert wrong(query) == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("sum(rate(gotk_reconcile_duration_count[5m]))", ["gotk_reconcile_duration_count"]),
        ('max(fluxless_cluster_up{clutser="a"}) or vector(0)', ["fluxless_cluster_up: clutser"]),
        ("histogram_quantile(0.9, sum by (le) (rate(nothing_bucket[5m])))", ["nothing_bucket"]),
    ],
)
def test_mistakes_are_found(query: str, found: list[str]) -> None:
    assert wrong(query) == found


def test_grouping_and_legends_use_labels_of_the_metric() -> None:
    known = shown()
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            labels = set().union(*(known[selector.name] for selector in selectors(parsed(target["expr"]))))
            by = re.findall(r"by \(([^)]*)\)", target["expr"])
            assert {label.strip() for group in by for label in group.split(",")} <= labels, panel["title"]
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels, panel["title"]


def test_variables_are_labels_and_every_one_is_used() -> None:
    variables = DASHBOARD["templating"]["list"]
    queries = " ".join(query for _, query in QUERIES)
    for variable in variables[1:]:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
        assert label in shown()[metric]
        assert f'"${variable["name"]}"' in queries


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= dashboard.WIDTH
        taken |= cells


def test_queries_of_flux_s_own_dashboard_have_their_labels() -> None:
    known = shown()
    assert {"exported_namespace", "customresource_kind", "ready", "suspended"} <= known["gotk_resource_info"]
    assert {"kind", "name", "namespace"} <= known["gotk_reconcile_duration_seconds_sum"]
    assert {"controller", "result"} <= known["controller_runtime_reconcile_total"]
    assert {"kind", "name", "namespace", "type", "status"} <= known["gotk_reconcile_condition"]


def test_prometheus_reads_the_path_of_the_function() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["metrics_path"].lstrip("/") in routes()
    assert float(job["scrape_timeout"].rstrip("s")) > exposition.WITHIN
    assert "x-functions-key" in job["http_headers"]

"""Writes `infra/monitoring/dashboard.json`: Grafana's JSON is long and says little, so the panels are listed here.

`python -m tools.dashboard` writes it, `--check` fails when the file says something else.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from tools.places import ROOT

FILE = ROOT / "infra" / "monitoring" / "dashboard.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
MINE = 'cluster=~"$cluster"'
INFO = f'gotk_resource_info{{{MINE}, exported_namespace=~"$namespace"}}'


def info(**labels: str) -> str:
    """Objects of the chosen clusters and namespaces with these labels."""
    more = "".join(f', {label}="{value}"' for label, value in labels.items())
    return INFO.replace("}", f"{more}}}")


def count(selector: str) -> str:
    """How many, and zero instead of nothing."""
    return f"count({selector}) or vector(0)"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; `queries` are (legend, PromQL)."""

    title: str
    queries: tuple[tuple[str, str], ...]
    meaning: str = ""
    unit: str = "short"
    thresholds: tuple[tuple[str, float | None], ...] = ()
    kind: str = "timeseries"
    width: int = 12
    height: int = 8


def _stat(title: str, query: str, meaning: str = "", unit: str = "short", red_from: float | None = None) -> Panel:
    """One number."""
    thresholds = () if red_from is None else (("green", None), ("red", red_from))
    return Panel(title, (("", query),), meaning, unit, thresholds, "stat", 4, 4)


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{MINE}{more}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str, labels: str = MINE) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def _share(metric: str) -> str:
    hits = f'sum(rate({metric}{{{MINE}, event_type="cache_hit"}}[$__rate_interval]))'
    return f"{hits} / sum(rate({metric}{{{MINE}}}[$__rate_interval]))"


STEPS = "controller_runtime_reconcile_time_seconds"
PANELS = (
    _stat("Objects", count(INFO), "Flux objects in the chosen clusters and namespaces."),
    _stat("Not ready", count(info(ready="False")), red_from=1.0),
    _stat("Suspended", count(info(suspended="true"))),
    _stat(
        "Clusters away",
        count(f"fluxless_cluster_up{{{MINE}}} == 0"),
        "Clusters that do not answer the app.",
        red_from=1.0,
    ),
    _stat(
        "Heartbeat",
        "max(fluxless_heartbeat_age_seconds)",
        "Seconds since the timer last ran. While it is silent, only webhooks start work.",
        "s",
        120.0,
    ),
    _stat("Workers", count("process_resident_memory_bytes")),
    Panel("Objects that are not ready", (("", info(ready="False")),), kind="table", width=WIDTH),
    Panel(
        "Steps by result",
        (("{{cluster}} {{result}}", _rate("controller_runtime_reconcile_total", "cluster, result")),),
        unit="ops",
    ),
    Panel(
        "Failed steps by kind",
        (("{{cluster}} {{controller}}", _rate("controller_runtime_reconcile_errors_total", "cluster, controller")),),
        unit="ops",
    ),
    Panel(
        "How long steps take",
        tuple(
            (f"{{{{controller}}}} p{int(100 * share)}", _quantile(share, STEPS, "controller")) for share in (0.5, 0.95)
        ),
        unit="s",
    ),
    Panel(
        "The slowest objects",
        (
            (
                "{{cluster}} {{kind}} {{name}}",
                "topk(10, "
                + _rate("gotk_reconcile_duration_seconds_sum", "cluster, kind, name")
                + " / "
                + _rate("gotk_reconcile_duration_seconds_count", "cluster, kind, name")
                + ")",
            ),
        ),
        "Mean duration of a step.",
        "s",
    ),
    Panel(
        "At work or held back",
        (("{{cluster}} {{name}}", f"sum by (cluster, name) (workqueue_depth{{{MINE}}})"),),
    ),
    Panel(
        "Requests to API servers",
        (("{{cluster}} {{code}}", _rate("rest_client_requests_total", "cluster, code")),),
        unit="reqps",
    ),
    Panel(
        "Webhooks by answer",
        (
            (
                "{{code}}",
                "sum by (code) (rate(gotk_receiver_http_request_duration_seconds_count[$__rate_interval]))",
            ),
        ),
        "401 is a sender without the right secret; 503 is storage or configuration.",
        "reqps",
    ),
    Panel(
        "How long webhooks wait",
        (("p95 {{code}}", _quantile(0.95, "gotk_receiver_http_request_duration_seconds", "code", "")),),
        unit="s",
    ),
    Panel(
        "How late the event loop is",
        (
            (
                "p99",
                "histogram_quantile(0.99, sum by (le) (rate(fluxless_loop_lag_seconds_bucket[$__rate_interval])))",
            ),
        ),
        "All objects share it. Above half a second, `alert=loop-blocked` in the log names the step that blocks it.",
        "s",
    ),
    Panel(
        "Caches: share of hits",
        (
            ("artifacts", _share("gotk_cache_events_total")),
            ("tokens", _share("gotk_token_cache_events_total")),
        ),
        unit="percentunit",
    ),
    Panel(
        "Memory of workers",
        (("{{worker}}", "process_resident_memory_bytes"),),
        "An instance has 2,048 MB, shared with the host.",
        "bytes",
    ),
)


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    instant = panel.kind in {"stat", "table"}
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": SOURCE,
            "expr": query,
            "legendFormat": legend or "__auto",
            "instant": instant,
            "range": not instant,
            **({"format": "table"} if panel.kind == "table" else {}),
        }
        for place, (legend, query) in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.thresholds:
        steps = [{"color": color, "value": value} for color, value in panel.thresholds]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    found: dict[str, Any] = {
        "id": number,
        "title": panel.title,
        "description": panel.meaning,
        "type": panel.kind,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }
    if panel.kind == "table":
        hidden = {"Time": True, "Value": True, "__name__": True, "instance": True, "job": True, "namespace": True}
        found["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return found


def _variable(name: str, label: str) -> dict[str, Any]:
    query = f"label_values(gotk_resource_info, {label})"
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it: panels from left to right, in rows."""
    panels, x, y, tallest = [], 0, 0, 0
    for number, panel in enumerate(PANELS, 1):
        if x + panel.width > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        panels.append(_panel(number, panel, x, y))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return {
        "uid": "fluxless",
        "title": "Fluxless",
        "tags": ["flux", "gitops"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "current": {}},
                _variable("cluster", "cluster"),
                _variable("namespace", "exported_namespace"),
            ]
        },
        "panels": panels,
    }


def main() -> None:
    """Write the file, or compare."""
    text = json.dumps(dashboard(), indent=2) + "\n"
    if "--check" not in sys.argv:
        FILE.write_text(text)
    elif FILE.read_text() != text:
        raise SystemExit(f"{FILE.relative_to(ROOT)} is stale: run `python -m tools.dashboard`")


if __name__ == "__main__":
    main()

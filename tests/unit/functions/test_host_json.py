"""host.json, against what Azure asks for and what the app and its alerts rely on."""

import json
import re
from typing import Any

import pytest

from fluxless.engine import telling
from functions import settings
from tests.support.app import bindings
from tools.localhost.settings import read_host, seconds_of
from tools.places import ROOT

SHORTEST_BUNDLE = (4, 32, 0)
"""The first extension bundle that knows Durable Task Scheduler."""


def _document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "host.json").read_text())
    return found


def test_every_setting_that_it_names_is_in_the_table() -> None:
    named = set(re.findall(r"%(\w+)%", (ROOT / "host.json").read_text()))
    assert named == {settings.TASK_HUB.name}
    app = "".join(file.read_text() for file in (ROOT / "functions").glob("*.py"))
    bound = set(re.findall(r'"%(\w+)%"', app))
    assert bound == {settings.EVENTS_QUEUE.name}


def test_the_bundle_knows_both_backends() -> None:
    bundle = _document()["extensionBundle"]
    lower, upper = re.findall(r"\d+\.\d+\.\d+", bundle["version"])
    assert tuple(map(int, lower.split("."))) >= SHORTEST_BUNDLE
    assert upper == "5.0.0"


def test_nothing_waits_for_a_poll_that_has_backed_off() -> None:
    extensions = _document()["extensions"]
    durable = extensions["durableTask"]["storageProvider"]["maxQueuePollingInterval"]
    assert seconds_of(durable) <= 1
    assert seconds_of(extensions["queues"]["maxPollingInterval"]) <= 10


def test_logs_of_every_function_are_kept_and_those_of_the_host_are_not() -> None:
    logging = _document()["logging"]
    kept = {name for name in logging["logLevel"] if name.startswith("Function.")}
    functions = {name for name, _ in bindings()} | {"registry_events"}  # registered where a queue is named
    assert kept == {f"Function.{name}.User" for name in functions}
    assert logging["logLevel"]["default"] == "Warning"
    assert logging["logLevel"]["Host.Results"] == "Information"


def test_telemetry_is_sampled_and_what_alerts_read_is_not() -> None:
    assert "telemetryMode" not in _document()  # traces of the host could not be sampled then
    sampling = _document()["logging"]["applicationInsights"]["samplingSettings"]
    assert sampling["isEnabled"] is True
    assert sampling["maxTelemetryItemsPerSecond"] <= 5
    alerts = (ROOT / "infra" / "bicep" / "modules" / "alerts.bicep").read_text()
    assert set(re.findall(r"query: '(\w+)", alerts)) == {"traces"}
    assert "Trace" in sampling["excludedTypes"].split(";")


def test_alerts_look_for_what_the_app_writes() -> None:
    alerts = (ROOT / "infra" / "bicep" / "modules" / "alerts.bicep").read_text()
    code = "".join(file.read_text() for folder in ("functions", "fluxless") for file in (ROOT / folder).rglob("*.py"))
    assert 'startswith "heartbeat "' in alerts
    assert 'log.info("heartbeat ' in code
    assert 'has "alert="' in alerts
    assert "alert=heartbeat-missing" in code
    columns = re.findall(r"(\w+): string", alerts)
    assert set(columns) <= set(telling.FIELDS)
    assert set(re.search(r"result in \(([^)]*)\)", alerts)[1].replace('"', "").split(", ")) == telling.FAILED  # type: ignore[index]


def test_an_activity_has_half_an_hour_and_an_event_five_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.TASK_HUB.name, "hub")
    host = read_host(ROOT)
    assert host.function_timeout == 1800
    assert host.max_dequeue == 5
    assert host.queue_base64  # as Event Grid writes them
    assert "MaxDequeueCount" in (ROOT / "infra" / "bicep" / "modules" / "alerts.bicep").read_text()

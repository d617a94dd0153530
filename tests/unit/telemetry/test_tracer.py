"""Spans reach Application Insights by Azure's exporter and the app's identity, each trace whole or not."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fluxless.api.failure import Problem
from fluxless.telemetry import Span, Tracer, span_id, trace_id
from tests.support.insights import SCOPE, Insights

COMMIT = "sha1:" + "a" * 40


@pytest_asyncio.fixture
async def insights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Insights]:
    found = Insights(tmp_path / "insights")
    await found.start()
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    yield found
    await found.stop()


def _spans() -> list[Span]:
    return [
        Span("webhook", COMMIT, 1000.0, 0.25, asked_from_outside=True),
        Span("reconcile GitRepository", COMMIT, 1000.5, 1.0, attributes={"cluster": "prod"}, me="prod repo"),
        Span("reconcile Kustomization", COMMIT, 1002.0, 2.0, error="it broke", parent="prod repo"),
    ]


async def test_workers_add_to_one_trace(insights: Insights) -> None:
    for span in _spans():
        worker = Tracer(insights.connection, "the-client")
        await worker.send([span])
        await worker.close()
    hook, source, applied = insights.spans()
    assert {hook["trace"], source["trace"], applied["trace"]} == {f"{trace_id(COMMIT):032x}"}
    assert (hook["type"], source["type"]) == ("RequestData", "RemoteDependencyData")
    assert applied["parent"] == source["id"] == f"{span_id(COMMIT, 'prod repo'):016x}"
    assert (source["success"], applied["success"], source["cluster"]) == (True, False, "prod")
    assert (set(insights.identity.asked), set(insights.identity.clients)) == ({SCOPE}, {"the-client"})


async def test_a_trace_is_sent_whole_or_not_at_all(insights: Insights) -> None:
    tracer = Tracer(insights.connection, share=0.25)
    for number in range(200):
        about = f"sha1:{number:040x}"
        await tracer.send([Span("one", about, 1.0, 1.0), Span("two", about, 2.0, 1.0)])
    await tracer.close()
    by_trace: dict[str, set[str]] = {}
    for span in insights.spans():
        by_trace.setdefault(span["trace"], set()).add(span["span"])
        assert span["share"] == 25.0
    assert all(names == {"one", "two"} for names in by_trace.values())
    assert 30 <= len(by_trace) <= 70


@pytest.mark.parametrize("status", [401, 500])
async def test_what_cannot_be_sent_costs_nothing_but_itself(insights: Insights, status: int) -> None:
    insights.refuses = status
    tracer = Tracer(insights.connection)
    await tracer.send(_spans())
    await tracer.close()
    assert insights.items == []
    assert insights.tried >= 1


async def test_a_tracer_that_cannot_start_says_so_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracer = Tracer("InstrumentationKey=this-is-none")
    with caplog.at_level(logging.WARNING):
        await tracer.send(_spans())
    assert "traces not sent" in caplog.text
    await tracer.close()


def test_a_connection_string_without_a_key_is_refused_at_the_start() -> None:
    with pytest.raises(Problem, match="InstrumentationKey"):
        Tracer("IngestionEndpoint=https://example.invalid")

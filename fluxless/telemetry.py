"""Spans for Application Insights, by OpenTelemetry: the only room that imports its SDK and Azure's exporter.

A trace has no context that travels from worker to worker: its id is made from what it is about (`trace_id`), and so is
that of a span that others hang from (`span_id`), so whoever works on a commit adds to the same trace.
What is exported is a copy for people; the run records in the store are the truth.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.identity import blocking
from fluxless.auth.purposes import MONITOR, Purpose

log = logging.getLogger("fluxless.telemetry")
NAME = "fluxless"
"""The cloud role by which Application Insights tells the app from others."""
EXPORTER = "azure.monitor.opentelemetry"
"""Its logger would tell of every export that is tried again."""
LAST_SECONDS = 2.0
"""What closing waits for the rest to be sent."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took `seconds` from `start` (since the epoch), as part of the trace about `about`.

    `attributes` are texts, numbers and truth values. `me` names it where others hang from it (see `span_id`), `parent`
    is what it hangs from.
    """

    name: str
    about: str
    start: float
    seconds: float
    error: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    me: str = ""
    parent: str = ""
    asked_from_outside: bool = False


def trace_id(about: str) -> int:
    """128 bits, the same for everybody."""
    return int.from_bytes(hashlib.sha256(f"trace {about}".encode()).digest()[:16], "big") or 1


def span_id(about: str, me: str) -> int:
    """64 bits: the same for everybody when it has a name, else of its own."""
    if not me:
        return secrets.randbits(64) or 1
    return int.from_bytes(hashlib.sha256(f"span {about} {me}".encode()).digest()[:8], "big") or 1


class Tracer:
    """Sends the given share (0 to 1) of all traces, each of them whole, since the id of a trace decides.

    Sending is done by a thread of the SDK every few seconds. What cannot be sent is dropped. Raises `Problem` for a
    connection string that says nothing.
    """

    def __init__(self, connection: str, client_id: str = "", share: float = 1.0) -> None:
        if "InstrumentationKey=" not in connection:
            words = "APPLICATIONINSIGHTS_CONNECTION_STRING has no InstrumentationKey"
            raise Problem(Failure(FailureClass.INTERNAL, words, next_step="copy it from the Application Insights"))
        self._connection = connection
        self._client_id = client_id
        self._share = share
        self._processor: Any = None
        self._resource: Any = None
        self._starting = asyncio.Lock()

    async def send(self, spans: Sequence[Span]) -> None:
        """Hand spans over. Raises nothing: a trace that is lost must not cost a reconciliation."""
        chosen = [span for span in spans if self._chosen(span.about)]
        if not chosen:
            return
        try:
            async with self._starting:
                if self._processor is None:  # the SDK takes a quarter of a second to import
                    await asyncio.to_thread(self._start)
            for span in chosen:
                self._processor.on_end(self._readable(span))
        except Exception as error:
            log.warning("traces not sent: %s: %s", type(error).__name__, str(error)[:200])

    async def close(self) -> None:
        """Send what is left."""
        if self._processor is not None:
            await asyncio.to_thread(self._processor.force_flush, int(LAST_SECONDS * 1000))
            await asyncio.to_thread(self._processor.shutdown)
            self._processor = None

    def _chosen(self, about: str) -> bool:
        """As OpenTelemetry's `TraceIdRatioBased`: by the lower half of the id."""
        return (trace_id(about) & (2**64 - 1)) < round(self._share * 2**64)

    def _start(self) -> None:
        from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        logging.getLogger(EXPORTER).setLevel(logging.ERROR)
        self._resource = Resource({SERVICE_NAME: NAME})
        exporter = AzureMonitorTraceExporter(
            connection_string=self._connection,
            credential=blocking(*self._meant(), self._client_id or None),
            tracer_provider=TracerProvider(resource=self._resource),
            disable_offline_storage=True,
        )
        self._processor = BatchSpanProcessor(exporter)

    def _meant(self) -> tuple[Purpose, str]:
        """What tokens are asked for, and who gets them: as the connection string says, in sovereign clouds another."""
        said = dict(part.partition("=")[::2] for part in self._connection.split(";"))
        audience = said.get("AADAudience", "")
        purpose = MONITOR._replace(scope=f"{audience}/.default") if audience else MONITOR
        return purpose, said.get("IngestionEndpoint") or "https://dc.services.visualstudio.com"

    def _readable(self, span: Span) -> Any:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(name: str, *, remote: bool) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(trace_id(span.about), span_id(span.about, name), remote, flags)

        return ReadableSpan(
            span.name,
            context(span.me, remote=False),
            context(span.parent, remote=True) if span.parent else None,
            self._resource,
            {**span.attributes, "_MS.sampleRate": self._share * 100},
            kind=SpanKind.SERVER if span.asked_from_outside else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK),
            start_time=int(span.start * 1e9),
            end_time=int((span.start + span.seconds) * 1e9),
        )

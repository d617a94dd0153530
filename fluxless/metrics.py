"""What a worker counts, under Flux's names (MT rows): plain numbers in memory, added to where things happen.

Several workers share one app, so nobody shows these numbers as they are: `engine/metering.py` keeps them in the store
and adds up what all workers have counted. Nothing here does I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from fluxless.kept import Malformed, listed, mapping, number, text

Labels = tuple[str, ...]
Series = dict[Labels, list[float]]
"""By the values of the labels. A counter is one number; a histogram is the sum, then one count per bucket, the last of
which has no upper bound. All of it can be added up.
"""
Document = dict[str, list[list[Any]]]
"""Series of many metrics as JSON: by name of the metric, `[labels, numbers]`."""


@dataclass(slots=True)
class Metric:
    """One metric of this process. `bounds` are the upper bounds of a histogram's buckets, in seconds or bytes."""

    name: str
    meaning: str
    labels: Labels
    bounds: tuple[float, ...] = ()
    series: Series = field(default_factory=dict)

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count."""
        self.series.setdefault(labels, [0.0])[0] += by

    def observe(self, value: float, *labels: str) -> None:
        """Put a value into its bucket."""
        numbers = self.series.setdefault(labels, [0.0] * (len(self.bounds) + 2))
        numbers[0] += value
        numbers[1 + bisect_left(self.bounds, value)] += 1


def _exponential(first: float, last: float, count: int) -> tuple[float, ...]:
    factor = (last / first) ** (1 / (count - 1))
    return tuple(float(f"{first * factor**place:.6g}") for place in range(count))


SECONDS = _exponential(0.01, 1800, 10)
"""Flux's buckets for the duration of steps, in seconds (MT-1)."""
QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BYTES = (100.0, 1e3, 1e4, 1e5, 1e6)
OBJECT = ("cluster", "kind", "name", "namespace")

RECONCILE_DURATION = Metric(
    "gotk_reconcile_duration_seconds", "How long steps over a Flux object took.", OBJECT, SECONDS
)
RECONCILES = Metric(
    "controller_runtime_reconcile_total", "Steps by kind and result.", ("cluster", "controller", "result")
)
RECONCILE_ERRORS = Metric(
    "controller_runtime_reconcile_errors_total", "Steps that have failed.", ("cluster", "controller")
)
RECONCILE_TIME = Metric(
    "controller_runtime_reconcile_time_seconds", "How long steps took, by kind.", ("cluster", "controller"), SECONDS
)
API_REQUESTS = Metric("rest_client_requests_total", "Requests to API servers.", ("cluster", "code", "method"))
CACHE_EVENTS = Metric(
    "gotk_cache_events_total",
    "Looks for unpacked artifacts on the worker's disk.",
    ("cluster", "event_type", "name", "namespace"),
)
TOKEN_EVENTS = Metric(
    "gotk_token_cache_events_total",
    "Tokens that were cached, and that had to be asked for.",
    ("cluster", "event_type", "kind", "name", "namespace", "operation"),
)
TOKEN_REQUESTS = Metric("gotk_token_cache_requests_total", "Uses of the cache of tokens.", ("status",))
TOKEN_EVICTIONS = Metric("gotk_token_cache_evictions_total", "Tokens that were dropped for want of room.", ())
STORE_REQUESTS = Metric("fluxless_store_requests_total", "Requests to Blob Storage.", ("code", "method"))
LOOP_LAG = Metric("fluxless_loop_lag_seconds", "How late the event loops of workers were.", (), QUICK)
HOOK_DURATION = Metric(
    "gotk_receiver_http_request_duration_seconds",
    "How long webhooks waited for their answer.",
    ("code", "handler", "method", "service"),
    QUICK,
)
HOOK_SIZE = Metric(
    "gotk_receiver_http_response_size_bytes",
    "What webhooks were answered.",
    ("code", "handler", "method", "service"),
    BYTES,
)
ALL = {metric.name: metric for metric in tuple(globals().values()) if isinstance(metric, Metric)}

gauges: dict[str, float] = {}
"""What is at this moment, of this worker alone."""

subject: ContextVar[Labels] = ContextVar("subject", default=("", "", "", ""))
"""Which object is worked on, as the values of `OBJECT`: what is counted far below knows whom it is for."""


def token(cached: bool) -> None:
    """A token was handed out, or asked for and given (MT-3)."""
    cluster, kind, name, namespace = subject.get()
    event = "cache_hit" if cached else "cache_miss"
    TOKEN_EVENTS.add(cluster, event, kind, name, namespace, "reconcile" if kind else "")
    TOKEN_REQUESTS.add("success")


def artifact(cached: bool) -> None:
    """An artifact was looked for on the worker's disk (MT-2)."""
    cluster, _, name, namespace = subject.get()
    CACHE_EVENTS.add(cluster, "cache_hit" if cached else "cache_miss", name, namespace)


def to_json(found: Mapping[str, Series]) -> Document:
    """A document of series by name of the metric."""
    return {name: [[list(key), list(numbers)] for key, numbers in series.items()] for name, series in found.items()}


def snapshot() -> Document:
    """All that was counted so far."""
    return to_json({metric.name: metric.series for metric in ALL.values() if metric.series})


def from_json(document: Any) -> dict[str, Series]:
    """The reverse of `to_json`. Raises `Malformed`."""

    def series(entries: Any) -> Series:
        pairs = [listed(entry) for entry in listed(entries)]
        if any(len(pair) != 2 for pair in pairs):
            raise Malformed("an entry that is no pair of labels and numbers")
        named = ((tuple(map(text, listed(labels))), listed(numbers)) for labels, numbers in pairs)
        return {labels: list(map(number, numbers)) for labels, numbers in named}

    return {name: series(entries) for name, entries in mapping(document).items()}


def total(counted: Iterable[Mapping[str, Series]]) -> dict[str, Series]:
    """Series added up. What was counted in buckets that are no more is left out: nothing can be said about it."""
    found: dict[str, Series] = {name: {} for name in ALL}
    for one in counted:
        for name in found.keys() & one.keys():
            for labels, numbers in one[name].items():
                known = found[name].setdefault(labels, [0.0] * len(numbers))
                if len(known) == len(numbers) and len(labels) == len(ALL[name].labels):
                    known[:] = [mine + theirs for mine, theirs in zip(known, numbers, strict=True)]
    return {name: series for name, series in found.items() if series}


def forget(document: Document) -> None:
    """Count on without what the document, an earlier snapshot, has already."""
    for name, entries in document.items():
        for labels, numbers in entries:
            known = ALL[name].series.get(tuple(labels))
            if known is not None:
                known[:] = [mine - theirs for mine, theirs in zip(known, numbers, strict=True)]


def reset() -> None:
    """Begin to count anew."""
    for metric in ALL.values():
        metric.series.clear()

"""What a month of Fluxless amounts to, and the six pods of Flux beside it. Pure: quantities from figures that were
measured, money from prices that are given.

Nothing here knows a price: they differ by region, contract and day. See docs/cost.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HOURS = 730.0
"""Of a month, as Azure counts."""
MEASURED_BY = "python -m tools.bench --only idle"
SECONDS = {"tick": 0.0163, "sync": 0.0012, "plan": 0.0544, "reconcile": 0.0328}
"""Mean seconds of one execution, by function (docs/benchmarks.md)."""
PER_OBJECT = 0.002
"""Seconds of a check of one unchanged object on top of `reconcile`: 0.2328 s were measured for a hundred."""
PUSH = 0.5
"""Seconds that a commit costs in a cluster on top of its plans and batches: an allowance for fetch, build and apply."""
STEPS = 2
"""Executions of the orchestrator for one plan."""
CHECKS_AT_ONCE = 250
"""Objects of one `reconcile` when nothing is new."""
BLOBS = 2.16
"""Requests to Blob of one execution: 1,140 of 528 were measured."""
DURABLE = {"step": 8.0, "activity": 8.0}
"""Transactions of Durable on queues and tables, of one execution of an orchestrator and of an activity: taking and
deleting a message, writing history and instance, sending the next. From its documented design, not measured."""
QUEUES = 6
"""Control queues (4), work items, and the queue of events, each polled every `POLL` seconds when idle."""
POLL = 5.0
LEASES = 4 * 360.0
"""Renewals of the leases of partitions, an hour."""
LINE = 1.0
"""KB of telemetry of one line or span; a heartbeat at each tick, and one of each for every object of a push."""
SAMPLED = 5.0
"""Requests a second and instance that are kept at most."""
PODS = {
    "source-controller": 0.05,
    "kustomize-controller": 0.1,
    "helm-controller": 0.1,
    "notification-controller": 0.1,
    "image-reflector-controller": 0.1,
    "image-automation-controller": 0.1,
}
POD_MEMORY = 64.0
"""What Flux's controllers request by the Deployments in their repositories: CPUs, and MiB each."""


@dataclass(frozen=True, slots=True)
class Workload:
    """`apps` are spread over `clusters`; times in seconds; `memory` of an instance in MB."""

    apps: int = 100
    clusters: int = 1
    interval: float = 600.0
    timer: float = 30.0
    pushes_per_day: float = 20.0
    apps_per_push: float = 1.0
    memory: int = 2048
    always_ready: int = 0


@dataclass(frozen=True, slots=True)
class Month:
    """Quantities of a month, by the names that prices have."""

    executions: float
    gb_seconds: float
    gb_seconds_at_most: float
    always_ready_gb_seconds: float
    storage_transactions: float
    telemetry_gb: float

    def quantities(self) -> dict[str, float]:
        """Those that a price can be given for, in its unit."""
        return {
            "executions": self.executions / 1e6,
            "gb_seconds": self.gb_seconds_at_most,
            "always_ready_gb_seconds": self.always_ready_gb_seconds,
            "storage_transactions": self.storage_transactions / 1e4,
            "telemetry_gb": self.telemetry_gb,
        }


UNITS = {
    "executions": "million",
    "gb_seconds": "GB-s",
    "always_ready_gb_seconds": "GB-s",
    "storage_transactions": "10,000",
    "telemetry_gb": "GB",
    "node_hour": "hour",
}
"""What a price is for one of."""


def billed(seconds: float) -> float:
    """An execution as Flex Consumption bills it when none overlaps it: a second at least, then steps of 100 ms."""
    return max(1.0, math.ceil(round(seconds * 10, 6)) / 10)


def month(load: Workload) -> Month:
    """What the workload amounts to. Executions that overlap on an instance are billed once, so the time billed lies
    between what was measured and that with a second for each.
    """
    ticks = 3600 / load.timer
    per_cluster = load.apps / load.clusters
    passes = 3600 / load.interval
    batches = math.ceil(per_cluster / CHECKS_AT_ONCE) + 1  # one for the source
    pushes = load.pushes_per_day / 24
    plans = load.clusters * (ticks + 2 * passes)
    counts = {
        "tick": ticks,
        "plan": plans + pushes * 4 * load.clusters,
        "reconcile": load.clusters * passes * batches + pushes * 2 * load.clusters,
    }
    counts["sync"] = STEPS * counts["plan"]
    times = {name: count * SECONDS[name] for name, count in counts.items()}
    checks = load.apps * passes * PER_OBJECT
    raw = sum(times.values()) + checks + pushes * load.clusters * PUSH
    paid = sum(count * billed(SECONDS[name]) for name, count in counts.items()) + checks + pushes * load.clusters * PUSH
    durable = counts["sync"] * DURABLE["step"] + (counts["plan"] + counts["reconcile"]) * DURABLE["activity"]
    polls = QUEUES * 3600 / POLL + LEASES
    told = ticks + pushes * (2 + 2 * load.apps_per_push) * load.clusters + min(sum(counts.values()), SAMPLED * 3600)
    size = load.memory / 1024
    return Month(
        executions=HOURS * sum(counts.values()),
        gb_seconds=HOURS * raw * size,
        gb_seconds_at_most=HOURS * paid * size,
        always_ready_gb_seconds=HOURS * 3600 * size * load.always_ready,
        storage_transactions=HOURS * (sum(counts.values()) * BLOBS + durable + polls),
        telemetry_gb=HOURS * told * LINE / 1e6,
    )


@dataclass(frozen=True, slots=True)
class Price:
    """Of one unit (see `UNITS`), with where it was read and when; `free` units a month cost nothing."""

    value: float
    currency: str
    source: str
    date: str
    free: float = 0.0


def prices(document: Any) -> dict[str, Price]:
    """What a file of prices says. Raises ValueError naming the entry that lacks something."""
    if not isinstance(document, Mapping):
        raise ValueError("it is no mapping of names to prices")
    found: dict[str, Price] = {}
    for name, entry in document.items():
        if name not in UNITS:
            raise ValueError(f"{name}: there is no such price; known are {', '.join(UNITS)}")
        if not isinstance(entry, Mapping):
            raise ValueError(f"{name}: give value, currency, source and date")
        if entry.get("value") is None:
            continue  # not filled in
        missing = [field for field in ("currency", "source", "date") if not str(entry.get(field) or "").strip()]
        if missing:
            raise ValueError(f"{name}: {' and '.join(missing)} must be given: a price without them says nothing")
        try:
            value, free = float(entry["value"]), float(entry.get("free") or 0)
        except (TypeError, ValueError):
            raise ValueError(f"{name}: value and free must be numbers") from None
        found[name] = Price(value, str(entry["currency"]), str(entry["source"]), str(entry["date"]), free)
    if len({price.currency for price in found.values()}) > 1:
        raise ValueError("prices are in more than one currency")
    return found


def amounts(quantities: Mapping[str, float], known: Mapping[str, Price]) -> dict[str, float]:
    """Money by name, for the quantities whose price is known."""
    return {
        name: max(0.0, quantity - known[name].free) * known[name].value
        for name, quantity in quantities.items()
        if name in known
    }


def share_of_nodes(clusters: int, node_cpus: float, node_memory: float) -> float:
    """Nodes that Flux's pods ask for, of all clusters together: by CPU or memory (MiB), whichever is more of a node."""
    cpu, memory = sum(PODS.values()) / node_cpus, len(PODS) * POD_MEMORY / node_memory
    return clusters * max(cpu, memory)

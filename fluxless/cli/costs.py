"""What a month of Fluxless amounts to, and the six pods of Flux beside it. Pure: quantities from figures that were
measured; what they cost is in prices.py. See docs/cost.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HOURS = 730.0
"""Of a month, as Azure counts."""
MEASURED_BY = "python -m tools.bench --only idle,growth"


Points = tuple[tuple[int, float], ...]
"""Seconds by the number of applications they were measured with, fewest first."""

TIMES: dict[str, Points] = {
    "tick": ((1, 0.0262),),
    "sync": ((1, 0.0034),),
    "plan": ((10, 0.0194), (100, 0.0426), (250, 0.1642)),
    "check": ((10, 0.0606), (100, 0.294), (250, 2.079)),
    "look": ((1, 0.0303),),
}
"""Means of one execution: a tick of the timer, a step of the orchestrator, a plan of one cluster, a batch of checks
whose intervals have passed, a look at a source that has nothing new."""
PAUSED = 0.0543
"""What a plan takes longer when the one before it is half a minute past: 96.9 ms in the idle hour."""
COMMIT: Points = ((1, 0.751), (25, 2.725), (100, 7.52))
"""Seconds of a commit in one cluster in which anything was executed, from webhook to applied, by the applications that
follow its source."""
COMMIT_EXECUTIONS = {"hook": 1.0, "sync": 7.8, "plan": 3.6, "reconcile": 2.0}
"""Of a commit that one batch of applications follows."""
FURTHER = {"hook": 0.0, "sync": 3.0, "plan": 1.5, "reconcile": 1.5}
"""Of each batch more: a commit for a hundred, four batches, took 17.0 steps, 8.0 plans and 6.4 batches."""
STEPS = 2
"""Executions of the orchestrator for one plan when idle."""
AFTER = 2
"""Further plans, when an interval has passed: of the applications, and at another time of the sources."""
CHANGES_AT_ONCE = 25
CHECKS_AT_ONCE = 250
SOURCES_AT_ONCE = 20
"""Applications of one batch, when they have something new and when not, and batches that sources are spread over
(fluxless/engine/plan.py)."""
BLOBS = 2.06
"""Requests to Blob of one execution: 1,176 of 570 were measured in an idle hour."""
STEP = 6
"""Transactions of Durable for a step of an orchestrator: a message taken and deleted, the history read and written, the
instance written, the next message sent. This and the four that follow are reckoned from the documented design of
Durable's storage provider: the local host has no queues, so nothing here could measure them."""
ACTIVITY = 3
"""The same for an activity: a message taken, deleted, and answered."""
START = 4
"""The same for a start: the instance is looked at twice, written, and its first message sent."""
POLLS = 5 * 3600 / 0.75 + 3600 / 5.0
"""An hour when idle: four control queues and work items, each every 0.75 s, and the queue of events every 5 s: as
host.json says."""
LEASES = 4 * 3600 / 10.0
"""An hour: leases of four partitions, each renewed every 10 s."""
LINE = 1.0
"""KB of telemetry of one line or span: an allowance. A heartbeat at each tick, and one of each for every object of a
commit."""
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
    """`apps` are spread over `clusters`, each with `sources` of its own; a commit reaches every cluster, and
    `apps_per_push` applications in each; times in seconds; `memory` of an instance in MB. `always_ready` is what
    infra/bicep deploys.
    """

    apps: int = 100
    clusters: int = 1
    sources: int = 1
    interval: float = 600.0
    timer: float = 30.0
    pushes_per_day: float = 20.0
    apps_per_push: int = 1
    memory: int = 2048
    always_ready: int = 1


@dataclass(frozen=True, slots=True)
class Month:
    """Quantities of a month. `warm_…` is the part of `executions` and `gb_seconds_at_most` that warm instances take on:
    it has prices of its own, and no free grants.
    """

    executions: float
    warm_executions: float
    gb_seconds: float
    gb_seconds_at_most: float
    warm_gb_seconds: float
    always_ready_gb_seconds: float
    storage_transactions: float
    telemetry_gb: float

    def quantities(self) -> dict[str, float]:
        """Those that a price can be given for, in its unit."""
        return {
            "executions": (self.executions - self.warm_executions) / 1e6,
            "gb_seconds": self.gb_seconds_at_most - self.warm_gb_seconds,
            "always_ready_executions": self.warm_executions / 1e6,
            "always_ready_execution_gb_seconds": self.warm_gb_seconds,
            "always_ready_gb_seconds": self.always_ready_gb_seconds,
            "storage_transactions": self.storage_transactions / 1e4,
            "telemetry_gb": self.telemetry_gb,
        }


def billed(seconds: float) -> float:
    """An execution as Flex Consumption bills it when none overlaps it: a second at least, then steps of 100 ms."""
    return max(1.0, math.ceil(round(seconds * 10, 6)) / 10)


def between(points: Points, size: float) -> float:
    """Seconds at `size` on the lines through the points: below the first as there, above the last as the last line
    goes on.
    """
    (low, seconds), *more = points
    for high, later in more:
        slope = (later - seconds) / (high - low)
        if size <= high or high == points[-1][0]:
            return seconds + slope * max(0.0, size - low)
        low, seconds = high, later
    return seconds


def month(load: Workload) -> Month:
    """What the workload amounts to. Executions that overlap on an instance are billed once, so the time billed lies
    between what was measured and that with a second for each.
    """
    ticks, passes, pushes = 3600 / load.timer, 3600 / load.interval, load.pushes_per_day / 24 * load.clusters
    here = load.apps / load.clusters
    batches = math.ceil(here / CHECKS_AT_ONCE)
    plans = load.clusters * (ticks + AFTER * 2 * passes)
    counts = {
        "tick": ticks,
        "plan": plans,
        "sync": STEPS * plans,
        "check": load.clusters * passes * batches,
        "look": load.clusters * passes * min(load.sources, SOURCES_AT_ONCE),
    }
    each = {name: between(points, here / batches if name == "check" else here) for name, points in TIMES.items()}
    each["plan"] += PAUSED
    each["look"] *= math.ceil(load.sources / SOURCES_AT_ONCE)
    changes = math.ceil(load.apps_per_push / CHANGES_AT_ONCE)
    commit = {name: count + (changes - 1) * FURTHER[name] for name, count in COMMIT_EXECUTIONS.items()}
    taken, steps = pushes * between(COMMIT, load.apps_per_push), pushes * sum(commit.values())
    raw = sum(counts[name] * each[name] for name in counts) + taken
    paid = {name: counts[name] * billed(each[name]) for name in counts}
    most = sum(paid.values()) + taken + steps  # a second for each step on top is more than rounding adds
    cold = paid["tick"] + pushes  # timers and webhooks are not of the group that is kept warm
    executions = sum(counts.values()) + steps
    activities = counts["plan"] + counts["check"] + counts["look"] + pushes * (commit["plan"] + commit["reconcile"])
    starts = load.clusters * ticks + pushes
    durable = STEP * (counts["sync"] + pushes * commit["sync"]) + ACTIVITY * activities + START * starts
    told = ticks + pushes * (2 + 2 * load.apps_per_push) + min(executions, SAMPLED * 3600)
    size = load.memory / 1024
    return Month(
        executions=HOURS * executions,
        warm_executions=HOURS * (executions - ticks - pushes) if load.always_ready else 0.0,
        gb_seconds=HOURS * raw * size,
        gb_seconds_at_most=HOURS * most * size,
        warm_gb_seconds=HOURS * (most - cold) * size if load.always_ready else 0.0,
        always_ready_gb_seconds=HOURS * 3600 * size * load.always_ready,
        storage_transactions=HOURS * (executions * BLOBS + durable + POLLS + LEASES),
        telemetry_gb=HOURS * told * LINE / 1e6,
    )


def share_of_nodes(clusters: int, node_cpus: float, node_memory: float) -> float:
    """Nodes that Flux's pods ask for, of all clusters together: by CPU or memory (MiB), whichever is more of a node."""
    cpu, memory = sum(PODS.values()) / node_cpus, len(PODS) * POD_MEMORY / node_memory
    return clusters * max(cpu, memory)

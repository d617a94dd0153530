"""What anybody outside may cost us: bytes, seconds, counts and depths, in one table that `docs/limits.md` shows.

Repositories, charts, registries, webhooks and API servers are written by others. Every room reads its bound here, so
that one page says what is refused and a test can go through all of them. A tenant's own `timeout` lengthens none.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limit:
    """One row: `value` in `unit` (bytes, seconds, or what is counted), and what it bounds."""

    name: str
    value: float
    unit: str
    bounds: str


TABLE: list[Limit] = []
"""All rows, in the order of this file."""


def _limit(name: str, value: int, unit: str, bounds: str) -> int:
    TABLE.append(Limit(name, value, unit, bounds))
    return value


# -- YAML --------------------------------

# -- builds: kustomize, helm, sops, notation --------------------------------

# -- sources: Git, registries, buckets, charts, archives --------------------------------

# -- patterns and expressions of users --------------------------------

# -- API servers --------------------------------

# -- webhooks and other callers --------------------------------

# -- work: slots, objects, chains --------------------------------
CLUSTER_SLOTS = _limit("CLUSTER_SLOTS", 32, "objects", "one cluster worked on at once; a namespace alone has half")
FAILING_SLOTS = _limit("FAILING_SLOTS", 8, "objects", "of these, those that have failed before")
WORKER_SLOTS = _limit("WORKER_SLOTS", 96, "objects", "all clusters of a worker; a cluster has half at most")
PROCESS_SLOTS = _limit("PROCESS_SLOTS", 8, "processes", "a worker at once; a namespace has half at most")
FETCH_SLOTS = _limit("FETCH_SLOTS", 6, "fetches", "Git, a worker at once; a namespace has half at most")

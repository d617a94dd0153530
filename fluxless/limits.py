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
HELM_MEMORY = _limit("HELM_MEMORY", 2 * GIB, "bytes", "address space of a helm, of which Go takes a third unused")
HELM_CPU = _limit("HELM_CPU", 120, "seconds", "that a helm computes; it may wait for longer")
HELM_FILE = _limit("HELM_FILE", 256 * MIB, "bytes", "one file that a helm writes")
HELM_OUTPUT = _limit("HELM_OUTPUT", 64 * MIB, "bytes", "what a helm prints")
CHART_FILES = _limit("CHART_FILES", 10_000, "files", "a chart with the charts in it")
CHART_BYTES = _limit("CHART_BYTES", 100 * MIB, "bytes", "a chart with the charts in it, unpacked")
CHART_DEPTH = _limit("CHART_DEPTH", 20, "levels", "packed charts in packed charts")
CHART_SCHEMA_DEPTH = _limit("CHART_SCHEMA_DEPTH", 200, "levels", "a values.schema.json")
SOPS_MEMORY = _limit("SOPS_MEMORY", 2 * GIB, "bytes", "address space of a sops, of which Go takes a third unused")
SOPS_CPU = _limit("SOPS_CPU", 30, "seconds", "that a sops computes")
SOPS_INPUT = _limit("SOPS_INPUT", 5 * MIB, "bytes", "an encrypted file (KC-99)")
SOPS_OUTPUT = _limit("SOPS_OUTPUT", 64 * MIB, "bytes", "what a sops prints")
SOPS_TIME = _limit("SOPS_TIME", 30, "seconds", "one decryption")
NOTATION_MEMORY = _limit("NOTATION_MEMORY", 2 * GIB, "bytes", "address space of a notation, of which Go takes a third")
NOTATION_CPU = _limit("NOTATION_CPU", 30, "seconds", "that a notation computes")
NOTATION_OUTPUT = _limit("NOTATION_OUTPUT", 4 * MIB, "bytes", "what a notation prints")

# -- sources: Git, registries, buckets, charts, archives --------------------------------
INDEX_DEPTH = _limit("INDEX_DEPTH", 5, "levels", "indexes of a registry that name indexes")

# -- patterns and expressions of users --------------------------------

# -- API servers --------------------------------

# -- webhooks and other callers --------------------------------

# -- work: slots, objects, chains --------------------------------
CLUSTER_SLOTS = _limit("CLUSTER_SLOTS", 32, "objects", "one cluster worked on at once; a namespace alone has half")
FAILING_SLOTS = _limit("FAILING_SLOTS", 8, "objects", "of these, those that have failed before")
WORKER_SLOTS = _limit("WORKER_SLOTS", 96, "objects", "all clusters of a worker; a cluster has half at most")
PROCESS_SLOTS = _limit("PROCESS_SLOTS", 8, "processes", "a worker at once; a namespace has half at most")
FETCH_SLOTS = _limit("FETCH_SLOTS", 6, "fetches", "Git, a worker at once; a namespace has half at most")

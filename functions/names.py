"""Names that the blueprints share: functions, instances, events. One constant per name, since Python is case-sensitive
about them and the Durable extension is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

TEXT = "text/plain"
SYNC = "sync"
ANNOUNCE = "announce"
PLAN = "plan"
RECONCILE = "reconcile"
REQUEST = "request"
CLOCK = "clock"
LOOK = "look_at_heartbeat"
CLOCK_INSTANCE = "clock"
CODE = 2
"""The version of what `sync` does in which order; it stands in the custom status of the instance. Raise it when that
order changes, and record a history of it (`python -m tests.functions.record`).
"""
REPLAYED = frozenset({1, CODE})
"""The versions whose histories this release goes on with, as recorded ones show. Any other is ended and begun anew,
since replaying it would go astray. The first did not say that it is one.
"""

INSTANCE_LIMIT = 100
"""Characters of an instance id that every Durable backend accepts (the Durable Task Scheduler has the least)."""


def sync_instance(cluster: str) -> str:
    """The one `sync` instance of a cluster: at most one runs, so no object is ever reconciled twice at once."""
    return _bounded(f"sync-{cluster}")


def announce_instance(cluster: str, message: Mapping[str, Any]) -> str:
    """The instance that tells a cluster which was out of reach: one for all webhooks that say the same."""
    digest = hashlib.sha256(json.dumps(message, sort_keys=True).encode()).hexdigest()[:16]
    return _bounded(f"announce-{cluster}-{digest}")


def wake_event(turn: int) -> str:
    """The external event that ends the wait of that turn of `sync`.

    Each turn has a name of its own: on azure-functions-durable 1.x an event that came early would satisfy every later
    wait of its name.
    """
    return f"wake-{turn}"


def _bounded(name: str) -> str:
    if len(name) <= INSTANCE_LIMIT:
        return name
    return f"{name[: INSTANCE_LIMIT - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"

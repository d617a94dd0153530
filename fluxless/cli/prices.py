"""Money for the quantities of costs.py, from prices that are given. Pure; `fluxless cost` reads the file.

Nothing here knows a price: they differ by region, contract and day, so one without origin and date is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNITS = {
    "executions": "million",
    "gb_seconds": "GB-s",
    "always_ready_executions": "million",
    "always_ready_execution_gb_seconds": "GB-s",
    "always_ready_gb_seconds": "GB-s",
    "storage_transactions": "10,000",
    "telemetry_gb": "GB",
    "node_hour": "hour",
}
"""What a price is for one of."""


@dataclass(frozen=True, slots=True)
class Price:
    """Of one unit (see `UNITS`), with where it was read and when; `free` units a month cost nothing."""

    value: float
    currency: str
    source: str
    date: str
    free: float = 0.0


def read(document: Any) -> dict[str, Price]:
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
        if not (value >= 0 and free >= 0):
            raise ValueError(f"{name}: value and free must be numbers, and not negative")
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

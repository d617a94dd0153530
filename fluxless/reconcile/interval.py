"""When an object is looked at again: intervals with jitter (CM-9) and retry delays (CM-28)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from fluxless.api.duration import parse_duration

MIN_RETRY = 0.75
"""Seconds; Flux's `--min-retry-delay`."""
MAX_RETRY = 900.0
"""Seconds; Flux's `--max-retry-delay`."""
JITTER = 0.05
"""Share of the interval; Flux's `--interval-jitter-percentage`."""


def seconds(spec: Mapping[str, Any], field: str, default: float) -> float:
    """The Go duration in `spec[field]` as seconds, or `default` when it is absent."""
    value = spec.get(field)
    return default if value in (None, "") else parse_duration(str(value))


def jittered(interval: float, key: str) -> float:
    """The interval moved by up to ±5 % (CM-9), the same for the same key: objects spread, a replay agrees."""
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 0xFFFFFFFF
    return interval * (1 + JITTER * (2 * share - 1))


def backoff(failures: int) -> float:
    """Exponential delay in seconds after that many failures in a row (CM-28)."""
    return float(min(MAX_RETRY, MIN_RETRY * 2 ** min(max(failures - 1, 0), 30)))

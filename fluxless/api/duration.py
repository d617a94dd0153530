"""Durations in Go's syntax (`1h30m`, `500ms`), read and printed exactly as Flux does. Pure."""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = 64
"""Characters; reading many digits takes the square of them."""
_MOST = (2**63 - 1) / 1e9
"""Seconds; Go counts nanoseconds in 64 bits."""


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError for anything that Go's `time.ParseDuration` would refuse."""
    if len(text) > _LONGEST:
        raise ValueError(f"invalid duration of more than {_LONGEST} characters: write it like 10m, 1h30m or 500ms")
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    total, position = 0.0, 0
    while match := _PART.match(rest, position):
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not rest or position != len(rest) or total > _MOST:
        raise ValueError(f"invalid duration {text!r}: write it like 10m, 1h30m or 500ms")
    return sign * total


def format_duration(seconds: float) -> str:
    """As Go prints it: `1h0m0s`, `1m30s`, `1.5s`, `250ms`, `0s`."""
    nanoseconds = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 else ""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if nanoseconds >= size:
                return f"{sign}{_decimal(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 1_000_000_000)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else sign + text


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    if not fraction:
        return str(whole)
    return f"{whole}.{str(fraction).zfill(len(str(unit)) - 1).rstrip('0')}"

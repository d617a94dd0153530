"""Times as the Kubernetes API writes them: RFC 3339 in UTC with a `Z`. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def format_timestamp(moment: float, *, fraction: bool = False) -> str:
    """Seconds since the epoch as `2026-01-02T03:04:05Z`; with `fraction`, microseconds are kept."""
    when = datetime.fromtimestamp(moment, UTC)
    return when.isoformat(timespec="microseconds" if fraction else "seconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> float:
    """The reverse, in seconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()

"""Where the tools keep things: the repository's `.fluxless/` for what runs, the user's cache for what takes long."""

from __future__ import annotations

import os
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".fluxless"


def cache() -> Path:
    """The cache folder: `$FLUXLESS_CACHE`, else `fluxless` in the user's."""
    base = os.environ.get("FLUXLESS_CACHE")
    folder = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fluxless"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

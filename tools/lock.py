"""One at a time, across processes: builds into the same cache."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

LIMIT = 1800.0
"""Seconds; a cold build of everything takes about eight minutes."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file; waits up to half an hour, then raises TimeoutError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LIMIT
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"somebody holds {path} for half an hour") from None
                time.sleep(0.5)
        yield

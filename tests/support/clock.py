"""A bound of time for work that an attack would make endless."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


class StillBusy(Exception):
    """The work has not ended in time."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """End what the main thread does after so many seconds. Python's `re` looks for signals now and then."""

    def stop(*_: object) -> None:
        raise StillBusy(f"busy for more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

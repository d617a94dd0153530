"""A bound of processor time for work that an attack would make endless: it is the same on a busy machine."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


class StillBusy(Exception):
    """The work has not ended in time."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """End what the main thread does when the process has computed for so many seconds. Python's `re` looks for signals
    now and then.
    """

    def stop(*_: object) -> None:
        raise StillBusy(f"busy for more than {seconds} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)

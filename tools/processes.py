"""Starts servers that outlive their starter or not, and ends just those."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""


def start(
    name: str,
    argv: Sequence[str | Path],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> int:
    """Start a server in a session of its own; its output goes to `<folder>/<name>.log`, its id to `<name>.pid`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(argument) for argument in argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    started = psutil.Process(process.pid).create_time()
    (folder / f"{name}.pid").write_text(f"{process.pid} {started}")
    return process.pid


def running(folder: Path, name: str) -> psutil.Process | None:
    """The process that `start` noted, if it still is that process: ids are used again."""
    try:
        pid, started = (folder / f"{name}.pid").read_text().split()
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(started)) < 1.0
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    return process if same and process.status() != psutil.STATUS_ZOMBIE else None


def stop(folder: Path, name: str, *, kill: bool = False) -> None:
    """End what `start` started, by its id: SIGTERM, then SIGKILL after a while; `kill` at once."""
    process = running(folder, name)
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            children = process.children(recursive=True)
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            _, left = psutil.wait_procs([process], timeout=GRACE)
            for survivor in [*left, *children]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    survivor.kill()
            psutil.wait_procs([process, *children], timeout=GRACE)
    (folder / f"{name}.pid").unlink(missing_ok=True)


def wait_for(what: str, ready: Callable[[], bool], limit: float, log: Path | None = None) -> None:
    """Poll until `ready`; raises RuntimeError with the end of the log when that takes longer than `limit` seconds."""
    deadline = time.monotonic() + limit
    while not ready():
        if time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:] if log is not None and log.exists() else ""
            raise RuntimeError(f"{what} is not ready after {limit:.0f} s\n{tail}")
        time.sleep(0.1)

"""`python -m tools.localhost APP [--port N] [--state FOLDER] [--settings FILE] [--no-replay-check]
[--durable-host PROGRAM]`."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from tools.localhost.app import App
from tools.localhost.host import Host
from tools.localhost.settings import load_environment, read_host


async def _run(options: argparse.Namespace) -> None:
    folder = Path(options.app).resolve()  # noqa: ASYNC240 -- before anything else runs
    load_environment(folder, Path(options.settings) if options.settings else None)
    settings = read_host(folder)
    app = App.load(folder, settings.function_timeout)
    state = Path(options.state) if options.state else folder / ".localhost"
    lock = _lock(state)
    program = Path(options.durable_host) if options.durable_host else None
    host = Host(app, settings, folder, state, program=program, check_replays=not options.no_replay_check)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    print(f"listening on {await host.start(options.port)}", flush=True)
    await stop.wait()
    await host.stop()
    lock.close()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)  # threads of blocking functions would keep the process for as long as they like


def _lock(state: Path) -> TextIO:
    """One host per state folder: two would do everything twice."""
    state.mkdir(parents=True, exist_ok=True)
    file = (state / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"error: another host uses the state folder {state}: stop it, or choose another one by --state")
    return file


def main() -> None:
    """Parse the command line and run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="tools.localhost", description="A local host for Python v2 function apps.")
    parser.add_argument("app", help="folder with function_app.py and host.json")
    parser.add_argument("--port", type=int, default=7071)
    parser.add_argument("--state", help="folder for histories and keys (default: .localhost in the app's folder)")
    parser.add_argument("--settings", help="file with lines NAME=value of further app settings")
    parser.add_argument("--no-replay-check", action="store_true", help="do not run every orchestrator step twice")
    parser.add_argument("--durable-host", help="program of Microsoft's Durable extension, to be the engine")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("aiohttp.access", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    asyncio.run(_run(options))


if __name__ == "__main__":
    main()

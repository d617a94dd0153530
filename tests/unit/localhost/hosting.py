"""A real local host in a process of its own, for tests; killed at the end whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
APPS = Path(__file__).parent / "apps"
WEBHOOKS = "/runtime/webhooks/durabletask"
ENDED = {"Completed", "Failed", "Terminated"}


class LocalHost:
    """`python -m tools.localhost` on a free port; `env` are further app settings."""

    def __init__(self, app: Path, state: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.state = state
        state.mkdir(parents=True, exist_ok=True)
        self.log_path = state / "host.log"
        command = [sys.executable, "-m", "tools.localhost", str(app), "--port", "0", "--state", str(state), *options]
        with self.log_path.open("ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **(env or {})}, start_new_session=True
            )
        try:
            self.url = until(lambda: self._address(start), "the host listens", 60)
        except BaseException:
            self.kill()
            raise

    def _address(self, start: int) -> str | None:
        assert self.process.poll() is None, self.log
        found = re.search(rb"listening on (http://\S+?)[;\s]", self.log_path.read_bytes()[start:])
        return found[1].decode() if found else None

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def keys(self) -> dict[str, str]:
        keys: dict[str, str] = json.loads((self.state / "keys.json").read_text())
        return keys

    def kill(self) -> None:
        """kill -9 of exactly this process."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def stop(self, patience: float = 15) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience)

    def __enter__(self) -> LocalHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def ask(self, path: str, data: Any = None, method: str | None = None, **headers: str) -> tuple[int, str]:
        """(status, text); `data` is sent as JSON."""
        body = None if data is None else json.dumps(data).encode()
        headers.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, body, headers, method=method or ("POST" if body else "GET"))
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def durable(self, path: str, data: Any = None, method: str | None = None) -> tuple[int, str]:
        return self.ask(WEBHOOKS + path, data, method, **{"x-functions-key": self.keys["durable"]})

    def begin(self, orchestrator: str, instance: str, given: Any = None) -> None:
        status, text = self.durable(f"/orchestrators/{orchestrator}/{instance}", json.dumps(given), "POST")
        assert status == 202, text

    def look(self, instance: str) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.durable(f"/instances/{instance}")[1])
        return status

    def ended(self, instance: str, seconds: float = 10) -> dict[str, Any]:
        ended: dict[str, Any] = until(
            lambda: _if(self.look(instance), "runtimeStatus", ENDED), f"{instance} ends", seconds
        )
        return ended

    def custom(self, instance: str, wanted: Any, seconds: float = 10) -> None:
        until(lambda: _if(self.look(instance), "customStatus", [wanted]), f"{instance} is {wanted}", seconds)

    def event(self, instance: str, name: str, data: Any = "news") -> None:
        status, text = self.durable(f"/instances/{instance}/raiseEvent/{name}", data, "POST")
        assert status == 202, text


def _if(document: dict[str, Any], key: str, values: Any) -> dict[str, Any] | None:
    return document if document[key] in values else None


def until(look: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")

"""Plays scenarios on an engine, and reads what happened there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from functions import names, orchestrators
from tests.unit.localhost.hosting import LocalHost
from tools.places import ROOT

STUCK = 3.0
"""Seconds after which the scripted app takes a `sync` for stuck."""


class Stage:
    """A local host with the scripted app on it."""

    def __init__(self, host: LocalHost, journal: Path) -> None:
        self.host = host
        self._journal = journal

    @classmethod
    @contextmanager
    def open(cls, app: Path, folder: Path, *options: str, env: dict[str, str]) -> Iterator[Stage]:
        journal = folder / "journal"
        journal.mkdir(parents=True)
        settings = {"TEST_JOURNAL": str(journal), "TEST_STUCK": str(STUCK), "PYTHONPATH": str(ROOT)}
        with LocalHost(app, folder / "state", *options, env=settings | env) as host:
            yield cls(host, journal)

    def sync(self, cluster: str, **more: Any) -> None:
        """Begin the loop of a cluster, as `wake` begins it."""
        given = {"cluster": cluster, "again": False, "turns": orchestrators.TURNS} | more
        self.host.begin(names.SYNC, names.sync_instance(cluster), given)

    def wake(self, cluster: str) -> None:
        """There is news of it."""
        status, text = self.host.ask(f"/wake/{cluster}", {})
        assert status == 202, text

    def ended(self, cluster: str, seconds: float = 30) -> dict[str, Any]:
        """The status of its loop, once that has ended."""
        return self.host.ended(names.sync_instance(cluster), seconds)

    def told(self, cluster: str, *what: str) -> list[dict[str, Any]]:
        """The lines of the journal about it, in order; only those of that kind when given."""
        file = self._journal / f"{cluster}.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [line for line in lines if not what or line["what"] in what]

    def begun(self, cluster: str) -> list[str]:
        """The batches that were begun, in order."""
        return [line["batch"] for line in self.told(cluster, "begin")]

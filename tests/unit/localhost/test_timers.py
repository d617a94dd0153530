"""Timer functions: seconds, settings in schedules, and runs that were missed."""

from __future__ import annotations

import time
from pathlib import Path

from tests.unit.localhost.hosting import APPS, LocalHost, until


def runs(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_run_that_was_missed_is_made_up_for_once(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    env = {"TEST_SEEN": str(seen), "TEST_SCHEDULE": "*/2 * * * * *"}
    with LocalHost(APPS / "clock", tmp_path / "state", env=env):
        until(lambda: runs(seen) or None, "a first run", 5)
    before = len(runs(seen))
    assert set(runs(seen)) == {"in time"}
    time.sleep(4.5)
    with LocalHost(APPS / "clock", tmp_path / "state", env=env):
        until(lambda: len(runs(seen)) > before + 1 or None, "two more runs", 8)
    assert runs(seen)[before : before + 2] == ["late", "in time"]

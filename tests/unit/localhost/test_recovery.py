"""Nothing is lost when the process dies, and a stop is orderly."""

from __future__ import annotations

import time
from pathlib import Path

from tests.unit.localhost.hosting import APPS, LocalHost, until


def words(path: Path) -> list[str]:
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_after_kill_9_a_running_activity_runs_again(tmp_path: Path) -> None:
    seen, env = tmp_path / "seen", {"TEST_SEEN": str(tmp_path / "seen")}
    with LocalHost(APPS / "durable", tmp_path / "state", env=env) as host:
        host.begin("long", "one")
        until(lambda: "begin-second" in words(seen) or None, "the second activity runs")
        host.kill()
    with LocalHost(APPS / "durable", tmp_path / "state", env=env) as host:
        assert host.ended("one")["output"] == ["first", "second"]
    assert words(seen) == ["begin-first", "end-first", "begin-second", "begin-second", "end-second"]


def test_after_kill_9_a_timer_fires_that_was_due_meanwhile(tmp_path: Path) -> None:
    seen, env = tmp_path / "seen", {"TEST_SEEN": str(tmp_path / "seen")}
    with LocalHost(APPS / "durable", tmp_path / "state", env=env) as host:
        host.begin("long", "one")
        until(lambda: "end-first" in words(seen) or None, "the first activity ended")
        time.sleep(0.15)
        host.kill()
    time.sleep(0.5)
    with LocalHost(APPS / "durable", tmp_path / "state", env=env) as host:
        assert host.ended("one")["output"] == ["first", "second"]
    assert words(seen).count("begin-first") == 1


def test_sigterm_lets_a_running_activity_end_and_exits_with_0(tmp_path: Path) -> None:
    seen, env = tmp_path / "seen", {"TEST_SEEN": str(tmp_path / "seen")}
    with LocalHost(APPS / "durable", tmp_path / "state", env=env) as host:
        host.begin("long", "one")
        until(lambda: "begin-second" in words(seen) or None, "the second activity runs")
        assert host.stop() == 0
    assert words(seen)[-1] == "end-second"
    with LocalHost(APPS / "durable", tmp_path / "state", env=env) as host:
        assert host.ended("one")["output"] == ["first", "second"]
    assert words(seen).count("begin-second") == 1

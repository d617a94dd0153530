"""Waking a cluster: start, nudge, end what is stuck; and the heartbeat that replaces a dead timer."""

import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from functions import host, names, wake
from functions.orchestrators import TURNS


class Client:
    """What of the durable client is used; `calls` is what was asked of it."""

    def __init__(
        self, state: str = "", *, age: float = 0, turn: int = 7, refuses: bool = False, code: int | None = names.CODE
    ) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._state, self._age, self._refuses = state, age, refuses
        self._ends = 0
        self._custom = {"turn": turn} | ({} if code is None else {"code": code})

    async def get_status(self, instance: str) -> Any:
        self._ends -= 1
        if not self._state:
            return None
        if self._ends == 0:
            self._state = "Terminated"
        return SimpleNamespace(
            runtime_status=SimpleNamespace(value=self._state),
            last_updated_time=datetime.fromtimestamp(time.time() - self._age, UTC),
            custom_status=self._custom,
        )

    async def start_new(self, name: str, instance: str, given: Any) -> None:
        self.calls.append(("start", name, instance, given))
        if self._refuses:
            raise Exception("already running")

    async def raise_event(self, instance: str, name: str, data: Any) -> None:
        self.calls.append(("event", name))

    async def terminate(self, instance: str, reason: str) -> None:
        self.calls.append(("terminate", instance))
        self._ends = 2  # it is still there at the next look


START = ("start", "sync", "sync-dev", {"cluster": "dev", "again": True, "turns": TURNS})
QUIET = ("start", "sync", "sync-dev", {"cluster": "dev", "again": False, "turns": TURNS})
CLOCK: tuple[Any, ...] = ("start", "clock", "clock", {})


@pytest.mark.parametrize(
    ("client", "news", "calls"),
    [
        pytest.param(Client(), True, [START], id="never ran"),
        pytest.param(Client("Completed"), True, [START], id="has ended"),
        pytest.param(Client("Failed"), False, [QUIET], id="has failed"),
        pytest.param(Client("Running"), False, [("event", "wake-7")], id="timer wakes the present wait"),
        pytest.param(
            Client("Running"), True, [("event", "wake-7"), ("event", "wake-8")], id="news wake the next wait as well"
        ),
        pytest.param(Client("Running", age=1000), True, [("terminate", "sync-dev"), START], id="stuck"),
        pytest.param(Client("Running", code=None), False, [("event", "wake-7")], id="begun by the first release"),
        pytest.param(
            Client("Running", code=max(names.REPLAYED) + 1),
            True,
            [("terminate", "sync-dev"), START],
            id="begun by a release that this one cannot go on for",
        ),
        pytest.param(Client(refuses=True), True, [START], id="somebody else was first"),
    ],
)
async def test_a_cluster_is_planned_soon_whatever_its_sync_is_doing(
    client: Client, news: bool, calls: list[Any]
) -> None:
    await wake.wake(client, "dev", news=news)
    assert client.calls == calls


@pytest.mark.parametrize(("silence", "started"), [(10.0, 0), (121.0, 2), (float("inf"), 2)])
async def test_a_caller_starts_what_a_silent_timer_left_undone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, silence: float, started: int
) -> None:
    async def silent() -> float:
        return silence

    monkeypatch.setattr(host, "engine", lambda: SimpleNamespace(silence=silent, clusters=["a", "b"]))
    monkeypatch.setattr(wake, "_heard", float("-inf"))
    monkeypatch.setattr(wake, "_clock_seen", float("-inf"))
    client = Client()
    await wake.wake_overdue(client)
    assert client.calls[0] == CLOCK
    assert len(client.calls) == 1 + started
    assert ("alert=heartbeat-missing" in caplog.text) == bool(started)


@pytest.mark.parametrize(
    ("client", "calls"),
    [
        pytest.param(Client(), [CLOCK], id="never ran"),
        pytest.param(Client("Failed"), [CLOCK], id="has failed"),
        pytest.param(Client("Running"), [], id="goes"),
        pytest.param(Client("Running", age=601), [("terminate", "clock"), CLOCK], id="stuck"),
        pytest.param(Client(refuses=True), [CLOCK], id="somebody else was first"),
    ],
)
async def test_the_second_clock_is_kept_going(
    monkeypatch: pytest.MonkeyPatch, client: Client, calls: list[Any]
) -> None:
    monkeypatch.setattr(wake, "_clock_seen", float("-inf"))
    for _ in range(3):
        await wake.keep_clock(client)
    assert client.calls == calls

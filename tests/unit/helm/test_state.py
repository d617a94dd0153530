"""How a release stands and what follows (HR-60..65), row by row."""

from dataclasses import replace
from typing import Any

import pytest

from fluxless.helm.release import Release
from fluxless.helm.state import (
    Action,
    Exhausted,
    Found,
    NoTarget,
    State,
    Wanted,
    determine,
    next_action,
    previous,
    retry_interval,
    truncated,
)

WANTED = Wanted("web", "1.0.0", {"a": 1})


def record(version: int = 1, status: str = "deployed", **fields: Any) -> Release:
    text = f'{{"name":"app","version":{version},"namespace":"n"}}'
    made = Release(
        name="app",
        namespace="n",
        version=version,
        status=status,
        description="",
        chart={"name": "web", "version": "1.0.0"},
        config={"a": 1},
        manifest="",
        hooks=(),
        info={"status": status},
        secret=f"sh.helm.release.v1.app.v{version}",
        text=text,
    )
    return replace(made, **fields)


def history(*records: Release) -> list[dict[str, Any]]:
    return [{**one.snapshot(), "status": one.status} for one in records]


@pytest.mark.parametrize(
    ("last", "known", "wanted", "expected"),
    [
        pytest.param(None, [], WANTED, State.ABSENT, id="nothing is there"),
        pytest.param(record(status="uninstalled"), [], WANTED, State.ABSENT, id="uninstalled and kept"),
        *(
            pytest.param(record(status=f"pending-{word}"), [record()], WANTED, State.LOCKED, id=f"pending-{word}")
            for word in ("install", "upgrade", "rollback")
        ),
        pytest.param(record(status="uninstalling"), [record()], WANTED, State.LOCKED, id="uninstalling"),
        pytest.param(record(), [], WANTED, State.UNMANAGED, id="somebody else's"),
        pytest.param(record(3), [record(2)], WANTED, State.UNMANAGED, id="a newer version than ours"),
        pytest.param(
            record(text='{"name":"app","version":1,"x":2}'),
            [record(text='{"name":"b"}')],
            WANTED,
            State.UNMANAGED,
            id="changed under our eyes",
        ),
        pytest.param(record(status="failed"), [record(status="failed")], WANTED, State.FAILED, id="failed"),
        pytest.param(record(status="superseded"), [record(status="superseded")], WANTED, State.UNKNOWN, id="odd"),
        pytest.param(record(), [record()], replace(WANTED, chart_version="2.0.0"), State.OUT_OF_SYNC, id="chart"),
        pytest.param(record(), [record()], replace(WANTED, values={"a": 2}), State.OUT_OF_SYNC, id="values"),
        pytest.param(record(), [record()], replace(WANTED, oci_digest="sha256:1"), State.OUT_OF_SYNC, id="digest"),
        pytest.param(record(), [record()], WANTED, State.IN_SYNC, id="in sync"),
    ],
)
def test_a_state_is_determined(last: Release | None, known: list[Release], wanted: Wanted, expected: State) -> None:
    assert determine(last, wanted, history(*known)).state is expected


@pytest.mark.parametrize(
    ("hooks", "ignored", "expected"),
    [
        (None, False, State.UNTESTED),
        ({}, False, State.IN_SYNC),
        ({"a": {"phase": "Succeeded"}}, False, State.IN_SYNC),
        ({"a": {"phase": "Succeeded"}, "b": {"phase": "Running"}}, False, State.UNTESTED),
        ({"a": {"phase": "Failed"}, "b": {"phase": ""}}, False, State.FAILED),
        ({"a": {"phase": "Failed"}}, True, State.IN_SYNC),
    ],
)
def test_tests_belong_to_the_state(hooks: dict[str, Any] | None, ignored: bool, expected: State) -> None:
    known = history(record())
    if hooks is not None:
        known[0]["testHooks"] = hooks
    wanted = replace(WANTED, test=True, ignore_test_failures=ignored)
    assert determine(record(), wanted, known).state is expected
    assert determine(record(), WANTED, known).state is State.IN_SYNC


def status(action: str, failures: int, *versions: tuple[int, str]) -> dict[str, Any]:
    entries = [{"version": number, "status": word} for number, word in versions]
    return {"lastAttemptedReleaseAction": action, f"{action}Failures": failures, "history": entries}


def spec(action: str, **remediation: Any) -> dict[str, Any]:
    return {action: {"remediation": remediation}}


FAILED_UPGRADE = ((2, "failed"), (1, "superseded"))


@pytest.mark.parametrize(
    ("state", "said", "known", "expected"),
    [
        pytest.param(State.IN_SYNC, {}, {}, None, id="nothing to do"),
        pytest.param(State.ABSENT, {}, {}, Action.INSTALL, id="install"),
        pytest.param(State.LOCKED, {}, {}, Action.UNLOCK, id="unlock"),
        pytest.param(State.UNTESTED, {}, {}, Action.TEST, id="test"),
        pytest.param(State.UNMANAGED, {}, {}, Action.UPGRADE, id="take over"),
        pytest.param(State.OUT_OF_SYNC, {}, status("install", 0), Action.UPGRADE, id="upgrade"),
        pytest.param(State.FAILED, {}, {}, Action.UPGRADE, id="failed before our time"),
        pytest.param(
            State.FAILED, spec("install", retries=1), status("install", 1), Action.UNINSTALL, id="undo install"
        ),
        pytest.param(State.FAILED, {}, status("install", 1), Exhausted, id="no retries: the last failure stays"),
        pytest.param(
            State.FAILED,
            spec("install", remediateLastFailure=True),
            status("install", 1),
            Action.UNINSTALL,
            id="the last failure as well",
        ),
        pytest.param(State.ABSENT, spec("install", retries=1), status("install", 1), Action.INSTALL, id="try again"),
        pytest.param(State.ABSENT, spec("install", retries=1), status("install", 2), Exhausted, id="no retry is left"),
        pytest.param(
            State.ABSENT, spec("install", retries=-1), status("install", 99), Action.INSTALL, id="without end"
        ),
        pytest.param(
            State.FAILED,
            spec("upgrade", retries=1),
            status("upgrade", 1, *FAILED_UPGRADE),
            Action.ROLLBACK,
            id="roll back",
        ),
        pytest.param(
            State.FAILED,
            spec("upgrade", retries=1),
            status("upgrade", 2, *FAILED_UPGRADE),
            Action.ROLLBACK,
            id="with retries the last failure is undone too",
        ),
        pytest.param(
            State.FAILED, {}, status("upgrade", 1, *FAILED_UPGRADE), Exhausted, id="without retries it is not"
        ),
        pytest.param(
            State.FAILED,
            spec("upgrade", retries=1, strategy="uninstall"),
            status("upgrade", 1, *FAILED_UPGRADE),
            Action.UNINSTALL,
            id="by uninstall",
        ),
        pytest.param(
            State.FAILED,
            spec("upgrade", retries=1),
            status("upgrade", 1, (1, "failed")),
            NoTarget,
            id="nothing to roll back to",
        ),
        pytest.param(
            State.FAILED,
            {"upgrade": {"strategy": {"name": "RetryOnFailure"}}},
            status("upgrade", 7, *FAILED_UPGRADE),
            Action.UPGRADE,
            id="tried again instead of undone",
        ),
        pytest.param(
            State.OUT_OF_SYNC, spec("upgrade", retries=0), status("upgrade", 1), Exhausted, id="rolled back, done"
        ),
    ],
)
def test_the_next_action_follows(state: State, said: dict[str, Any], known: dict[str, Any], expected: Any) -> None:
    if isinstance(expected, type):
        with pytest.raises(expected):
            next_action(Found(state), said, known, force=False)
        assert next_action(Found(state), said, known, force=True) is not None
    else:
        assert next_action(Found(state), said, known, force=False) is expected


def test_a_request_forces_a_release_that_is_in_sync() -> None:
    assert next_action(Found(State.IN_SYNC), {}, {}, force=True) is Action.UPGRADE


def test_the_target_of_a_rollback_was_good() -> None:
    def target(*versions: tuple[int, str], tested: str = "", ignore: bool = False) -> int | None:
        known = status("upgrade", 1, *versions)["history"]
        known[-1]["testHooks"] = {"a": {"phase": tested}}
        found = previous(known, ignore_tests=ignore)
        return found["version"] if found is not None else None

    assert target((3, "failed"), (2, "failed"), (1, "superseded")) == 1
    assert target((1, "failed")) is None
    assert target((2, "failed"), (1, "superseded"), tested="Failed") is None
    assert target((2, "failed"), (1, "superseded"), tested="Failed", ignore=True) == 1


def test_a_history_is_kept_down_to_what_can_be_rolled_back_to() -> None:
    known = status("upgrade", 0, (4, "deployed"), (3, "failed"), (2, "superseded"), (1, "superseded"))["history"]
    assert [entry["version"] for entry in truncated(known)] == [4, 3, 2]
    failed = status("upgrade", 0, *((number, "failed") for number in range(9, 0, -1)))["history"]
    assert [entry["version"] for entry in truncated(failed)] == [9, 8, 7, 6, 5]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({"name": "RetryOnFailure"}, 300.0),
        ({"name": "RetryOnFailure", "retryInterval": "30s"}, 30.0),
        ({"name": "RemediateOnFailure"}, None),
        (None, None),
    ],
)
def test_a_failure_is_tried_again_after(strategy: dict[str, str] | None, expected: float | None) -> None:
    said = {"install": {"strategy": strategy} if strategy else {}}
    assert retry_interval(said, status("install", 1)) == expected
    assert retry_interval(said, status("upgrade", 1)) is None

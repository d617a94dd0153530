"""The rules of conditions, durations and times (CM-1, KC-50)."""

import pytest

from fluxless.api import conditions
from fluxless.api.duration import format_duration, parse_duration
from fluxless.api.timestamps import format_timestamp, parse_timestamp

Conditions = list[dict[str, object]]


def _set(
    found: Conditions, name: str, status: conditions.Status = "True", message: str = "m", now: float = 0
) -> Conditions:
    return conditions.set_condition(found, name, status, "Reason", message, generation=1, now=now)


def test_reconciling_and_stalled_exclude_each_other() -> None:
    found = _set(_set([], "Reconciling"), "Stalled")
    assert [c["type"] for c in found] == ["Stalled"]
    assert [c["type"] for c in _set(found, "Reconciling")] == ["Reconciling"]


def test_the_order_is_stalled_reconciling_ready_then_the_alphabet() -> None:
    found: Conditions = []
    for name in ("Healthy", "Ready", "ArtifactInStorage", "Reconciling"):
        found = _set(found, name)
    assert [c["type"] for c in found] == ["Reconciling", "Ready", "ArtifactInStorage", "Healthy"]


def test_the_time_moves_only_with_status_reason_or_message() -> None:
    first = _set([], "Ready", now=0)
    same = conditions.set_condition(first, "Ready", "True", "Reason", "m", generation=2, now=60)
    assert same[0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    assert same[0]["observedGeneration"] == 2
    assert _set(same, "Ready", message="other", now=60)[0]["lastTransitionTime"] == "1970-01-01T00:01:00Z"


def test_a_long_message_is_cut_at_20000_characters() -> None:
    message = str(_set([], "Ready", message="x" * 30000)[0]["message"])
    assert len(message) == 20000
    assert message.endswith("...")


@pytest.mark.parametrize(
    ("text", "seconds", "printed"),
    [
        ("10m", 600, "10m0s"),
        ("1h30m", 5400, "1h30m0s"),
        ("90s", 90, "1m30s"),
        ("1.5s", 1.5, "1.5s"),
        ("500ms", 0.5, "500ms"),
        ("0", 0, "0s"),
        ("1h", 3600, "1h0m0s"),
        ("-5s", -5, "-5s"),
        ("100us", 0.0001, "100µs"),
    ],
)
def test_durations_are_read_and_printed_as_go_does(text: str, seconds: float, printed: str) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
    assert format_duration(parse_duration(text)) == printed


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "1d", "ten"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)


def test_times_go_there_and_back() -> None:
    assert parse_timestamp(format_timestamp(1700000000)) == 1700000000
    assert format_timestamp(1700000000.25, fraction=True) == "2023-11-14T22:13:20.250000Z"

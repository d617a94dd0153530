"""What is kept of what others give: for how long, for how many, and for whom."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from fluxless import limits
from fluxless.auth import earned
from fluxless.auth.earned import Earned, key_of, sound
from fluxless.transport import Proxy, Tls


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(earned, "time", SimpleNamespace(monotonic=found.monotonic))
    return found


def test_what_was_not_used_for_the_longest_time_goes_first(clock: Clock) -> None:
    kept = Earned(2)
    assert not kept.put("a", "1", 100)
    assert not kept.put("b", "2", 100)
    assert kept.get("a") == "1"
    assert kept.put("c", "3", 100)
    assert (kept.get("a"), kept.get("b"), kept.get("c"), len(kept)) == ("1", "", "3", 2)


@pytest.mark.parametrize("life", [math.inf, 1e300, 10.0**9])
def test_nothing_lasts_for_longer_than_the_limit(clock: Clock, life: float) -> None:
    kept = Earned(2)
    kept.put("a", "1", life)
    clock.now += limits.TOKEN_LIFE - earned.EARLY - 1
    assert kept.get("a") == "1"
    clock.now += 2
    assert kept.get("a") == ""
    assert not len(kept)


@pytest.mark.parametrize("life", [math.nan, -math.inf, -1.0, 0.0, earned.EARLY])
def test_what_is_over_already_is_not_kept_and_replaces_what_was(clock: Clock, life: float) -> None:
    kept = Earned(2)
    kept.put("a", "1", 100)
    kept.put("a", "2", life)
    assert kept.get("a") == ""


def test_a_token_is_visible_ascii_of_a_bounded_length() -> None:
    assert sound("!" + "a" * (limits.TOKEN_BYTES - 2) + "~")
    assert not any(map(sound, ("", "a b", "a\n", "é", "\x7f", "a" * (limits.TOKEN_BYTES + 1))))


def test_a_key_is_of_those_who_come_alike() -> None:
    plain = key_of("a", "b", tls=Tls(), proxy=None)
    assert plain == key_of("a", "b", tls=Tls(), proxy=None)
    others = [
        key_of("ab", "", tls=Tls(), proxy=None),
        key_of("a\0b", tls=Tls(), proxy=None),
        key_of("a", "b", tls=Tls(insecure=True), proxy=None),
        key_of("a", "b", tls=Tls(ca=b"x"), proxy=None),
        key_of("a", "b", tls=Tls(certificate=b"x"), proxy=None),
        key_of("a", "b", tls=Tls(key=b"x"), proxy=None),
        key_of("a", "b", tls=Tls(), proxy=Proxy("http://x")),
        key_of("a", "b", tls=Tls(), proxy=Proxy("http://x", "u", "p")),
        key_of("a", "b", tls=Tls(), proxy=Proxy("http://x", "u", "q")),
    ]
    assert len({plain, *others}) == 1 + len(others)

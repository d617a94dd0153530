"""A cluster that does not answer is left alone for a while that doubles, and asked for a sign of life first."""

import json
from typing import Any, cast

import pytest

from fluxless.engine.reach import FIRST_PAUSE, LONGEST_PAUSE, TOLERATED, Away, ClusterAway, Reach
from fluxless.kube.client import Cluster
from fluxless.kube.errors import Forbidden, Unreachable


class Remote:
    """A cluster of which only the sign of life is asked."""

    name = "c"

    def __init__(self) -> None:
        self.alive = True
        self.asked = 0

    async def request(self, method: str, path: str) -> dict[str, Any]:
        assert (method, path) == ("GET", "/version")
        self.asked += 1
        if not self.alive:
            raise Unreachable("nobody there")
        return {}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def _fail(reach: Reach, remote: Remote, error: Exception) -> None:
    async def connect(name: str) -> Cluster:
        return cast(Cluster, remote)

    with pytest.raises(type(error)):
        async with reach.asking("c", connect):
            raise error


async def _succeed(reach: Reach, remote: Remote) -> None:
    async def connect(name: str) -> Cluster:
        return cast(Cluster, remote)

    async with reach.asking("c", connect):
        pass


async def test_after_a_few_failures_it_is_left_alone_and_then_asked_again() -> None:
    clock, remote = Clock(), Remote()
    reach = Reach(clock)
    for _ in range(TOLERATED):
        await _fail(reach, remote, Unreachable("no answer"))
    with pytest.raises(ClusterAway, match=r"away; it is asked again in 15 s\. It said last: no answer"):
        await _succeed(reach, remote)
    clock.now += FIRST_PAUSE
    remote.alive = False
    await _fail(reach, remote, Unreachable("never raised: the sign of life fails before"))
    clock.now += FIRST_PAUSE
    with pytest.raises(ClusterAway):
        reach.refuse_away("c")
    clock.now += FIRST_PAUSE
    remote.alive = True
    await _succeed(reach, remote)
    asked = remote.asked
    await _succeed(reach, remote)
    assert remote.asked == asked, "a cluster that answers costs no further request"


async def test_the_pause_has_a_limit() -> None:
    clock, remote = Clock(), Remote()
    reach = Reach(clock)
    remote.alive = False
    for _ in range(20):
        await _fail(reach, remote, Unreachable("no answer"))
        clock.now += LONGEST_PAUSE
    reach.refuse_away("c")


async def test_an_answer_that_says_no_is_an_answer() -> None:
    reach, remote = Reach(Clock()), Remote()
    for _ in range(TOLERATED + 1):
        await _fail(reach, remote, Forbidden("no"))
    reach.refuse_away("c")


async def test_what_one_worker_has_found_out_holds_for_another() -> None:
    clock, remote = Clock(), Remote()
    one, another = Reach(clock), Reach(clock)
    for _ in range(TOLERATED):
        another.learn("c", one.known("c"))
        await _fail(another, remote, Unreachable("no answer"))
        kept = another.known("c")
        assert kept is not None
        one.learn("c", Away.from_json(json.loads(json.dumps(kept.to_json()))))
    with pytest.raises(ClusterAway, match="It said last: no answer"):
        one.refuse_away("c")
    one.learn("c", None)
    one.refuse_away("c")


def test_no_pause_that_somebody_else_has_written_is_longer_than_ours() -> None:
    clock = Clock()
    reach = Reach(clock)
    reach.learn("c", Away(5, clock.now + 10 * LONGEST_PAUSE, "poisoned"))
    reach.refuse_away("c")
    reach.learn("c", Away(5, clock.now + LONGEST_PAUSE, "ours"))
    with pytest.raises(ClusterAway):
        reach.refuse_away("c")


async def test_failures_without_number_have_a_pause() -> None:
    reach = Reach(Clock())
    reach.learn("c", Away(2**53, 0.0, ""))
    await _fail(reach, Remote(), Unreachable("x" * 10_000))
    known = reach.known("c")
    assert known is not None
    assert len(known.why) < 1000
    with pytest.raises(ClusterAway):
        reach.refuse_away("c")

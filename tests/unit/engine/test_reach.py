"""A cluster that does not answer is left alone for a while that doubles, and asked for a sign of life first."""

from typing import Any, cast

import pytest

from fluxless.engine.reach import FIRST_PAUSE, LONGEST_PAUSE, TOLERATED, ClusterAway, Reach
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

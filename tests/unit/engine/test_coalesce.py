"""Nothing is lost, and nothing is done twice that once would do."""

import asyncio
import itertools

import pytest

from fluxless.engine.coalesce import Coalescer


async def test_all_who_come_while_one_runs_share_the_next() -> None:
    began: list[float] = []

    async def work(key: str) -> int:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.02)
        return len(began)

    ask: Coalescer[str, int] = Coalescer(work)
    first = asyncio.create_task(ask("a"))
    await asyncio.sleep(0.005)
    results = await asyncio.gather(*(ask("a") for _ in range(50)))
    assert await first == 1
    assert results == [2] * 50
    assert await ask("a") == 3
    assert ask._running == ask._next == {}


async def test_every_call_is_followed_by_a_run_that_began_after_it() -> None:
    began: list[float] = []
    loop = asyncio.get_running_loop()

    async def work(key: str) -> float:
        began.append(loop.time())
        await asyncio.sleep(0.003)
        return began[-1]

    ask: Coalescer[str, float] = Coalescer(work)

    async def one(delay: float) -> None:
        await asyncio.sleep(delay)
        called = loop.time()
        assert await ask("a") >= called

    await asyncio.gather(*(one(number / 2000) for number in range(200)))
    assert len(began) < 60


async def test_runs_are_spaced() -> None:
    began: list[float] = []

    async def work(key: str) -> None:
        began.append(asyncio.get_running_loop().time())

    ask: Coalescer[str, None] = Coalescer(work, spacing=0.03)
    for _ in range(4):
        await asyncio.gather(*(ask("a") for _ in range(20)))
    gaps = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert min(gaps) > 0.025
    assert ask._running == ask._next == {}


async def test_a_failure_is_told_to_all_and_the_next_is_tried() -> None:
    fails = [True, False]

    async def work(key: str) -> str:
        await asyncio.sleep(0.005)
        if fails.pop(0):
            raise ValueError(key)
        return "done"

    ask: Coalescer[str, str] = Coalescer(work)
    results = await asyncio.gather(*(ask("a") for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 3
    assert await ask("a") == "done"


async def test_whoever_gives_up_does_not_stop_the_others() -> None:
    async def work(key: str) -> str:
        await asyncio.sleep(0.02)
        return "done"

    ask: Coalescer[str, str] = Coalescer(work)
    patient = asyncio.create_task(ask("a"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.005):
            await ask("a")
    assert await patient == "done"
    assert await ask("a") == "done"

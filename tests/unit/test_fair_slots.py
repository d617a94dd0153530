"""Nobody can use up what all share."""

import asyncio
import contextlib

from fluxless.fair_slots import FairSlots, tenant


class Crowd:
    """Tenants that hold slots until they are told to go."""

    def __init__(self, slots: FairSlots) -> None:
        self.slots = slots
        self.inside: list[str] = []
        self.tasks: list[tuple[str, asyncio.Event, asyncio.Task[None]]] = []

    async def come(self, who: str, count: int = 1) -> None:
        async def one(go: asyncio.Event) -> None:
            async with self.slots.taken(who):
                self.inside.append(who)
                with contextlib.suppress(asyncio.CancelledError):
                    await go.wait()
                self.inside.remove(who)

        for _ in range(count):
            go = asyncio.Event()
            self.tasks.append((who, go, asyncio.create_task(one(go))))
        await asyncio.sleep(0.01)

    async def go(self, who: str, count: int = 1) -> None:
        for _, event, _ in [task for task in self.tasks if task[0] == who and not task[1].is_set()][:count]:
            event.set()
        await asyncio.sleep(0.01)


async def test_one_greedy_tenant_leaves_half_to_others() -> None:
    crowd = Crowd(FairSlots(8))
    await crowd.come("greedy", 20)
    assert crowd.inside == ["greedy"] * 4
    await crowd.come("modest")
    assert "modest" in crowd.inside
    await crowd.go("greedy", 20)
    await crowd.go("modest", 20)
    assert crowd.inside == []


async def test_three_greedy_tenants_leave_one_for_a_fourth() -> None:
    crowd = Crowd(FairSlots(8))
    for name in ("a", "b", "c"):
        await crowd.come(name, 20)
    assert [crowd.inside.count(name) for name in ("a", "b", "c")] == [4, 2, 1]
    await crowd.come("modest")
    assert "modest" in crowd.inside


async def test_a_freed_slot_goes_to_who_has_fewest() -> None:
    crowd = Crowd(FairSlots(2))
    await crowd.come("a")
    await crowd.come("b")
    await crowd.come("a")
    await crowd.come("c")
    await crowd.go("b")
    assert sorted(crowd.inside) == ["a", "c"]


async def test_the_only_slot_is_anybodys() -> None:
    crowd = Crowd(FairSlots(1))
    await crowd.come("a", 2)
    assert crowd.inside == ["a"]
    await crowd.go("a")
    assert crowd.inside == ["a"]


async def test_who_is_cancelled_while_waiting_takes_nothing() -> None:
    slots = FairSlots(2)
    await slots.acquire("a")
    waiting = asyncio.create_task(slots.acquire("a"))
    await asyncio.sleep(0)
    slots.release("a")  # gives the slot to the one that is cancelled in the same moment
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    crowd = Crowd(slots)
    await crowd.come("b")
    await crowd.come("c")
    assert crowd.inside == ["b", "c"]


async def test_work_is_counted_for_the_tenant_it_is_done_for() -> None:
    slots = FairSlots(2)
    token = tenant.set("cluster/namespace")
    try:
        async with slots.taken():
            second = asyncio.create_task(slots.acquire("cluster/namespace"))
            await asyncio.sleep(0.01)
            assert not second.done()
    finally:
        tenant.reset(token)
    await second


async def test_waiters_that_are_cancelled_together_with_the_holder_lose_no_slot() -> None:
    slots = FairSlots(2)

    async def work(who: str) -> None:
        async with slots.taken(who):
            await asyncio.sleep(60)

    tasks = [asyncio.create_task(work(who)) for who in ("a", "b", "a", "b", "c", "c")]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    assert {type(found) for found in await asyncio.gather(*tasks, return_exceptions=True)} == {asyncio.CancelledError}
    async with asyncio.timeout(1), slots.taken("d"), slots.taken("e"):
        pass


async def test_fewer_slots_are_given_when_enough_have_come_back() -> None:
    slots = FairSlots(8)
    crowd = Crowd(slots)
    await crowd.come("a", 20)
    assert len(crowd.inside) == 4
    slots.resize(2)
    await crowd.go("a", 3)
    assert len(crowd.inside) == 1, "those that had one kept it, and nobody got another"
    await crowd.go("a")
    assert len(crowd.inside) == 1
    slots.resize(8)
    await asyncio.sleep(0.01)
    assert len(crowd.inside) == 4, "those that wait are told"
    await crowd.go("a", 20)
    slots.resize(1)
    await crowd.come("b", 2)
    assert crowd.inside == ["b"]
    await crowd.go("b", 2)
    assert crowd.inside == []

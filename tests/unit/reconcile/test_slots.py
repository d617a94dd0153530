"""Who has a slot, and who waits for one."""

import asyncio
import contextlib

from fluxless.reconcile.slots import Slots, given_back


class Crowd:
    """Objects that hold a slot until they are told to end."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.inside: list[str] = []
        self.end = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def add(
        self, count: int, cluster: str, namespace: str = "apps", *, failing: bool = False, rests: bool = False
    ) -> None:
        async def one() -> None:
            async with self.slots.taken(cluster, namespace, failing=failing):
                self.inside.append(cluster)
                async with given_back() if rests else contextlib.nullcontext():
                    await self.end.wait()
            self.inside.remove(cluster)

        self.tasks += [asyncio.create_task(one()) for _ in range(count)]
        for _ in range(10):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        self.end.set()
        await asyncio.gather(*self.tasks)


async def test_a_cluster_has_slots_of_its_own() -> None:
    crowd = Crowd(Slots(each=8, failing=4, everything=16))
    await crowd.add(9, "away")
    await crowd.add(3, "near")
    assert crowd.inside == ["away"] * 4 + ["near"] * 3
    await crowd.leave()
    assert crowd.inside == []


async def test_a_namespace_leaves_slots_to_the_others_of_its_cluster() -> None:
    crowd = Crowd(Slots(each=8, failing=4, everything=16))
    await crowd.add(20, "one", "hanging")
    assert len(crowd.inside) == 4
    await crowd.add(1, "one", "healthy")
    assert len(crowd.inside) == 5
    await crowd.leave()


async def test_what_has_failed_leaves_slots_to_what_is_well() -> None:
    crowd = Crowd(Slots(each=8, failing=4, everything=16))
    await crowd.add(9, "one", failing=True)
    assert len(crowd.inside) == 2
    await crowd.add(2, "one")
    assert len(crowd.inside) == 4
    await crowd.leave()


async def test_who_only_waits_holds_no_slot() -> None:
    crowd = Crowd(Slots(each=8, failing=4, everything=16))
    await crowd.add(9, "one", failing=True, rests=True)
    await crowd.add(9, "one", rests=True)
    assert len(crowd.inside) == 18
    await crowd.leave()


async def test_without_a_slot_nothing_is_given_back() -> None:
    slots = Slots(each=1)
    async with given_back():
        pass
    async with slots.taken("one"):
        crowd = Crowd(slots)
        await crowd.add(1, "one")
        assert crowd.inside == []
    await crowd.leave()

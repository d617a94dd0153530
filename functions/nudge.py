"""Wake a `sync` that runs, so that a plan comes which has the news in it.

Each turn of `sync` is a plan and a wait, which the external event of that turn ends. The custom status names the turn
whose plan was begun last. It is behind by one turn at most, since a step of the orchestrator hands out its work before
it writes its status: so whoever reads turn 7 needs the plan of turn 9, and wakes the waits of turns 7 and 8.

1. An event is a message and a line of the history, and every step replays the history. So of all workers one raises
   the events of a turn: a mark in the store, under an ETag, says up to which turn somebody has undertaken it. The next
   mark may be made after a pause, which grows in a storm; the news of the meantime share it.
2. Whoever undertook it may die, and `sync` may end without having heard: so each worker with news looks again, until
   the plan that it needs has begun. Only when that worker dies as well, the news wait for the next tick.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

import azure.durable_functions as df

from functions import host, instances, names
from functions.orchestrators import TURNS

log = logging.getLogger("fluxless.functions")
NEWS_EVERY, STORM_EVERY = 0.25, 2.0
"""Seconds between two marks of one cluster: at first, and as long as news come faster than that."""
MARK_WITHIN = 1.0
"""Seconds that the store may take; without it, the workers do not know of each other."""
RETRY = 0.05
"""Seconds until the next try when another worker has made a mark at the same time."""
LOOK_FIRST, LOOK_LAST = 0.5, 60.0
"""Seconds after which a worker looks whether its news were heard; longer each time that nothing has moved."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Somebody wakes, or has woken, the turns up to `turn` of the loop that was begun at `begun`: at `at`, and nobody
    else for `pause` seconds.
    """

    begun: str = ""
    turn: int = 0
    at: float = 0.0
    pause: float = NEWS_EVERY

    def left(self, now: float) -> float:
        """Seconds until the next mark may be made; clocks of other workers may be wrong."""
        return min(self.at + self.pause - now, self.pause)

    def following(self, begun: str, turn: int, now: float) -> Mark:
        """The next mark, made at that time."""
        storm = now < self.at + 2 * self.pause
        return Mark(begun, turn, now, min(2 * self.pause, STORM_EVERY) if storm else NEWS_EVERY)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Mark:
        """As it is kept. Raises `Malformed`."""
        from fluxless.kept import number, text, whole

        if not document:
            return cls()
        begun, turn = text(document.get("begun")), whole(document.get("turn"))
        return cls(begun, turn, number(document.get("at")), number(document.get("pause")))


_marks: dict[str, Mark] = {}
"""The last ones that this worker has seen or made, by cluster."""
_needed: dict[str, tuple[str, int]] = {}
"""The plans that this worker waits for: the loop and the turn, by cluster."""
_following: set[asyncio.Task[None]] = set()


def position(status: Any) -> tuple[str, int]:
    """When the loop was begun, and the last turn that it has begun; "" and 0 while it does not say so."""
    custom = status.custom_status if isinstance(status.custom_status, dict) else {}
    return str(custom.get("begun", "")), int(custom.get("turn", 0))


async def once(client: df.DurableOrchestrationClient, instance: str, status: Any) -> None:
    """End the present wait, for whoever has no news."""
    turn = position(status)[1]
    await _raise(client, instance, range(turn, turn + 1))


async def with_news(client: df.DurableOrchestrationClient, cluster: str, instance: str, status: Any) -> None:
    """See to it that a plan begins from now on; most of that is done beside the caller."""
    begun, turn = found = position(status)
    if not begun:  # by a former release, or it has not taken its first step
        await _raise(client, instance, range(turn, turn + 2))
        return
    known = _needed.get(cluster, ("", 0))
    _needed[cluster] = (begun, max(turn + 2, known[1] if known[0] == begun else 0))
    if not known[0]:
        began = asyncio.Event()
        task = asyncio.create_task(_until_heard(client, cluster, instance, found, began))
        _following.add(task)
        task.add_done_callback(_following.discard)
        await began.wait()


async def _until_heard(
    client: df.DurableOrchestrationClient, cluster: str, instance: str, found: tuple[str, int], began: asyncio.Event
) -> None:
    """Wake, and look, and wake again, until the plan that is needed has begun."""
    stood = 0.0
    try:
        while stood < LOOK_LAST:
            pause = await _wake(client, cluster, instance, found, stood > LOOK_FIRST)
            began.set()
            await asyncio.sleep(max(pause, stood))
            status, before = await client.get_status(instance), found
            found, (begun, turn) = position(status), _needed[cluster]
            if (found[0] or begun) != begun or found[1] >= turn:
                return
            if not instances.runs(status):
                message = {"cluster": cluster, "again": True, "turns": TURNS}
                await instances.start(client, names.SYNC, instance, message)
                return
            stood = 0.0 if found != before else max(2 * stood, LOOK_FIRST)
        log.warning("cluster=%s instance=%s does not move", cluster, instance)
    except Exception as error:  # Durable does not answer: the next tick finds the news
        log.warning("cluster=%s perhaps not woken: %s", cluster, str(error)[:200])
    finally:
        began.set()
        del _needed[cluster]


async def _wake(
    client: df.DurableOrchestrationClient, cluster: str, instance: str, found: tuple[str, int], stands: bool
) -> float:
    """Raise the events that are needed, unless another worker does; the seconds until the next look. Where the loop
    stands still, whoever undertook it has died.
    """
    (begun, turn), needed, now = found, _needed[cluster][1], time.time()
    mark, etag = await _read(cluster)
    woken = mark.turn if mark.begun == begun and not stands else 0
    if woken >= needed - 1:
        return LOOK_FIRST
    if (left := mark.left(now)) > 0:
        return left
    if not await _claim(cluster, mark.following(begun, needed - 1, now), etag):
        return RETRY
    await _raise(client, instance, range(max(turn, woken + 1), needed))
    return LOOK_FIRST


async def _raise(client: df.DurableOrchestrationClient, instance: str, turns: range) -> None:
    try:
        for turn in turns:
            await client.raise_event(instance, names.wake_event(turn), None)
    except Exception as error:  # it has ended meanwhile
        log.info("instance=%s not woken: %s", instance, str(error)[:200])


async def _read(cluster: str) -> tuple[Mark, str | None]:
    """The mark, and its ETag; the last one that this worker knows of where the store does not answer."""
    from fluxless.api.failure import Problem
    from fluxless.reconcile.records import read_state, wake_name

    try:
        async with asyncio.timeout(MARK_WITHIN):
            store = host.engine().services.store
            _marks[cluster], etag = await read_state(store, wake_name(cluster), Mark.from_json)
    except (Problem, TimeoutError):
        return _marks.get(cluster, Mark()), None
    return _marks[cluster], etag


async def _claim(cluster: str, mark: Mark, etag: str | None) -> bool:
    """Make the mark; False when another worker was faster."""
    from fluxless.api.failure import Problem
    from fluxless.artifacts.store import PreconditionFailed
    from fluxless.reconcile.records import wake_name, write_json

    try:
        async with asyncio.timeout(MARK_WITHIN):
            store = host.engine().services.store
            where, document = wake_name(cluster), asdict(mark)
            await write_json(store, where, document, if_match=etag, only_if_absent=etag is None)
    except PreconditionFailed:
        return False
    except (Problem, TimeoutError) as problem:
        log.info("cluster=%s woken without a mark: %s", cluster, problem)
    _marks[cluster] = mark
    return True

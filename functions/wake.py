"""Start the `sync` of a cluster, or wake it where it waits; and the heartbeat that shows that somebody does so.

Timers on Flex Consumption can stop for good: whoever calls the app also checks the heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df

from functions import host, instances, names, nudge
from functions.orchestrators import TURNS

if TYPE_CHECKING:
    from fluxless.engine.coalesce import Coalescer
    from fluxless.engine.intake import Acceptance, Announcement

log = logging.getLogger("fluxless.functions")
STUCK = 300.0
"""Seconds without any movement of a running `sync` after which it is ended and started again. A turn waits for half a
minute at most; a plan that a killed host had in hand is seen again after a minute, and one whose storage or API server
does not answer has failed within two.
"""
AT_ONCE = 16
"""Clusters that are woken at the same time."""
LISTEN_EVERY = 10.0
"""Seconds between two looks at the heartbeat."""
_heard = float("-inf")
CLOCK_LOOK = 300.0
"""Seconds between two looks of a worker at the second clock."""
CLOCK_STUCK = 600.0
"""Seconds without any movement of the second clock after which it is ended and started again."""
_clock_seen = float("-inf")


async def wake(client: df.DurableOrchestrationClient, cluster: str, *, news: bool = True) -> None:
    """Make sure that the cluster is planned soon, whatever its `sync` is doing.

    With `news` there is something that a plan which runs at this moment may have missed; the timer has none.
    """
    instance = names.sync_instance(cluster)
    running = await instances.running(client, instance)
    if running is not None and instances.silent(running) > STUCK:
        log.error("cluster=%s alert=sync-stuck instance=%s is ended and started again", cluster, instance)
        running = await instances.end(client, instance, f"no movement for {STUCK:.0f} s")
    elif running is not None and _of_other_code(running):
        log.warning(
            "cluster=%s instance=%s was begun by a release that this one cannot go on for: it is ended and begun anew",
            cluster,
            instance,
        )
        running = await instances.end(client, instance, "begun by another release")
    if running is not None:
        await (nudge.with_news(client, cluster, instance, running) if news else nudge.once(client, instance, running))
        return
    await instances.start(client, names.SYNC, instance, {"cluster": cluster, "again": news, "turns": TURNS})


_clients: dict[str, df.DurableOrchestrationClient] = {}


async def _wake_one(cluster: str) -> None:
    await wake_all(_clients[cluster], [cluster])


@lru_cache(maxsize=1)
def _news() -> Coalescer[str, None]:
    from fluxless.engine.coalesce import Coalescer

    return Coalescer(_wake_one, spacing=nudge.NEWS_EVERY)


async def wake_news(client: df.DurableOrchestrationClient, clusters: Iterable[str]) -> None:
    """Wake clusters of which there is news. Many who bring some at the same time wake a cluster once, after all."""
    for cluster in clusters:
        _clients[cluster] = client  # any of them will do: a client is no more than the host's addresses
    await asyncio.gather(*(_news()(cluster) for cluster in clusters))


async def announce(client: df.DurableOrchestrationClient, announcement: Announcement) -> None:
    """Tell a cluster that was out of reach, again and again; nothing where that is being done already."""
    message = announcement.to_json()
    instance = names.announce_instance(announcement.cluster, message)
    if await instances.running(client, instance) is None:
        await instances.start(client, names.ANNOUNCE, instance, message)


async def pass_on(client: df.DurableOrchestrationClient, taken: Acceptance) -> None:
    """Wake the clusters that have something to do, and see to it that those out of reach are told."""
    await wake_news(client, taken.woken)
    await asyncio.gather(*(announce(client, announcement) for announcement in taken.missed))


async def wake_all(client: df.DurableOrchestrationClient, clusters: Iterable[str], *, news: bool = True) -> None:
    """Wake many clusters, a few at a time. One that cannot be woken is logged, and keeps no other asleep."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(cluster: str) -> None:
        async with slots:
            try:
                await wake(client, cluster, news=news)
            except Exception as error:  # whatever the durable client meets: the timer wakes the cluster again
                log.error("cluster=%s alert=not-woken %s", cluster, str(error)[:200])

    await asyncio.gather(*(one(cluster) for cluster in clusters))


def _of_other_code(status: Any) -> bool:
    """Whether a running `sync` was begun by a release whose history this one cannot go on with."""
    told = status.custom_status
    return isinstance(told, dict) and told.get("code", 1) not in names.REPLAYED


async def wake_overdue(client: df.DurableOrchestrationClient) -> None:
    """What every caller of the app does on the side: look now and then whether its two clocks still go."""
    global _heard  # noqa: PLW0603
    now = time.monotonic()
    if now - _heard < LISTEN_EVERY:
        return
    _heard = now
    await keep_clock(client)
    await start_overdue(client)


async def keep_clock(client: df.DurableOrchestrationClient) -> None:
    """See to it that the second clock goes; a worker looks now and then."""
    global _clock_seen  # noqa: PLW0603
    now = time.monotonic()
    if now - _clock_seen < CLOCK_LOOK:
        return
    _clock_seen = now
    try:
        running = await instances.running(client, names.CLOCK_INSTANCE)
        if running is not None and instances.silent(running) < CLOCK_STUCK:
            return
        if running is not None:
            log.error("alert=clock-stuck the second clock is ended and started again")
            await instances.end(client, names.CLOCK_INSTANCE, "no movement for ten minutes")
        await client.start_new(names.CLOCK, names.CLOCK_INSTANCE, {})
    except Exception as error:  # somebody else was first, or Durable is away: the next caller looks again
        log.info("second clock not started: %s", str(error)[:200])


async def start_overdue(client: df.DurableOrchestrationClient) -> None:
    """Start every cluster when the timer has been silent for too long. Raises `Problem`."""
    engine = host.engine()
    silent = await engine.silence()
    if silent > host.HEARTBEAT_OVERDUE:
        log.error("alert=heartbeat-missing seconds=%.0f starting overdue work", silent)
        await wake_all(client, engine.clusters)

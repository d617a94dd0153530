"""The front desk: one `Engine` per worker. `functions/` and `cli/` call it; it never knows who called.

Activities run again after a crash, so every verb here may be called twice with the same words and does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fluxless.api.failure import Problem
from fluxless.api.kinds import GIT_REPOSITORY, KINDS
from fluxless.api.timestamps import format_timestamp
from fluxless.apply.fields import managers_to_take_over
from fluxless.artifacts.store import PreconditionFailed
from fluxless.engine import hooks, housekeeping
from fluxless.engine import plan as plans
from fluxless.engine.controllers import reconcile_object
from fluxless.engine.reach import Reach
from fluxless.engine.schedule import Schedule
from fluxless.git.urls import normalise
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from fluxless.kube.errors import NotFound
from fluxless.reconcile import records, survey
from fluxless.reconcile import world as worlds
from fluxless.reconcile.configs import ConfigWatch
from fluxless.reconcile.outcome import FAILED, Outcome, State
from fluxless.reconcile.services import Services
from fluxless.reconcile.status import RECONCILE_ANNOTATION
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.world import Ref, Rules, World

log = logging.getLogger("fluxless.engine")

PLAN_SHARE = 4.0
"""Times the cost of the last plan that the work gets before the next one."""
LONGEST_PACE = 2.0
"""Seconds that a plan waits for that at most."""
TOLD_AT_ONCE = 24
"""Clusters that a webhook tells at the same time: all at once, none of them would be in time."""
RECENT = 120.0
"""Seconds for which a survey says which objects a webhook means."""
WEBHOOK_PATIENCE = 0.7
"""Seconds that a webhook's sender waits for a cluster; the answer is due within one."""


@dataclass(frozen=True, slots=True)
class NextSteps:
    """A plan as it travels to the orchestration: ids of batches, seconds until the next wake-up, counts to show."""

    batches: list[str]
    wake_after: float | None
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Well under 10 KB: objects travel by batch id, never by name."""
        return {"batches": self.batches, "wakeAfter": self.wake_after, "counts": self.counts}


@dataclass(frozen=True, slots=True)
class Announcement:
    """A webhook that one cluster has not heard of yet."""

    delivery: str
    cluster: str
    urls: tuple[str, ...]
    token: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer to a webhook, the clusters that have something to do now, and those that were out of reach."""

    status: int
    text: str
    accepted: bool = False
    woken: tuple[str, ...] = ()
    missed: tuple[Announcement, ...] = ()


class Engine:
    """Plans and reconciles the clusters it was given."""

    def __init__(self, clusters: Mapping[str, ClusterConfig], services: Services) -> None:
        self.configs = dict(clusters)
        self.services = services
        self._connections: dict[str, Cluster] = {}
        self._connecting: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._reach = Reach()
        self._surveys: dict[str, Survey] = {}
        self._watches: dict[str, ConfigWatch] = {}
        self._kinds = tuple(kind for kind in KINDS if kind.built)
        self._ids = itertools.count()
        self._planned: dict[str, tuple[float, float]] = {}

    @property
    def clusters(self) -> list[str]:
        """The names of the clusters, in the order of the app setting."""
        return list(self.configs)

    async def cluster(self, name: str) -> Cluster:
        """The connection to a cluster, made on first use. Raises `Problem` when it cannot be made."""
        async with self._connecting[name]:
            if name not in self._connections:
                self._connections[name] = await connect(self.configs[name])
        return self._connections[name]

    async def plan(
        self, name: str, in_flight: list[str], finished: Mapping[str, list[list[Any]]], *, draining: bool = False
    ) -> NextSteps:
        """Settle the batches that have finished, then decide what starts now. Raises `Problem`; `ClusterAway` while
        the cluster is left alone because it did not answer.

        While `draining` nothing starts: the orchestration wants to begin a new history once its batches are done.
        """
        async with self._pace(name), self._reach.asking(name, self.cluster):
            return await self._plan(name, in_flight, finished, draining=draining)

    @contextlib.asynccontextmanager
    async def _pace(self, name: str) -> AsyncIterator[None]:
        """Leave most of the time to the work itself: a plan that is costly waits, and so covers more of it."""
        cost, ended = self._planned.get(name, (0.0, 0.0))
        pause = min(PLAN_SHARE * cost, LONGEST_PACE) - (time.monotonic() - ended)
        if pause > 0:
            await asyncio.sleep(pause)
        began = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            self._planned[name] = (now - began, now)

    async def _plan(
        self, name: str, in_flight: list[str], finished: Mapping[str, list[list[Any]]], *, draining: bool
    ) -> NextSteps:
        for _ in range(3):
            document, etag = await records.read_json(self.services.store, records.schedule_name(name))
            schedule = Schedule.from_json(document)
            for batch, outcomes in finished.items():
                schedule.settle(batch, [Outcome.from_json(outcome) for outcome in outcomes])
            if draining:
                await self._keep(name, document, schedule, etag)
                return NextSteps([], None if in_flight else 0.0, {})
            taken = await self._survey(name)
            now = self.services.clock()
            plan = plans.make(taken.world, schedule, frozenset(in_flight), now, self._namer(taken))
            try:
                await self._keep(name, document, schedule, etag)
            except PreconditionFailed:
                log.warning("cluster=%s another plan wrote the schedule; planning again", name)
                continue
            wake_after = None if plan.wake_up is None else max(0.0, plan.wake_up - now)
            return NextSteps(list(plan.batches), wake_after, plan.counts)
        return NextSteps([], 1.0, {})

    async def _keep(self, name: str, before: dict[str, Any], schedule: Schedule, etag: str | None) -> None:
        document = schedule.to_json()
        if document != before:
            where = records.schedule_name(name)
            await records.write_json(self.services.store, where, document, if_match=etag, only_if_absent=etag is None)

    async def _survey(self, name: str) -> Survey:
        watch = self._watches.setdefault(name, ConfigWatch())
        settings = self.services.settings
        taken = await survey.take(
            await self.cluster(name),
            self._kinds,
            self.services.clock,
            watch,
            rules=Rules(settings.default_service_account, settings.additive_expressions, settings.watch_selector),
            managers=managers_to_take_over(settings.override_managers),
        )
        self._surveys[name] = taken
        return taken

    def _namer(self, taken: Survey) -> Callable[[], str]:
        """Batch ids carry the time of the survey, so that a worker knows whether its own is recent enough."""
        return lambda: f"{int(taken.world.taken * 1000):x}-{next(self._ids):x}"

    async def _survey_for(self, name: str, batch: str) -> Survey:
        """The latest survey of this worker if it is at least as recent as the batch, else a new one."""
        found = self._surveys.get(name)
        if found is not None and int(found.world.taken * 1000) >= int(batch.split("-", maxsplit=1)[0], 16):
            return found
        return await self._survey(name)

    async def reconcile(self, name: str, batch: str) -> list[list[Any]]:
        """Work on every object of a batch; outcomes in the batch's order. One object's failure is its own."""
        document, _ = await records.read_json(self.services.store, records.schedule_name(name))
        schedule = Schedule.from_json(document)
        refs = schedule.batch(batch)
        if not refs:
            return []
        found = await self._survey_for(name, batch)
        runs: list[dict[str, Any]] = []

        async def one(ref: Ref) -> Outcome:
            obj = found.world.get(ref)
            if obj is None:
                return Outcome(State.GONE)
            async with self.services.slots.taken(name, failing=schedule.entries[ref].state in FAILED):
                outcome, record = await reconcile_object(obj, found, self.services)
            if record is not None:
                runs.append(record)
            return outcome

        outcomes = await asyncio.gather(*(one(ref) for ref in refs))
        try:
            await records.write_runs(self.services.store, name, runs, self.services.clock())
        except Problem as problem:  # the work is done and told in the cluster; only its record is lost
            log.warning("cluster=%s run records not kept: %s", name, problem)
        return [outcome.to_json() for outcome in outcomes]

    async def accept_github(self, headers: Mapping[str, str], body: bytes, secret: str) -> Acceptance:
        """A GitHub delivery: every GitRepository with that URL, in any spelling, gets a reconcile request (CM-6).

        All clusters are asked at once. One that does not answer in time is `missed`: the caller announces it to that
        cluster again and again. Raises `StoreUnavailable` when a replay could not be told from a first delivery.
        """
        answer = hooks.github(headers, body, secret)
        if not answer.urls:
            return Acceptance(answer.status, answer.text)
        seen = hooks.delivery_name(answer.delivery)
        if await self.services.store.stat(seen) is not None:
            return Acceptance(202, "this delivery was received before: ignored", accepted=True)
        token = format_timestamp(self.services.clock(), fraction=True)
        until, slots = asyncio.get_running_loop().time() + WEBHOOK_PATIENCE, asyncio.Semaphore(TOLD_AT_ONCE)
        counts = await asyncio.gather(
            *(self._patiently(name, answer.urls, token, until, slots) for name in self.clusters)
        )
        await self.services.store.put(seen, b"")
        woken = tuple(name for name, count in zip(self.clusters, counts, strict=True) if count)
        missed = tuple(
            Announcement(answer.delivery, name, answer.urls, token)
            for name, count in zip(self.clusters, counts, strict=True)
            if count is None
        )
        total = sum(count or 0 for count in counts)
        text = f"{total} GitRepository object(s) will be reconciled" if total else "no GitRepository has this URL"
        if missed:
            text += f"; {len(missed)} cluster(s) did not answer and will be told later"
        return Acceptance(202, text, accepted=True, woken=woken, missed=missed)

    async def _patiently(
        self, name: str, urls: tuple[str, ...], token: str, until: float, slots: asyncio.Semaphore
    ) -> int | None:
        try:
            async with asyncio.timeout_at(until), slots:
                return await self.request(name, urls, token)
        except (Problem, TimeoutError) as problem:
            log.warning("cluster=%s webhook not passed on yet: %s", name, problem or "no answer in time")
            return None

    async def request(self, name: str, urls: Iterable[str], token: str) -> int:
        """Annotate the GitRepositories of one cluster that have one of these URLs; how many. Raises `Problem`.

        A recent survey of this worker says which they are; when it knows none, the cluster is asked.
        """
        self._reach.refuse_away(name)
        keys = {normalise(url) for url in urls}
        cluster, now = await self.cluster(name), self.services.clock()
        known = self._surveys.get(name)
        recent = known is not None and now - known.world.taken < RECENT
        matching = _having(known.world, keys) if known is not None and recent else []
        if not matching:
            matching = _having(await worlds.take(cluster, (GIT_REPOSITORY,), now), keys)
        if not matching:
            return 0
        resource = await cluster.resource(GIT_REPOSITORY.api_version, GIT_REPOSITORY.kind)
        body = {"metadata": {"annotations": {RECONCILE_ANNOTATION: token}}}

        async def ask(ref: Ref) -> None:
            with contextlib.suppress(NotFound):  # deleted since
                await cluster.patch(resource, ref.name, ref.namespace, body=body)

        await asyncio.gather(*(ask(ref) for ref in matching))
        return len(matching)

    async def heartbeat(self) -> None:
        """Note that the timer is alive, and tidy up once in a while. Raises `StoreUnavailable`."""
        store, now = self.services.store, self.services.clock()
        known, _ = await records.read_json(store, records.HEARTBEAT)
        tidied = float(known.get("tidied", 0))
        await records.write_json(store, records.HEARTBEAT, {"at": now, "tidied": tidied})
        if now - tidied >= housekeeping.EVERY:
            await housekeeping.tidy(store, self.clusters, now)
            await records.write_json(store, records.HEARTBEAT, {"at": now, "tidied": now})

    async def silence(self) -> float:
        """Seconds since the last heartbeat; infinite when there was none. Raises `StoreUnavailable`."""
        document, _ = await records.read_json(self.services.store, records.HEARTBEAT)
        return self.services.clock() - float(document.get("at", float("-inf")))

    async def close(self) -> None:
        """Give back every connection."""
        await asyncio.gather(*(cluster.close() for cluster in self._connections.values()))
        await self.services.remotes.close()
        await self.services.store.close()


def _having(world: World, keys: set[str]) -> list[Ref]:
    """The GitRepositories with one of these URLs."""
    kind = GIT_REPOSITORY.kind
    found = (ref for ref, obj in world.objects.items() if ref.kind == kind and normalise(hooks.spec_url(obj)) in keys)
    return list(found)

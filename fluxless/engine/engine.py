"""The front desk: one `Engine` per worker. `functions/` and `cli/` call it; it never knows who called.

Activities run again after a crash, so every verb here may be called twice with the same words and does no harm.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fluxless import loop_lag
from fluxless.api.failure import Problem
from fluxless.api.kinds import KINDS, SOURCE_KINDS
from fluxless.apply.fields import managers_to_take_over
from fluxless.artifacts.store import PreconditionFailed
from fluxless.auth.identity import of_sources
from fluxless.engine import access, exposition, housekeeping, index, telling
from fluxless.engine import plan as plans
from fluxless.engine.controllers import reconcile_object
from fluxless.engine.intake import Intake
from fluxless.engine.metering import Meter
from fluxless.engine.pace import Pace
from fluxless.engine.plan import NextSteps
from fluxless.engine.reach import Reach
from fluxless.engine.schedule import Schedule, Turn
from fluxless.engine.shares import Shares
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from fluxless.reconcile import records, survey, world
from fluxless.reconcile.configs import ConfigWatch
from fluxless.reconcile.outcome import FAILED, Outcome, State
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.world import Ref, Rules, World
from fluxless.telemetry import Span, Tracer

log = logging.getLogger("fluxless.engine")
runs_log = logging.getLogger("fluxless.runs")

RECENT = 30.0
"""Seconds for which a survey is good enough to show."""


class Engine:
    """Plans and reconciles the clusters it was given."""

    def __init__(self, clusters: Mapping[str, ClusterConfig], services: Services, tracer: Tracer | None = None) -> None:
        self.configs = dict(clusters)
        self.services = services
        self._tracer = tracer
        self._connections: dict[str, Cluster] = {}
        self._connecting: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._reach = Reach(services.clock)
        self._surveys: dict[str, Survey] = {}
        self._watches: dict[str, ConfigWatch] = {}
        self._kinds = tuple(kind for kind in KINDS if kind.built)
        self._ids = itertools.count()
        self._pace = Pace()
        self._shares = Shares(services.store, services.slots)
        self.meter = Meter(services.store, services.clock)
        known = index.Index(services.store, services.clock)
        self.intake = Intake(lambda: self.clusters, self.cluster, known, lambda: self.services)

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
        self,
        name: str,
        in_flight: list[str],
        finished: Mapping[str, list[list[Any]]],
        *,
        draining: bool = False,
        turn: Turn | None = None,
    ) -> NextSteps:
        """Settle the batches that have finished, then decide what starts now. Raises `Problem`; `ClusterAway` while
        the cluster is left alone because it did not answer.

        While `draining` nothing starts: the orchestration wants to begin a new history once its batches are done. A
        second call for the same `turn` hands out the same batches.
        """
        try:
            async with self._pace.kept(name):
                return await self._plan(name, in_flight, finished, draining, turn)
        finally:
            loop_lag.tell()
            self.meter.touch()

    async def _plan(
        self,
        name: str,
        in_flight: list[str],
        finished: Mapping[str, list[list[Any]]],
        draining: bool,
        turn: Turn | None = None,
    ) -> NextSteps:
        for attempt in range(3):
            (document, schedule), etag = await records.read_state(
                self.services.store,
                records.schedule_name(name),
                lambda document: (document, Schedule.from_json(document)),
            )
            handed = schedule.handed_before(turn)
            if handed is not None:
                log.warning("cluster=%s turn=%s is planned again: the answer is that of before", name, turn)
                return NextSteps(handed, 1.0, {})
            for batch, outcomes in finished.items():
                schedule.settle(batch, _outcomes(name, batch, outcomes))
            if draining:
                await self._keep(name, document, schedule, etag)
                return NextSteps([], None if in_flight else 0.0, {})
            before = schedule.away
            try:
                self._reach.learn(name, before)
                async with self._reach.asking(name, self.cluster):
                    taken = await self._survey(name)
            except Problem:
                await self._tell_away(name, document, schedule, etag)
                raise
            now, schedule.away = self.services.clock(), None
            if before is not None and before.left_alone:  # who had news meanwhile tries again in minutes only
                schedule.look_again(SOURCE_KINDS, now)
            plan = plans.make(taken.world, schedule, frozenset(in_flight), now, self._namer(taken))
            if plan.batches:
                schedule.turn, schedule.handed = turn, list(plan.batches)
            try:
                await index.keep(self.services.store, name, taken.world, schedule, anew=attempt > 0)
                await self._keep(name, document, schedule, etag)
            except PreconditionFailed:
                log.warning("cluster=%s another plan has written meanwhile; planning again", name)
                continue
            if before is not None and before.left_alone:
                await self.services.store.delete(records.away_name(name))
            wake_after = None if plan.wake_up is None else max(0.0, plan.wake_up - now)
            return NextSteps(list(plan.batches), wake_after, plan.counts)
        return NextSteps([], 1.0, {})

    async def _tell_away(self, name: str, before: dict[str, Any], schedule: Schedule, etag: str | None) -> None:
        """Keep for other workers that the cluster did not answer: for plans in the schedule, for webhooks by a mark."""
        known, schedule.away = schedule.away, self._reach.known(name)
        try:
            if schedule.away is not None and schedule.away.left_alone and schedule.away != known:
                await index.tell_away(self.services.store, name, schedule.away)
            await self._keep(name, before, schedule, etag)
        except (PreconditionFailed, Problem) as problem:  # the next plan finds out for itself
            log.warning("cluster=%s not kept that it is away: %s", name, problem)

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
            rules=Rules(
                settings.default_service_account,
                settings.additive_expressions,
                settings.watch_selector,
                settings.source_spacing,
            ),
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
        schedule = await self._schedule(name)
        refs = schedule.batch(batch)
        if not refs:
            return []
        found = await self._survey_for(name, batch)
        runs: list[dict[str, Any]] = []
        spans: list[Span] = []

        async def one(ref: Ref) -> Outcome:
            obj = found.world.get(ref)
            if obj is None:
                return Outcome(State.GONE)
            failing = schedule.entries[ref].state in FAILED
            async with self.services.slots.taken(name, ref.namespace, failing=failing):
                outcome, record = await reconcile_object(obj, found, self.services)
            if record is not None:
                runs.append(record)
                if self._tracer is not None:
                    spans.append(telling.span(record, obj, found.world))
                failed = record["result"] in telling.FAILED
                runs_log.log(logging.WARNING if failed else logging.INFO, "%s", telling.line(record))
            return outcome

        async with self._shares.at_work(name):
            outcomes = await asyncio.gather(*(one(ref) for ref in refs))
        loop_lag.tell()
        self.meter.touch()
        try:
            await records.write_runs(self.services.store, name, runs, self.services.clock())
        except Problem as problem:  # the work is done and told in the cluster; only its record is lost
            log.warning("cluster=%s run records not kept: %s", name, problem)
        if self._tracer is not None:
            await self._tracer.send(spans)
        return [outcome.to_json() for outcome in outcomes]

    async def taken(self, body: bytes, start: float, seconds: float, status: int) -> None:
        """Tell of a webhook that was taken, as part of the trace about the commit that it names."""
        about = telling.told(body) if self._tracer is not None else ""
        if self._tracer is not None and about:
            seen = {"status": status, "revision": about}
            await self._tracer.send([Span("webhook", about, start, seconds, attributes=seen, asked_from_outside=True)])

    async def heartbeat(self) -> None:
        """Note that the timer is alive, and tidy up once in a while. Raises `StoreUnavailable`."""
        store, now = self.services.store, self.services.clock()
        (_, tidied), _ = await records.read_state(store, records.HEARTBEAT, records.heartbeat)
        await records.write_json(store, records.HEARTBEAT, {"at": now, "tidied": tidied})
        if now - tidied >= housekeeping.EVERY:
            await housekeeping.tidy(store, self.clusters, now)
            await self.meter.retire(await self._scheduled())
            await records.write_json(store, records.HEARTBEAT, {"at": now, "tidied": now})

    async def silence(self) -> float:
        """Seconds since the last heartbeat; infinite when there was none. Raises `StoreUnavailable`."""
        (at, _), _ = await records.read_state(self.services.store, records.HEARTBEAT, records.heartbeat)
        return self.services.clock() - at

    async def metrics(self) -> str:
        """What Prometheus reads, for all clusters (MT rows). Raises `StoreUnavailable`."""
        return await exposition.read(self.clusters, self._seen, self._schedule, self.meter.total(), self.silence())

    async def check(self, registries: Iterable[str]) -> dict[str, Any]:
        """Whether the app lives and reaches what it is there for: `{heartbeat, …}`, and what `access.report` says.
        Registries are the given ones, and those of the clusters' objects. Raises `StoreUnavailable`.
        """
        settings = self.services.settings
        silence, found = await asyncio.gather(
            self.silence(),
            access.report(
                self.clusters,
                self.cluster,
                self._seen,
                registries,
                lambda: of_sources(settings.identity_client_id),
                self.services,
            ),
        )
        return {"heartbeat": silence if math.isfinite(silence) else None, **found}

    async def _seen(self, name: str) -> World | None:
        """The objects of a cluster as this worker or a new look sees them; None when it does not answer."""
        found = self._surveys.get(name)
        now = self.services.clock()
        if found is not None and now - found.world.taken < RECENT:
            return found.world
        try:
            async with self._reach.asking(name, self.cluster):
                return await world.take(await self.cluster(name), self._kinds, now)
        except Problem as problem:
            log.info("cluster=%s not seen: %s", name, problem)
            return None

    async def _schedule(self, name: str) -> Schedule:
        where = records.schedule_name(name)
        schedule, _ = await records.read_state(self.services.store, where, Schedule.from_json)
        self._reach.learn(name, schedule.away)
        return schedule

    async def _scheduled(self) -> set[tuple[str, ...]]:
        """All objects that are worked on, as the values of `metrics.OBJECT`."""
        schedules = await asyncio.gather(*(self._schedule(name) for name in self.clusters))
        return {
            (name, ref.kind, ref.name, ref.namespace)
            for name, schedule in zip(self.clusters, schedules, strict=True)
            for ref in schedule.entries
        }

    async def close(self) -> None:
        """Give back every connection."""
        await self.meter.close()
        if self._tracer is not None:
            await self._tracer.close()
        await asyncio.gather(*(cluster.close() for cluster in self._connections.values()))
        await self.services.remotes.close()
        await self.services.store.close()


def _outcomes(name: str, batch: str, outcomes: list[list[Any]]) -> list[Outcome]:
    """The outcomes of a batch; none when this release does not understand them: the batch then counts as failed."""
    try:
        return [Outcome.from_json(outcome) for outcome in outcomes]
    except ValueError as error:
        log.warning("cluster=%s batch=%s came back with outcomes that are not understood: %s", name, batch, error)
        return []

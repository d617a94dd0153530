"""Plays scenarios on one side: a cluster where somebody reconciles, and a Git server that this somebody reaches.

Who that is, this room does not know. All scenarios run at the same time, each in a namespace of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from fluxless.api import conditions
from fluxless.kube.client import Cluster
from fluxless.kube.errors import AlreadyExists, ApiProblem, NotFound
from fluxless.reconcile.status import RECONCILE_ANNOTATION
from tests.parity.record import FLUX_KINDS, kinds_in, look, without_retries
from tests.parity.scenario import APP, Obj, Scenario, Step, placed, unplaced
from tests.support.repositories import Repo
from tools.gitserver import GitServer

STEP_WITHIN = 120.0
"""Seconds after which a step is recorded as it is."""
STILL = 0.7
"""Seconds without a change after which a step counts as over."""
IGNORED = 6.0
"""Seconds to wait for something that must not happen."""
SOURCE, KUSTOMIZATION = FLUX_KINDS
Played = dict[str, list[Obj]]


class Watch:
    """All Flux objects of the cluster, read twice a second for everybody."""

    def __init__(self, cluster: Cluster, kinds: Collection[tuple[str, str]]) -> None:
        self._cluster = cluster
        self._kinds = kinds
        self._objects: dict[tuple[str, str, str], Obj] = {}
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Read on and on."""
        while True:
            found: dict[tuple[str, str, str], Obj] = {}
            for version, kind in self._kinds:
                for obj in await self._cluster.list(await self._cluster.resource(version, kind)):
                    found[kind, obj["metadata"]["namespace"], obj["metadata"]["name"]] = obj
            async with self._news:
                self._objects = found
                self._news.notify_all()
            await asyncio.sleep(0.5)

    async def next(self) -> None:
        """Wait for the next reading but one: what was written before the call is in it."""
        async with self._news:
            await self._news.wait()
            await self._news.wait()

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """An object as it was read last."""
        return self._objects.get((kind, namespace, name))

    def all(self, kind: str, namespace: str) -> list[Obj]:
        """The objects of a namespace."""
        return [obj for (known, where, _), obj in self._objects.items() if (known, where) == (kind, namespace)]


@dataclass(slots=True)
class Side:
    """Where scenarios are played; `folder` is for work trees, `marks` are what the servers of the stock are called, and
    `read` gives the bytes of a `status.artifact`.
    """

    cluster: Cluster
    git: GitServer
    folder: Path
    marks: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[Obj], Awaitable[bytes]] | None = None
    idle: Callable[[str], Awaitable[None]] | None = None
    """Waits until whoever reconciles has nothing left to do in a namespace; None where nobody can tell, and time has
    to."""
    at_once: int = 64
    """Scenarios under way at the same time."""
    quiet: float = 0.2
    """Seconds without a new event after which all are there."""
    events_within: float = 5.0
    tokens: Any = field(default_factory=itertools.count)

    @contextlib.asynccontextmanager
    async def watch(self, scenarios: Iterable[Scenario]) -> AsyncIterator[Watch]:
        """A watch that reads what the scenarios are about."""
        kinds = {kind for scenario in scenarios for kind in _player(scenario).kinds_made}
        watch = Watch(self.cluster, kinds)
        task = asyncio.create_task(watch.run())
        try:
            yield watch
        finally:
            task.cancel()

    async def play(self, scenarios: Iterable[Scenario]) -> Played:
        """A record for every step of every scenario, by name.

        Releases come after all others: helm keeps a machine busy, and what is looked at too late may look otherwise.
        """
        every = list(scenarios)
        played = await self._round([one for one in every if not one.of_releases])
        return played | await self._round([one for one in every if one.of_releases])

    async def _round(self, scenarios: list[Scenario]) -> Played:
        slots = asyncio.Semaphore(self.at_once)
        wanted = sorted(scenarios, key=_waits, reverse=True)
        async with self.watch(wanted) as watch:

            async def one(scenario: Scenario) -> list[Obj]:
                async with slots:
                    return await _player(scenario)(self, watch, scenario).play()

            played = await asyncio.gather(*(one(scenario) for scenario in wanted))
        return {scenario.name: records for scenario, records in zip(wanted, played, strict=True)}


def _player(scenario: Scenario) -> type[Player]:
    from tests.parity.releases import ReleasePlayer
    from tests.parity.sources import SourcePlayer

    if scenario.of_releases:
        return ReleasePlayer
    return SourcePlayer if scenario.of_sources else Player


class Player:
    """One scenario on one side."""

    kinds_made: ClassVar[tuple[tuple[str, str], ...]] = FLUX_KINDS
    """The Flux objects that a step may make, in the order in which they were to be made."""

    def __init__(self, side: Side, watch: Watch, scenario: Scenario) -> None:
        self.side = side
        self.watch = watch
        self.scenario = scenario
        self.namespace = f"parity-{uuid4().hex[:8]}"
        self.kinds = kinds_in(str(scenario))
        self.repo = Repo(side.git, side.folder, self.namespace)
        self.spec: Obj = {
            "interval": "10m",
            "prune": True,
            "targetNamespace": self.namespace,
            "sourceRef": {"kind": SOURCE[1], "name": "repo"},
        }
        self.source: Obj = {"interval": "10m", "url": self.repo.url, "ref": {"branch": "main"}}

    async def play(self) -> list[Obj]:
        """Step by step; what was made is taken away again. What the API server refuses is the last record."""
        seen: dict[str, Obj] = {}
        records: list[Obj] = []
        await self.side.cluster.create(_namespace(self.namespace))
        try:
            for step in self.scenario.steps:
                record = await self._step(step, seen)
                records.append(without_retries(record, records[-1] if records else {}))
        except ApiProblem as problem:
            records.append({"refused": str(unplaced(str(problem), self.namespace))})
        finally:
            await self._clean(seen)
        return records

    async def _step(self, step: Step, seen: dict[str, Obj]) -> Obj:
        token = f"token-{next(self.side.tokens)}"
        settled = True
        for obj in step.put:
            await self._put(self.placed(obj))
        for obj in step.drop:
            await self._delete(obj["apiVersion"], obj["kind"], obj["metadata"]["name"])
        await asyncio.to_thread(self._push, step)
        if not self.scenario.without_source:
            settled &= await self._source(step, token)
        for obj in step.patch:
            await self._patch(self.placed(obj))
        if step.delete:
            await self._delete(*KUSTOMIZATION, APP)
            settled &= await self._until(lambda: self.watch.get(KUSTOMIZATION[1], self.namespace, APP) is None)
        else:
            for name, spec in step.others.items():
                await self._kustomization(name, _merged(self.spec, self.placed(spec)), token)
            self.spec = _merged(self.spec, self.placed(step.spec))
            await self._kustomization(APP, self.spec, token)
            settled &= await self._settled(step, token)
        await self._quiet()
        commits = await asyncio.to_thread(self._commits)
        record = await look(self.side.cluster, self.namespace, self.kinds, commits, seen)
        return record if settled else record | {"unsettled": True}

    # -- what a user does -------------------------------------------------------------------------------------------

    def placed(self, value: Any) -> Any:
        """A copy with what this scenario's marks stand for."""
        return placed(value, self.namespace, {**self.side.marks, "@git@": self.repo.url})

    def _push(self, step: Step) -> None:
        if step.push:
            self.repo.push(self.placed(dict(step.push)))
        for command in step.git:
            self.repo.git(*(str(self.repo.bare) if word == "origin-of-tests" else word for word in command))

    def _commits(self) -> dict[str, str]:
        found = self.repo.git("rev-list", "--reverse", "--topo-order", "main").split()
        return {commit: f"commit {place}" for place, commit in enumerate(found, 1)}

    async def _source(self, step: Step, token: str) -> bool:
        self.source = _merged(self.source, self.placed(step.source))
        await self._write(SOURCE, "repo", self.source, token)
        if self.source.get("suspend"):
            return True
        return await self._until(lambda: handled(self.watch.get(SOURCE[1], self.namespace, "repo"), token))

    async def _kustomization(self, name: str, spec: Obj, token: str) -> None:
        await self._write(KUSTOMIZATION, name, spec, token)

    async def _write(self, kind: tuple[str, str], name: str, spec: Obj, token: str) -> None:
        metadata = {"name": name, "namespace": self.namespace, "annotations": {RECONCILE_ANNOTATION: token}}
        body = {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, "spec": spec}
        await self.side.cluster.apply(body, manager="user")

    async def _put(self, obj: Obj) -> None:
        try:
            await self.side.cluster.create(obj, manager="kubectl-create")
        except AlreadyExists:
            await self._patch(obj)

    async def _patch(self, obj: Obj) -> None:
        resource = await self.side.cluster.resource(obj["apiVersion"], obj["kind"])
        name = obj["metadata"]["name"]
        await self.side.cluster.patch(resource, name, self.namespace, body=obj, manager="kubectl-edit")

    async def _delete(self, api_version: str, kind: str, name: str) -> None:
        await self.side.cluster.delete(await self.side.cluster.resource(api_version, kind), name, self.namespace)

    # -- when it is over --------------------------------------------------------------------------------------------

    async def _settled(self, step: Step, token: str) -> bool:
        if step.ignored:
            return await self._rest(IGNORED)

        def over() -> bool:
            app = self.watch.get(KUSTOMIZATION[1], self.namespace, APP)
            ours = self.watch.all(KUSTOMIZATION[1], self.namespace)
            done = handled(app, token) and all(_answered(obj) for obj in ours)
            return done and (not step.ends or conditions.get(app or {}, "Ready")["status"] == step.ends)  # type: ignore[index]

        if not await self._until(over):
            return False
        while True:
            before = self._versions()
            if not await self._rest(STILL):
                return False
            await self.watch.next()
            if over() and before == self._versions():
                return True

    async def _rest(self, seconds: float) -> bool:
        """Until there is nothing left to do in the namespace, where somebody can tell, else so many seconds; False when
        it does not come to that.
        """
        if self.side.idle is None:
            await asyncio.sleep(seconds)
            return True
        try:
            async with asyncio.timeout(STEP_WITHIN):
                await self.side.idle(self.namespace)
        except TimeoutError:
            return False
        return True

    async def _quiet(self) -> None:
        """Until no more events come: Flux writes them behind its statuses, some seconds late when it has much to do."""
        if self.side.idle is not None:
            await self._rest(0.0)
            return
        resource = await self.side.cluster.resource("v1", "Event")
        known, until = -1, asyncio.get_running_loop().time() + self.side.events_within
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self.side.quiet)
            found = len(await self.side.cluster.list(resource, self.namespace))
            if found == known:
                return
            known = found

    def _versions(self) -> list[str]:
        return [
            obj["metadata"]["resourceVersion"] for _, kind in FLUX_KINDS for obj in self.watch.all(kind, self.namespace)
        ]

    async def _until(self, done: Any) -> bool:
        try:
            async with asyncio.timeout(STEP_WITHIN):
                await self.watch.next()
                while not done():
                    await self.watch.next()
        except TimeoutError:
            return False
        return True

    async def _clean(self, seen: Mapping[str, Obj]) -> None:
        cluster = self.side.cluster
        for version, kind in reversed(self.kinds_made):
            resource = await cluster.resource(version, kind)
            for obj in await cluster.list(resource, self.namespace):
                await cluster.delete(resource, obj["metadata"]["name"], self.namespace)
                with contextlib.suppress(NotFound):
                    body = {"metadata": {"finalizers": None}}
                    await cluster.patch(resource, obj["metadata"]["name"], self.namespace, body=body)
        for obj in [_namespace(self.namespace), *(obj for obj in seen.values() if "namespace" not in obj["metadata"])]:
            resource = await cluster.resource(obj["apiVersion"], obj["kind"])
            await cluster.delete(resource, obj["metadata"]["name"])


def _waits(scenario: Scenario) -> bool:
    """Whether it waits for a timeout: then it begins first."""
    return any("timeout" in step.spec for step in scenario.steps)


def _namespace(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _merged(known: Mapping[str, Any], changes: Mapping[str, Any]) -> Obj:
    return {key: value for key, value in {**known, **changes}.items() if value is not None}


def handled(obj: Obj | None, token: str) -> bool:
    """Whether the request has been answered."""
    return obj is not None and (obj.get("status") or {}).get("lastHandledReconcileAt") == token and _answered(obj)


def _answered(obj: Obj) -> bool:
    return (conditions.get(obj, "Ready") or {}).get("status") in {"True", "False"}

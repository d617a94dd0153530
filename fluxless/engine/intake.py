"""Takes in webhooks: finds the objects that they mean in every cluster and requests their reconciliation (CM-6, RC-12).

A webhook only says when. Its sender is answered within a second: clusters that do not answer in time are `missed`, and
the caller tells them again and again by `Announcement`. Many webhooks about one object cost one request at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fluxless import limits
from fluxless.api.failure import Problem
from fluxless.api.kinds import KINDS, RECEIVER, by_name
from fluxless.api.timestamps import format_timestamp
from fluxless.engine.coalesce import Coalescer
from fluxless.engine.directory import Directory
from fluxless.engine.doors import Answer
from fluxless.engine.reach import Reach
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NotFound
from fluxless.notification import delivery
from fluxless.notification.delivery import Target
from fluxless.notification.signatures import Refused
from fluxless.reconcile import world as worlds
from fluxless.reconcile.secrets import References
from fluxless.reconcile.services import Services
from fluxless.reconcile.status import RECONCILE_ANNOTATION
from fluxless.reconcile.survey import Survey

log = logging.getLogger("fluxless.engine")

TOLD_AT_ONCE = 24
"""Clusters that a webhook tells at the same time: all at once, none of them would be in time."""
RECENT = 120.0
"""Seconds for which a survey says which objects a webhook means."""
PATIENCE = 0.7
"""Seconds that a webhook's sender waits for a cluster; the answer is due within one."""
LOOK_EVERY = 2.0
"""Seconds between two looks into a cluster for receivers that are not known: anybody may send to any path."""
SECRET_FOR = 5.0
"""Seconds for which the Secret of a receiver is kept."""
REMEMBERED = 10_000
"""Deliveries that a worker remembers. A replay that comes to another one costs a look at the remote, no more."""
TOLD_KINDS = {"GitRepository", "OCIRepository", "HelmRepository", "HelmChart"}
TOLD = tuple(kind for kind in KINDS if kind.built and kind.kind in TOLD_KINDS)
"""Kinds that the built-in doors are about."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What one cluster has not heard of yet. A webhook only says when: all that say the same are one announcement."""

    cluster: str
    keys: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it travels through Durable."""
        return {"cluster": self.cluster, "keys": list(self.keys), "targets": [list(one) for one in self.targets]}


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer to a webhook, the clusters that have something to do now, and those that were out of reach."""

    status: int
    text: str
    accepted: bool = False
    woken: tuple[str, ...] = ()
    missed: tuple[Announcement, ...] = field(default=())
    kind: str = "text/plain"


class Intake:
    """`cluster` opens connections, `survey` is the latest survey of this worker, `names` are all clusters."""

    def __init__(
        self,
        names: Callable[[], list[str]],
        cluster: Callable[[str], Awaitable[Cluster]],
        survey: Callable[[str], Survey | None],
        reach: Reach,
        services: Callable[[], Services],
    ) -> None:
        self._names = names
        self._cluster = cluster
        self._survey = survey
        self._reach = reach
        self._services = services
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._directories: dict[str, Directory] = {}
        self._looked: dict[str, tuple[float, Directory]] = {}
        self._secrets: dict[tuple[str, str, str], tuple[float, Mapping[str, bytes] | None]] = {}
        self._request: Coalescer[tuple[str, tuple[str, ...]], int] = Coalescer(lambda key: self._ask(*key))
        self._annotate: Coalescer[tuple[str, Target], None] = Coalescer(lambda key: self._note(*key), spacing=0.1)
        self._look: Coalescer[str, Directory] = Coalescer(self._look_into)

    # -- the built-in doors -----------------------------------------------------------------------------------------

    async def accept(self, answer: Answer) -> Acceptance:
        """Tell all clusters of what a door has let in."""
        if not answer.keys:
            return Acceptance(answer.status, answer.text, kind=answer.kind)
        if answer.delivery in self._seen:
            return Acceptance(202, "this delivery was received before: ignored", accepted=True)
        until, slots = asyncio.get_running_loop().time() + PATIENCE, asyncio.Semaphore(TOLD_AT_ONCE)
        names = self._names()
        counts = await asyncio.gather(*(self._patiently(name, answer.keys, until, slots) for name in names))
        if answer.delivery:
            self._seen[answer.delivery] = None
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        woken = tuple(name for name, count in zip(names, counts, strict=True) if count)
        keys = tuple(sorted(set(answer.keys)))
        missed = tuple(Announcement(name, keys) for name, count in zip(names, counts, strict=True) if count is None)
        total = sum(count or 0 for count in counts)
        text = f"{total} object(s) will be reconciled" if total else "no object is made of this repository"
        if missed:
            text += f"; {len(missed)} cluster(s) did not answer and will be told later"
        return Acceptance(202, text, accepted=True, woken=woken, missed=missed)

    async def _patiently(self, name: str, keys: tuple[str, ...], until: float, slots: asyncio.Semaphore) -> int | None:
        try:
            async with asyncio.timeout_at(until), slots:
                return await self._request((name, tuple(sorted(keys))))
        except (Problem, TimeoutError) as problem:
            log.warning("cluster=%s webhook not passed on yet: %s", name, problem or "no answer in time")
            return None

    async def tell(self, name: str, keys: tuple[str, ...], targets: tuple[Target, ...]) -> int:
        """What an `Announcement` says; how many objects. Raises `Problem`."""
        count = await self._request((name, tuple(sorted(keys)))) if keys else 0
        await asyncio.gather(*(self._annotate((name, target)) for target in targets))
        return count + len(targets)

    async def _ask(self, name: str, keys: tuple[str, ...]) -> int:
        """Annotate the objects of one cluster that are made of these repositories.

        A recent survey of this worker says which they are; when it knows none, the cluster is asked.
        """
        self._reach.refuse_away(name)
        known = self._directory(name)
        matching = known.having(keys) if known is not None else []
        if not matching:
            taken = await worlds.take(await self._cluster(name), TOLD, self._services().clock())
            matching = Directory(taken).having(keys)
        targets = [(by_name(ref.kind).api_version, *ref) for ref in matching]
        await asyncio.gather(*(self._annotate((name, target)) for target in targets))
        return len(matching)

    async def _note(self, name: str, target: Target) -> None:
        api_version, kind, namespace, called = target
        cluster = await self._cluster(name)
        token = format_timestamp(self._services().clock(), fraction=True)
        body = {"metadata": {"annotations": {RECONCILE_ANNOTATION: token}}}
        with contextlib.suppress(NotFound):  # deleted since
            await cluster.patch(await cluster.resource(api_version, kind), called, namespace, body=body)

    def _directory(self, name: str) -> Directory | None:
        """The index of a recent survey."""
        survey = self._survey(name)
        if survey is None or self._services().clock() - survey.world.taken > RECENT:
            return None
        found = self._directories.get(name)
        if found is None or found.taken != survey.world.taken:
            found = self._directories[name] = Directory(survey.world)
        return found

    # -- receivers --------------------------------------------------------------------------------------------------

    async def hook(self, path: str, headers: Mapping[str, str], body: bytes) -> Acceptance:
        """A webhook for a Receiver, on whatever cluster it is (RC-13)."""
        if len(body) > limits.RECEIVER_BODY:  # RC-13
            return Acceptance(413, f"the body is larger than {limits.RECEIVER_BODY >> 20} MiB")
        name, receiver = await self._find(path)
        if receiver is None:
            return Acceptance(404, "there is no receiver with this path")
        shown = f"Receiver/{receiver['metadata']['namespace']}/{receiver['metadata']['name']}"
        targets: list[Target] = []
        try:
            async with asyncio.timeout(PATIENCE):
                cluster = await self._cluster(name)
                variables = await delivery.genuine(receiver, headers, body, self._reader(name))
                settings = self._services().settings
                targets, wrong = await delivery.targets(
                    receiver, variables, cluster, no_cross_namespace=settings.no_cross_namespace_refs
                )
                await asyncio.gather(*(self._annotate((name, target)) for target in targets))
        except Refused as refused:
            log.warning("cluster=%s object=%s webhook refused: %s", name, shown, refused)
            return Acceptance(refused.status, "refused; the app's log says why")
        except (Problem, TimeoutError) as problem:
            log.warning(
                "cluster=%s object=%s webhook not passed on yet: %s", name, shown, problem or "no answer in time"
            )
            if not targets:
                return Acceptance(503, "the cluster does not answer: deliver it again")
            later = Announcement(name, targets=tuple(sorted(set(targets))))
            return Acceptance(200, "the cluster will be told later", accepted=True, missed=(later,))
        if wrong:
            log.warning("cluster=%s object=%s %s", name, shown, "; ".join(wrong))
        woken = (name,) if targets else ()
        text = f"{len(targets)} object(s) will be reconciled"
        if wrong:
            return Acceptance(500, f"{text}; {len(wrong)} resource(s) cannot be: see the app's log", True, woken)
        return Acceptance(200, text, accepted=True, woken=woken)

    async def _find(self, path: str) -> tuple[str, dict[str, Any] | None]:
        """The cluster and the receiver of a path. Clusters that have no recent survey here are asked, now and then."""
        for name in self._names():
            known = self._directory(name)
            if known is not None and (found := known.receiver(path)):
                return name, found

        async def look(name: str) -> tuple[str, dict[str, Any] | None]:
            looked, before = self._looked.get(name, (float("-inf"), None))
            if before is not None and time.monotonic() - looked < LOOK_EVERY:
                return name, before.receiver(path)
            try:
                async with asyncio.timeout(PATIENCE):
                    return name, (await self._look(name)).receiver(path)
            except (Problem, TimeoutError):
                return name, None

        answers = await asyncio.gather(*(look(name) for name in self._names()))
        return next(((name, found) for name, found in answers if found is not None), ("", None))

    async def _look_into(self, name: str) -> Directory:
        self._reach.refuse_away(name)
        taken = await worlds.take(await self._cluster(name), (RECEIVER,), self._services().clock())
        self._looked[name] = (time.monotonic(), Directory(taken))
        return self._looked[name][1]

    def _reader(self, name: str) -> delivery.Secrets:
        async def read(namespace: str, secret: str) -> Mapping[str, bytes] | None:
            key = (name, namespace, secret)
            when, known = self._secrets.get(key, (float("-inf"), None))
            if time.monotonic() - when < SECRET_FOR:
                return known
            data = await References(await self._cluster(name)).secret(namespace, secret)
            self._secrets[key] = (time.monotonic(), data)
            return data

        return read

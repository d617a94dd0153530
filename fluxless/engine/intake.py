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
from fluxless.api.kinds import GIT_REPOSITORY, HELM_CHART, HELM_REPOSITORY, OCI_REPOSITORY, RECEIVER, Kind, by_name
from fluxless.api.timestamps import format_timestamp
from fluxless.artifacts.store import Stored
from fluxless.engine.coalesce import Coalescer
from fluxless.engine.directory import Directory
from fluxless.engine.doors import Answer
from fluxless.engine.index import Index
from fluxless.engine.reach import ClusterAway
from fluxless.kube.client import Cluster
from fluxless.kube.errors import NotFound
from fluxless.notification import delivery
from fluxless.notification.delivery import Target
from fluxless.notification.signatures import Refused
from fluxless.reconcile import world as worlds
from fluxless.reconcile.secrets import References
from fluxless.reconcile.services import Services
from fluxless.reconcile.status import RECONCILE_ANNOTATION
from fluxless.reconcile.world import Ref

log = logging.getLogger("fluxless.engine")

TOLD_AT_ONCE = 24
"""Clusters that a webhook tells at the same time: all at once, none of them would be in time."""
PATIENCE = 0.7
"""Seconds that a webhook's sender waits for a cluster; the answer is due within one."""
LOOK_EVERY = 2.0
"""Seconds between two looks into a cluster for receivers that are not known: anybody may send to any path."""
SECRET_FOR = 5.0
"""Seconds for which the Secret of a receiver is kept."""
REMEMBERED = 10_000
"""Deliveries that a worker remembers. A replay that comes to another one costs a look at the remote, no more."""
TOLD = (GIT_REPOSITORY, OCI_REPOSITORY, HELM_REPOSITORY, HELM_CHART)
"""Kinds that tell what the built-in doors mean."""


Listed = asyncio.Future[Mapping[str, Stored]]
"""What there is of the index, once it is known."""


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


AWAY = Acceptance(503, "the cluster does not answer: deliver it again")
NO_RECEIVER = Acceptance(404, "there is no receiver with this path")


class Intake:
    """`cluster` opens connections, `index` says which objects are where, `names` are all clusters."""

    def __init__(
        self,
        names: Callable[[], list[str]],
        cluster: Callable[[str], Awaitable[Cluster]],
        index: Index,
        services: Callable[[], Services],
    ) -> None:
        self._names = names
        self._cluster = cluster
        self._index = index
        self._services = services
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._looked: dict[str, tuple[float, Directory]] = {}
        self._secrets: dict[tuple[str, str, str], tuple[float, Mapping[str, bytes] | None]] = {}
        self._annotate: Coalescer[tuple[str, Target], None] = Coalescer(lambda key: self._note(*key), spacing=0.1)
        self._look: Coalescer[tuple[str, tuple[Kind, ...]], Directory] = Coalescer(lambda key: self._look_into(*key))
        self._receiver: Coalescer[tuple[str, Ref], dict[str, Any] | None] = Coalescer(
            lambda key: self._read(*key), spacing=0.1
        )

    # -- the built-in doors -----------------------------------------------------------------------------------------

    async def accept(self, answer: Answer) -> Acceptance:
        """Tell all clusters of what a door has let in."""
        if not answer.keys:
            return Acceptance(answer.status, answer.text, kind=answer.kind)
        if answer.delivery in self._seen:
            return Acceptance(202, "this delivery was received before: ignored", accepted=True)
        until, slots = asyncio.get_running_loop().time() + PATIENCE, asyncio.Semaphore(TOLD_AT_ONCE)
        names, listed = self._names(), asyncio.ensure_future(self._index.listed())
        counts = await asyncio.gather(*(self._patiently(name, answer.keys, listed, until, slots) for name in names))
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

    async def _patiently(
        self, name: str, keys: tuple[str, ...], listed: Listed, until: float, slots: asyncio.Semaphore
    ) -> int | None:
        try:
            async with asyncio.timeout_at(until), slots:
                return await self._ask(name, keys, await asyncio.shield(listed))
        except (Problem, TimeoutError) as problem:
            log.warning("cluster=%s webhook not passed on yet: %s", name, problem or "no answer in time")
            return None

    async def tell(self, name: str, keys: tuple[str, ...], targets: tuple[Target, ...]) -> int:
        """What an `Announcement` says; how many objects. Raises `Problem`."""
        count = await self._ask(name, keys, await self._index.listed()) if keys else 0
        await asyncio.gather(*(self._annotate((name, target)) for target in targets))
        return count + len(targets)

    async def _ask(self, name: str, keys: tuple[str, ...], listed: Mapping[str, Stored]) -> int:
        """Annotate the objects of one cluster that are made of these repositories.

        The index says which they are; the cluster itself is asked where there is none of it.
        """
        known = await self._index.directory(name, listed)
        if known is None:
            await self._index.refuse_away(name, listed)
            known = await self._look((name, TOLD))
        matching = known.having(keys)
        if matching:
            await self._index.refuse_away(name, listed)
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

    # -- receivers --------------------------------------------------------------------------------------------------

    async def hook(self, path: str, headers: Mapping[str, str], body: bytes) -> Acceptance:
        """A webhook for a Receiver, on whatever cluster it is (RC-13)."""
        if len(body) > limits.RECEIVER_BODY:  # RC-13
            return Acceptance(413, f"the body is larger than {limits.RECEIVER_BODY >> 20} MiB")
        try:
            async with asyncio.timeout(PATIENCE):
                listed = await self._index.listed()
                known = await self._directories(listed)
        except TimeoutError:
            return Acceptance(503, "the storage account does not answer: deliver it again")
        found = {name: ref for name, one in known.items() if one is not None and (ref := one.receiver(path))}
        if not found:
            untold = [name for name, one in known.items() if one is None or one.pathless]
            found = await self._look_for(path, untold, listed)
        if not found:
            return NO_RECEIVER
        until, slots = asyncio.get_running_loop().time() + PATIENCE, asyncio.Semaphore(TOLD_AT_ONCE)

        async def deliver(name: str, ref: Ref) -> Acceptance:
            async with slots:
                try:
                    await self._index.refuse_away(name, listed)
                except ClusterAway:
                    return AWAY
                return await self._deliver(name, ref, path, headers, body, until)

        return _together(await asyncio.gather(*(deliver(name, ref) for name, ref in found.items())))

    async def _directories(self, listed: Mapping[str, Stored]) -> dict[str, Directory | None]:
        names = self._names()
        found = await asyncio.gather(*(self._index.directory(name, listed) for name in names))
        return dict(zip(names, found, strict=True))

    async def _look_for(self, path: str, names: list[str], listed: Mapping[str, Stored]) -> dict[str, Ref]:
        """The receiver of a path in clusters whose directory does not tell; they are asked now and then."""

        async def look(name: str) -> Ref | None:
            looked, before = self._looked.get(name, (float("-inf"), None))
            if before is not None and time.monotonic() - looked < LOOK_EVERY:
                return before.receiver(path)
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._index.refuse_away(name, listed)
                    found = await self._look((name, (RECEIVER,)))
            except (Problem, TimeoutError):
                return None
            self._looked[name] = (time.monotonic(), found)
            return found.receiver(path)

        answers = await asyncio.gather(*(look(name) for name in names))
        return {name: ref for name, ref in zip(names, answers, strict=True) if ref is not None}

    async def _look_into(self, name: str, kinds: tuple[Kind, ...]) -> Directory:
        """What the cluster itself says."""
        return Directory.of(await worlds.take(await self._cluster(name), kinds, self._services().clock()))

    async def _deliver(
        self, name: str, ref: Ref, path: str, headers: Mapping[str, str], body: bytes, until: float
    ) -> Acceptance:
        """A webhook for a receiver of one cluster, which is read there; `until` is a time of the event loop."""
        targets: list[Target] = []
        try:
            async with asyncio.timeout_at(until):
                cluster, receiver = await self._cluster(name), await self._receiver((name, ref))
                if receiver is None or (receiver.get("status") or {}).get("webhookPath") != path:
                    return NO_RECEIVER
                variables = await delivery.genuine(receiver, headers, body, self._reader(name))
                settings = self._services().settings
                targets, wrong = await delivery.targets(
                    receiver, variables, cluster, no_cross_namespace=settings.no_cross_namespace_refs
                )
                await asyncio.gather(*(self._annotate((name, target)) for target in targets))
        except Refused as refused:
            log.warning("cluster=%s object=%s webhook refused: %s", name, ref, refused)
            return Acceptance(refused.status, "refused; the app's log says why")
        except (Problem, TimeoutError) as problem:
            words = problem or "no answer in time"
            log.warning("cluster=%s object=%s webhook not passed on yet: %s", name, ref, words)
            if not targets:
                return AWAY
            later = Announcement(name, targets=tuple(sorted(set(targets))))
            return Acceptance(200, "the cluster will be told later", accepted=True, missed=(later,))
        if wrong:
            log.warning("cluster=%s object=%s %s", name, ref, "; ".join(wrong))
        woken = (name,) if targets else ()
        text = f"{len(targets)} object(s) will be reconciled"
        if wrong:
            return Acceptance(500, f"{text}; {len(wrong)} resource(s) cannot be: see the app's log", True, woken)
        return Acceptance(200, text, accepted=True, woken=woken)

    async def _read(self, name: str, ref: Ref) -> dict[str, Any] | None:
        cluster = await self._cluster(name)
        return await cluster.get(await cluster.resource(RECEIVER.api_version, ref.kind), ref.name, ref.namespace)

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


def _together(answers: list[Acceptance]) -> Acceptance:
    """The answer to a webhook whose receiver is on several clusters: the worst, for the sender then delivers again."""
    if len(answers) == 1:
        return answers[0]
    return Acceptance(
        max(one.status for one in answers),
        "; ".join(dict.fromkeys(one.text for one in answers)),
        any(one.accepted for one in answers),
        tuple(name for one in answers for name in one.woken),
        tuple(later for one in answers for later in one.missed),
    )

"""One stage of an apply: everything is validated by a dry-run before the first write (KC-80, KC-82..86).

`applier.py` runs the stages in their order. Nothing here decides what belongs to a stage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fluxless.api.failure import Failure, Problem
from fluxless.apply import fields
from fluxless.apply.census import Census
from fluxless.apply.changes import FieldChange, changes
from fluxless.apply.drift import Drift
from fluxless.apply.failures import is_refused_change, refused
from fluxless.apply.ignore import Rule, leave_to_others
from fluxless.apply.many import each
from fluxless.apply.objects import KubeObject, Manifest
from fluxless.apply.owner import hands_off, may_be_recreated, only_create, sets_directive
from fluxless.apply.unknown import without_unknown
from fluxless.kube.errors import ApiProblem, Conflict, Unreachable
from fluxless.kube.resource import Resource

GONE_WITHIN = 60.0
"""Seconds that an object may take to go before it is recreated."""


Fence = Callable[[], Awaitable[None]]
"""Asked before each request that changes an object: it raises when somebody else has taken over."""


async def looking() -> None:
    """The fence of one who only looks."""


@dataclass(slots=True)
class Item:
    """One object on its way: the manifest, its resource, and what the dry-run and the apply came to."""

    id: str
    manifest: Manifest
    resource: Resource
    digest: str
    action: str = ""
    """Flux's words (KC-89): created, configured, unchanged, skipped; `drifted` for what is left as it was found; empty
    until it is known."""
    live: KubeObject | None = None
    """The API server's last answer."""
    recreate: bool = False
    drift: Drift | None = None
    """Why it has to be applied again although the manifest is the old one."""
    changed: tuple[FieldChange, ...] = ()
    """The fields that have drifted, and by whom."""
    unknown: tuple[str, ...] = ()
    """Fields that the kind does not have, which were left out."""

    @property
    def object(self) -> KubeObject:
        """What is to be applied."""
        return self.manifest.object

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name)."""
        return self.object["metadata"].get("namespace", ""), self.object["metadata"]["name"]


class StageProblem(Problem):
    """Objects that the API server refuses. After a dry-run, nothing of the stage was written.

    `done` is what had been written by then, as (subject, action): stages before this one, or a part of it.
    """

    done: tuple[tuple[str, str], ...] = ()


class Stage:
    """The changed objects of one stage. `force` allows to recreate all of them (KC-25).

    `fence` is asked before each write. With `leave_drift` an object that somebody else has changed is only looked at.
    """

    def __init__(
        self,
        census: Census,
        items: list[Item],
        *,
        force: bool,
        fence: Fence,
        ignore: Sequence[Rule] = (),
        leave_drift: bool = False,
    ) -> None:
        self._fence = fence
        self._ignore = ignore
        self._leave_drift = leave_drift
        self._census = census
        self._cluster = census.cluster
        self._items = items
        self._force = force

    async def validate(self) -> list[Failure]:
        """Dry-run every item; one failure for each that is refused. Raises `Unreachable`."""
        return await self._all(self._validate, "dry-run failed")

    async def write(self) -> None:
        """Apply what was validated, rank by rank. Raises `StageProblem` with all failures of a rank."""
        failures = await self._all(self._write, "apply failed")
        if failures:
            raise StageProblem(failures)

    async def _all(self, do: Callable[[Item], Awaitable[None]], doing: str) -> list[Failure]:
        async def attempt(item: Item) -> Failure | None:
            try:
                await do(item)
            except Unreachable:
                raise
            except ApiProblem as problem:
                return refused(problem, item.object, item.manifest.origin, doing)
            return None

        todo = [item for item in self._items if not item.action]
        return [failure for failure in await each(attempt, todo) if failure is not None]

    async def _validate(self, item: Item) -> None:
        if only_create(item.object) or sets_directive(item.object):
            live = await self._get(item)
            if live is not None and (only_create(item.object) or hands_off(live)):
                item.action, item.live = "skipped", live
                return
        await self._leave_to_others(item)
        await self._try(item)
        if item.drift is not None and not item.action:
            await self._inspect(item)

    async def _try(self, item: Item) -> None:
        try:
            item.live = await self._apply(item, dry_run=True)
        except ApiProblem as problem:
            if not item.unknown and (known := without_unknown(item.object, problem.message)) is not None:
                item.manifest, item.unknown = replace(item.manifest, object=known[0]), known[1]
                await self._try(item)
                return
            if not is_refused_change(problem):
                raise
            live = await self._get(item)
            if live is not None and hands_off(live):
                item.action, item.live = "skipped", live
            elif live is not None and (self._force or may_be_recreated(item.object) or may_be_recreated(live)):
                item.recreate, item.live = True, live
            else:
                raise
            return
        if _exists(item.live) and hands_off(item.live):
            item.action = "skipped"

    async def _inspect(self, item: Item) -> None:
        """Name what has drifted: the difference between the object and what applying it would make of it."""
        live = await self._get(item)
        if live is not None and item.live is not None and not item.recreate:
            item.changed = tuple(changes(live, item.live, self._census.manager))
        if self._leave_drift:
            item.action, item.live = "drifted", live

    async def _leave_to_others(self, item: Item) -> None:
        """Fields that `spec.ignore` names (KC-87); only objects that a rule means are read for it."""
        if any(rule.means(item.object) for rule in self._ignore) and (live := await self._get(item)) is not None:
            changed = leave_to_others(item.object, live, self._ignore, self._census.manager)
            item.manifest = replace(item.manifest, object=changed)

    async def _write(self, item: Item) -> None:
        before = item.live or {}
        await self._fence()
        if item.recreate:
            await self._remove(item, before)
            before = {}
        elif _exists(before) and fields.to_take_over(before, self._census.managers):
            await self._take_over(item)
        await self._fence()
        item.live = await self._apply(item)
        version = before["metadata"].get("resourceVersion") if _exists(before) else ""
        same = version == item.live["metadata"].get("resourceVersion")
        item.action = "created" if not version else "unchanged" if same else "configured"
        await self._census.note(item.resource, item.live)

    async def _apply(self, item: Item, *, dry_run: bool = False) -> dict[str, Any]:
        return await self._cluster.apply(item.object, manager=self._census.manager, dry_run=dry_run)

    async def _get(self, item: Item) -> dict[str, Any] | None:
        namespace, name = item.key
        return await self._cluster.get(item.resource, name, namespace)

    async def _take_over(self, item: Item) -> None:
        """Make the fields of kubectl and its like ours (KC-86); once more when somebody writes in between."""
        namespace, name = item.key
        for attempt in (1, 2, 3):
            live = await self._get(item)
            patch = fields.takeover_patch(live, self._census.manager, self._census.managers) if live else []
            if not patch:
                return
            try:
                await self._cluster.patch(
                    item.resource, name, namespace, body=patch, kind="json", manager=self._census.manager
                )
                return
            except Conflict:
                if attempt == 3:
                    raise

    async def _remove(self, item: Item, live: KubeObject) -> None:
        """Delete and wait until it is gone (KC-82)."""
        namespace, name = item.key
        await self._cluster.delete(item.resource, name, namespace, uid=live["metadata"].get("uid", ""))
        pause = 0.1
        async with asyncio.timeout(GONE_WITHIN):
            while await self._get(item) is not None:
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 2)


def _exists(answer: KubeObject) -> bool:
    """Whether a (dry-run) answer speaks of a stored object: one that was not yet created has no resourceVersion."""
    return bool((answer.get("metadata") or {}).get("resourceVersion"))

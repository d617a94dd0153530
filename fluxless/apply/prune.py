"""Deletes what is no longer wanted (KC-91, KC-83..85): only objects that still carry our labels, last applied first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

from fluxless.api.failure import Failure
from fluxless.apply.census import Census
from fluxless.apply.failures import refused
from fluxless.apply.inventory import type_of
from fluxless.apply.many import each
from fluxless.apply.objects import KubeObject, ObjectId, parse_id
from fluxless.apply.order import rank, sort_key
from fluxless.apply.owner import Owner, keeps
from fluxless.apply.stage import Fence
from fluxless.kube.client import Cluster
from fluxless.kube.errors import ApiProblem, Conflict, NoSuchKind, Unreachable


@dataclass(slots=True)
class Pruned:
    """`deleted` are subjects, and so are `kept`, which are there and stay; `survivors` are ids that should be gone but
    are not, each with a failure.
    """

    deleted: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    survivors: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)

    @property
    def changes(self) -> list[tuple[str, str]]:
        """(subject, action) in Flux's words (KC-89)."""
        return [*((subject, "deleted") for subject in self.deleted), *((subject, "skipped") for subject in self.kept)]


async def prune(
    cluster: Cluster, census: Census, inventory: Mapping[str, str], *, owner: Owner, fence: Fence
) -> Pruned:
    """Delete the inventory's objects, one rank after the other in reverse order of application; `fence` is asked before
    each.

    Objects of somebody else, and those that ask to be kept, stay and leave the inventory. Raises `Unreachable`, and
    what `fence` raises.
    """
    result = Pruned()
    ids = sorted(((parse_id(id_), id_) for id_ in inventory), key=lambda pair: sort_key(pair[0]), reverse=True)

    async def one(pair: tuple[ObjectId, str]) -> None:
        parsed, id_ = pair
        try:
            deleted = await _delete(cluster, census, parsed, type_of(id_, inventory[id_]), owner, fence)
            if deleted is not None:
                (result.deleted if deleted else result.kept).append(parsed.subject)
        except Unreachable:
            raise
        except ApiProblem as problem:
            result.survivors.add(id_)
            result.failures.append(refused(problem, _stand_in(parsed), "", "delete failed"))

    for _, same in groupby(ids, key=lambda pair: rank(pair[0])[0]):
        await each(one, list(same))
    return result


async def _delete(
    cluster: Cluster, census: Census, id_: ObjectId, kind: tuple[str, str], owner: Owner, fence: Fence
) -> bool | None:
    """True when it was deleted, False when it stays, None when there is nothing to delete."""
    try:
        resource = await cluster.resource(*kind)
    except NoSuchKind:  # its definition is gone, and with it the object
        return None
    for attempt in (1, 2):
        live = await cluster.get(resource, id_.name, id_.namespace)
        if live is None or live["metadata"].get("deletionTimestamp"):
            return None
        if not owner.owns(live) or keeps(live):
            return False
        await fence()
        try:
            deleted = await cluster.delete(resource, id_.name, id_.namespace, uid=live["metadata"]["uid"])
        except Conflict:  # recreated by somebody since we looked
            if attempt == 2:
                raise
            continue
        await census.forget(resource, id_.namespace, id_.name)
        return True if deleted else None
    return None


async def still_there(cluster: Cluster, inventory: Mapping[str, str], *, owner: Owner) -> list[str]:
    """Subjects of the inventory's objects that exist and were ours to delete. Raises `ApiProblem`."""

    async def one(id_: str) -> str:
        parsed = parse_id(id_)
        try:
            resource = await cluster.resource(*type_of(id_, inventory[id_]))
        except NoSuchKind:
            return ""
        live = await cluster.get(resource, parsed.name, parsed.namespace)
        return parsed.subject if live is not None and owner.owns(live) and not keeps(live) else ""

    return [subject for subject in await each(one, inventory) if subject]


def _stand_in(id_: ObjectId) -> KubeObject:
    return {"kind": id_.kind, "metadata": {"name": id_.name, "namespace": id_.namespace}}

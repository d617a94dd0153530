"""What an apply would do, without doing it: the same dry-runs that an apply makes, of all stages at once.

An apply validates a stage when the one before it is written. A preview cannot: so an object whose kind or namespace is
only about to be created by the same set counts as created.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fluxless.api.failure import Failure
from fluxless.apply.census import Census
from fluxless.apply.changes import changes
from fluxless.apply.ignore import Rule
from fluxless.apply.inventory import Inventory, type_of
from fluxless.apply.many import each
from fluxless.apply.objects import KubeObject, Manifest, group_of, identify, object_id, parse_id
from fluxless.apply.order import sort_key
from fluxless.apply.owner import Owner, hands_off, keeps
from fluxless.apply.resolve import defined_kinds, resolve_one
from fluxless.apply.stage import Item, Stage, looking
from fluxless.kube.errors import NoSuchKind

_NO_NAMESPACE = re.compile(r'namespaces "([^"]+)" not found')


@dataclass(frozen=True, slots=True)
class Planned:
    """What would become of one object. `action` is one of Flux's words (KC-89), or `recreated`.

    `live` is the object as it is, `wanted` as it would be; either is None where there is none. `unknown` are fields
    that the kind does not have and that would be left out.
    """

    id: str
    subject: str
    action: str
    origin: str = ""
    live: KubeObject | None = None
    wanted: KubeObject | None = None
    unknown: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything would be different."""
        return self.action not in {"unchanged", "skipped"}


async def preview(
    census: Census, manifests: Sequence[Manifest], *, force: bool = False, ignore: Sequence[Rule] = ()
) -> tuple[list[Planned], list[Failure]]:
    """What would become of the set, in the order of application, and what the API server would refuse.

    Raises `Unreachable`.
    """
    ordered = sorted(manifests, key=lambda manifest: sort_key(identify(manifest.object)))
    new_kinds = defined_kinds(ordered)
    new_namespaces = {m.object["metadata"]["name"] for m in ordered if _kind(m.object) == ("", "Namespace")}

    async def one(manifest: Manifest) -> Planned | Failure:
        found = await resolve_one(census.cluster, manifest, (), "")
        if isinstance(found, Failure):
            return _created(manifest) if _kind(manifest.object) in new_kinds else found
        if hands_off(found.object):
            return _planned(found, "skipped")
        failures = await Stage(census, [found], force=force, fence=looking, ignore=ignore).validate()
        if not failures:
            return await _compared(census, found)
        missing = _NO_NAMESPACE.search(failures[0].message)
        return _created(manifest) if missing and missing[1] in new_namespaces else failures[0]

    found = await each(one, ordered)
    return [p for p in found if isinstance(p, Planned)], [p for p in found if isinstance(p, Failure)]


async def preview_prune(census: Census, dropped: Inventory, *, owner: Owner) -> list[Planned]:
    """What of the inventory a prune would delete, in its order (KC-91). Raises `ApiProblem`."""

    async def one(id_: str) -> Planned | None:
        parsed = parse_id(id_)
        try:
            resource = await census.cluster.resource(*type_of(id_, dropped[id_]))
        except NoSuchKind:
            return None
        live = await census.cluster.get(resource, parsed.name, parsed.namespace)
        if live is None or not owner.owns(live) or keeps(live):
            return None
        return Planned(id_, parsed.subject, "deleted", live=live)

    in_order = sorted(dropped, key=lambda id_: sort_key(parse_id(id_)), reverse=True)
    return [planned for planned in await each(one, in_order) if planned is not None]


async def _compared(census: Census, item: Item) -> Planned:
    if item.action:
        return _planned(item, item.action, item.live)
    live = await census.cluster.get(item.resource, item.key[1], item.key[0])
    if live is None:
        return _planned(item, "created", None, item.live)
    if item.recreate:
        return _planned(item, "recreated", live, item.object)
    wanted = item.live or {}
    differs = bool(changes(live, wanted, census.manager)) or census.sight(live).takeover
    return _planned(item, "configured" if differs else "unchanged", live, wanted)


def _planned(item: Item, action: str, live: KubeObject | None = None, wanted: KubeObject | None = None) -> Planned:
    subject = identify(item.object).subject
    return Planned(item.id, subject, action, item.manifest.origin, live, wanted, item.unknown)


def _created(manifest: Manifest) -> Planned:
    obj = manifest.object
    return Planned(object_id(obj), identify(obj).subject, "created", manifest.origin, wanted=obj)


def _kind(obj: KubeObject) -> tuple[str, str]:
    return group_of(obj["apiVersion"]), obj["kind"]

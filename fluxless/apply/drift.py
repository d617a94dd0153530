"""Which applied objects are no longer as we left them, without sending one of them
(docs/decisions/drift-by-ownership.md).

Used by `applier.py` to leave unchanged objects alone, and by callers that only report drift.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fluxless.apply.census import Census, Key, Sighting
from fluxless.apply.inventory import type_of
from fluxless.apply.many import each
from fluxless.apply.objects import parse_id
from fluxless.apply.record import AppliedRecord, Entry
from fluxless.kube.errors import NoSuchKind


class Drift(StrEnum):
    """Why an object has to be applied again, in words for messages."""

    MISSING = "is gone"
    RECREATED = "was recreated"
    CHANGED = "was changed by somebody else"
    TAKEN = "belongs to another owner by its labels"
    EDITED = "was edited by kubectl"


@dataclass(frozen=True, slots=True)
class Finding:
    """A drifted object; `owner` is the (name, namespace) that its labels say, for one that is somebody else's now."""

    drift: Drift
    owner: tuple[str, str] = ("", "")


def compare(entry: Entry, sighting: Sighting | None, owner: tuple[str, str], *, awaited: bool = False) -> Drift | None:
    """The drift of one object; `owner` is what its owner labels should say. Directives are the caller's business.

    With `awaited`, a health check looks at the object: a fleeting one may have finished and gone.
    """
    if sighting is None:
        return None if awaited and entry.fleeting else Drift.MISSING
    if sighting.uid != entry.uid:
        return Drift.RECREATED
    if sighting.owner != owner:
        return Drift.TAKEN
    if sighting.mark != entry.mark:
        return Drift.CHANGED
    return Drift.EDITED if sighting.takeover else None


async def drifted(
    census: Census, record: AppliedRecord, *, since: float = 0.0, status: bool = False, awaited: bool = False
) -> Mapping[str, Finding]:
    """The objects of the record that have drifted, by id: one LIST per kind, shared through the census.

    Objects that the cluster's users put out of our hands (KC-83, KC-84) never drift. `since` and `status` as in
    `Census.look`, `awaited` as in `compare`. Raises `ApiProblem` when the cluster does not answer.
    """

    kinds: dict[tuple[str, str], dict[Key, str]] = defaultdict(dict)
    for id_, entry in record.entries.items():
        parsed = parse_id(id_)
        kinds[type_of(id_, entry.version)][parsed.namespace, parsed.name] = id_

    async def inspect(kind: tuple[str, str]) -> dict[str, Finding]:
        ids = kinds[kind]
        try:
            resource = await census.cluster.resource(*kind)
        except NoSuchKind:
            return dict.fromkeys(ids.values(), Finding(Drift.MISSING))
        sightings = await census.look(resource, ids, since=since, status=status)
        found: dict[str, Finding] = {}
        for key, id_ in ids.items():
            sighting = sightings.get(key)
            drift = compare(record.entries[id_], sighting, record.owner, awaited=awaited)
            if drift is not None and not (sighting is not None and sighting.hands_off):
                found[id_] = Finding(drift, sighting.owner if sighting is not None else ("", ""))
        return found

    result: dict[str, Finding] = {}
    for found in await each(inspect, kinds):
        result |= found
    return result

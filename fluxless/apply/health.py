"""Are objects ready? One look at many of them, with Flux's words for what is not (KC-93, KC-94). Waits for nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fluxless.api.failure import Failure, FailureClass
from fluxless.apply.census import Census
from fluxless.apply.inventory import type_of
from fluxless.apply.kstatus import status_of
from fluxless.apply.many import each
from fluxless.apply.objects import KubeObject, ObjectId, group_of, parse_id
from fluxless.apply.states import State, Status
from fluxless.kube.errors import NoSuchKind

_STEPS = {
    State.NOT_FOUND: "create the object, or correct spec.healthChecks",
    State.TERMINATING: "somebody deletes the object: find out who",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One object to look at."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of_inventory(cls, id_: str, version: str) -> Target:
        """The object of an inventory entry."""
        parsed = parse_id(id_)
        return cls(type_of(id_, version)[0], parsed.kind, parsed.namespace, parsed.name)

    @property
    def id(self) -> ObjectId:
        """Its inventory id."""
        return ObjectId(self.namespace, self.name, group_of(self.api_version), self.kind)


@dataclass(slots=True)
class Look:
    """What one look has found that is not ready."""

    pending: dict[Target, Status] = field(default_factory=dict)
    failed: dict[Target, Status] = field(default_factory=dict)

    def pending_text(self) -> str:
        """Flux's words for a wait that is over."""
        return f"timeout waiting for: [{_list({**self.failed, **self.pending})}]"

    def failed_text(self) -> str:
        """Flux's words for objects that will not get there by themselves."""
        return f"failed early due to stalled resources: [{_list(self.failed)}]"

    def failures(self) -> list[Failure]:
        """One failure for each object that is not ready, the failed ones first."""
        return [
            Failure(
                FailureClass.HEALTH,
                f"{target.id.subject} status: '{status.state}': {status.message}",
                target.id.subject,
                next_step=_STEPS.get(status.state, f"kubectl describe {target.kind.lower()} tells why"),
            )
            for target, status in [*self.failed.items(), *self.pending.items()]
        ]


def _list(found: Mapping[Target, Status]) -> str:
    return ", ".join(f"{target.id.subject} status: '{status.state}'" for target, status in found.items())


async def look(
    census: Census,
    targets: Iterable[Target],
    *,
    known: Mapping[str, KubeObject] | None = None,
    fleeting: Collection[str] = (),
    since: float = 0.0,
    judge: Callable[[KubeObject], Status] = status_of,
) -> Look:
    """Look at all targets; one LIST per kind, shared through the census.

    `known` are objects that the API server has just returned, by inventory id: those that are ready in it are not
    looked up, the others count as pending until the next look. `fleeting` are the ids of objects that are ready when
    they are gone (KC-94). `judge` tells the status of an object that exists.
    Raises `ApiProblem`.
    """
    found = Look()
    kinds: dict[tuple[str, str], list[Target]] = defaultdict(list)
    for target in targets:
        answer = (known or {}).get(str(target.id))
        if answer is None:
            kinds[target.api_version, target.kind].append(target)
        else:
            _sort(found, target, judge(answer))

    async def inspect(kind: tuple[str, str]) -> None:
        try:
            resource = await census.cluster.resource(*kind)
        except NoSuchKind:
            for target in kinds[kind]:
                found.pending[target] = Status(State.NOT_FOUND, f'no matches for kind "{kind[1]}"')
            return
        for target in kinds[kind]:
            obj = await census.whole(resource, target.namespace, target.name, since=since)
            if obj is not None:
                _sort(found, target, judge(obj))
            elif str(target.id) not in fleeting:
                found.pending[target] = Status(State.NOT_FOUND, "Resource not found")

    await each(inspect, kinds)
    return found


def _sort(found: Look, target: Target, status: Status) -> None:
    if status.state is State.FAILED:
        found.failed[target] = status
    elif status.state is not State.CURRENT:
        found.pending[target] = status

"""One step over one Kustomization: the fields that its phases hand to each other."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxless.api.duration import format_duration
from fluxless.api.kinds import Kind
from fluxless.apply.inventory import Inventory, read
from fluxless.apply.owner import Owner
from fluxless.apply.record import AppliedRecord
from fluxless.artifacts.store import PreconditionFailed
from fluxless.kept import number, whole
from fluxless.kustomize.build import Build
from fluxless.reconcile.interval import seconds
from fluxless.reconcile.lease import Lease, Remembered, overtaken
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.records import applied_name
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.target import TargetRun

if TYPE_CHECKING:
    from fluxless.apply.applier import Applied
    from fluxless.apply.drift import Finding
    from fluxless.kustomize.decryption import Decryption

SHORTEST_TIMEOUT = 30.0
"""Seconds; a spec that allows less gets as many (KC-3)."""


@dataclass(slots=True)
class Memory:
    """What is kept of a Kustomization between steps, besides its status. Losing it costs one full apply.

    `checking_since` is when the health check that is under way began (seconds since the epoch); None when none is.
    `floating` says that the objects depend on more than the inputs, so that every pass builds them anew. `token` and
    `until` are the lease (`reconcile/lease.py`).
    """

    applied: AppliedRecord = field(default_factory=AppliedRecord)
    checking_since: float | None = None
    floating: bool = False
    token: int = 0
    until: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The document as it is kept."""
        document = {"applied": self.applied.to_json(), "checkingSince": self.checking_since}
        more = {"floating": self.floating, "token": self.token, "until": self.until}
        return document | {name: value for name, value in more.items() if value}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Memory:
        """The reverse of `to_json`; an empty document remembers nothing. Raises `Malformed`."""
        since = document.get("checkingSince")
        return cls(
            AppliedRecord.from_json(document.get("applied")),
            None if since is None else number(since),
            document.get("floating") is True,
            whole(document.get("token", 0)),
            number(document.get("until", 0.0)),
        )


class KustomizationRun(TargetRun):
    """The state of the step; every field is set by the phase named beside it."""

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.owner = Owner(self.ref.name, self.ref.namespace)
        name = applied_name(self.cluster.name, self.ref)
        self.remembered = Remembered(services.store, name, Memory.from_json)  # recall
        self.lease: Lease | None = None  # apply, prune: while this step changes objects
        self._taking = asyncio.Lock()
        self.artifact: dict[str, Any] = {}  # resolve_source
        self.variables: dict[str, str] = {}  # read_variables
        self.inputs = ""  # read_variables, read_keys
        self.decryption: Decryption | None = None  # read_keys
        self.drifted: Mapping[str, Finding] | None = None  # detect_drift: None means that the inputs are new
        self.tree: Path | None = None  # fetch
        self.build = Build([])  # render
        self.applied: Applied | None = None  # apply
        self.only_reported = False  # tell_of_drift: others have changed objects, and nothing was done about it
        self.moving = False  # prune: objects wait for their new owner
        self.healthy_after: float | None = None  # check_health: seconds, when a check that had to wait has passed

    @property
    def origin_revision(self) -> str | None:
        """The revision behind that of an OCI artifact (CM-26); of a deleted object, that of what it has applied."""
        if self.deleting:
            return (self.obj.get("status") or {}).get("lastAppliedOriginRevision")
        return (self.artifact.get("metadata") or {}).get("org.opencontainers.image.revision")

    @property
    def revisions(self) -> dict[str, str]:
        """What events and the history say of the revision (CM-20, CM-24)."""
        origin = self.origin_revision
        return {"revision": self.revision} | ({"originRevision": origin} if origin else {})

    @property
    def settled(self) -> bool:
        """Whether the cluster holds what the inputs describe, so that nothing is fetched, rendered or applied."""
        return self.drifted is not None and not self.drifted

    @property
    def idle(self) -> bool:
        """Whether the step has changed nothing and found nothing new."""
        return (self.settled or self.only_reported) and self.healthy_after is None

    @property
    def salt(self) -> str:
        """What keeps digests in the store from being guessed: the uid, which only the cluster knows."""
        return str(self.obj["metadata"]["uid"])

    def digest(self, text: str) -> str:
        """A salted digest of anything that may hold values of Secrets."""
        return "sha256:" + hmac.new(self.salt.encode(), text.encode(), hashlib.sha256).hexdigest()

    @property
    def checksum(self) -> str:
        """The digest of the rendered objects (KC-44): those of this step, else those of the last apply."""
        digests = sorted(entry.digest for entry in self.memory.applied.entries.values())
        return "sha256:" + hashlib.sha256("".join(digests).encode()).hexdigest()

    @property
    def interval(self) -> float:
        """Seconds from one look at objects that are in order to the next (KC-1)."""
        return seconds(self.spec, "interval", 600.0)

    @property
    def retry_interval(self) -> float:
        """Seconds until a failure is tried again (KC-2)."""
        return seconds(self.spec, "retryInterval", self.interval)

    @property
    def timeout(self) -> float:
        """Seconds for apply and health together (KC-3)."""
        return max(SHORTEST_TIMEOUT, seconds(self.spec, "timeout", self.interval - 30.0))

    @property
    def old_inventory(self) -> Inventory:
        """What the status says is in the cluster."""
        return read(self.obj.get("status") or {})

    def say(self, doing: str) -> None:
        """Progress in Flux's words (KC-49)."""
        self.progress(f"{doing} for revision {self.revision} with a timeout of {format_duration(self.timeout)}")

    @property
    def memory(self) -> Memory:
        """What is kept between steps."""
        return self.remembered.memory

    @property
    def changed_by_lease(self) -> str:
        """What only one worker changes."""
        return f"the objects of {self.ref}"

    async def fence(self) -> None:
        """Before each request that changes an object: one worker at a time does so, and a late one none. Raises
        `Waiting`, `StoreUnavailable`.
        """
        async with self._taking:
            if self.lease is None:
                lease = Lease(self, self.services.settings.apply_lease)
                await lease.take()
                self.lease = lease
        await self.lease.keep()

    async def step_back(self) -> None:
        """After a failure: the next worker need not wait until the lease is over."""
        if self.lease is not None:
            await self.lease.give_back()
            self.lease = None

    async def save_memory(self) -> None:
        """Keep what later steps need; the lease ends. Raises `StoreUnavailable`, and `Waiting` when another worker has
        written it.
        """
        self.memory.until, self.lease = 0.0, None
        try:
            await self.remembered.write()
        except PreconditionFailed:
            raise overtaken(self) from None

    def notable(self, outcome: Outcome) -> bool:
        """Whether the run record is worth keeping: something was done, went wrong or came to its end."""
        quiet = self.idle and outcome.state is State.READY
        return not quiet and outcome.state is not State.WAITING

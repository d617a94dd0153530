"""One step over one object: what phases read, and what they leave behind for `loop.py` to write.

Controllers subclass `Run` with the fields that their phases hand to each other.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fluxless.api.failure import Failure
from fluxless.api.kinds import Kind
from fluxless.api.timestamps import format_timestamp
from fluxless.kube.errors import Conflict, NotFound
from fluxless.reconcile.errors import Ended
from fluxless.reconcile.events import Event, emit
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.services import Services
from fluxless.reconcile.slots import given_back
from fluxless.reconcile.status import RECONCILE_ANNOTATION, StatusDraft
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.world import Ref

IN_PROGRESS = "Reconciliation in progress"


class Run:
    """The object, the survey it was found in, the services, and the drafts of status, events and run record."""

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        self.kind = kind
        self.obj = obj
        self.survey = survey
        self.services = services
        self.cluster = survey.cluster
        self.ref = Ref.of(obj)
        self.status = StatusDraft(obj, services.clock)
        self.started = services.clock()
        self.events: list[Event] = []
        self.changes: list[tuple[str, str]] = []
        """What the step did to other objects, as `(subject, action)`, for the run record."""
        self.details: list[Failure] = []
        """What is known of failures beyond what fits into a condition, for the run record."""
        self.revision = ""
        self.ended: Ended | None = None
        self._writing = asyncio.Lock()
        self._version = ""
        self._stored: dict[str, Any] = obj.get("status") or {}
        """The status as the API server has it, as far as this step knows."""

    @property
    def spec(self) -> dict[str, Any]:
        """The spec as the API server stored it, defaults included."""
        spec: dict[str, Any] = self.obj.get("spec") or {}
        return spec

    @property
    def generation(self) -> int:
        """The generation of the spec."""
        return int(self.obj["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        """Whether the user has deleted the object and only our finalizer keeps it."""
        return bool(self.obj["metadata"].get("deletionTimestamp"))

    @property
    def requested(self) -> bool:
        """Whether a reconcile request waits to be noted as handled (CM-6)."""
        wanted = (self.obj["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION)
        return wanted is not None and wanted != (self.obj.get("status") or {}).get("lastHandledReconcileAt")

    def seconds(self) -> float:
        """How long the step has run."""
        return max(0.0, self.services.clock() - self.started)

    def progress(self, message: str) -> None:
        """Say what the step is doing (CM-3). It is written only when the step lasts: a quick one writes its end."""
        self.status.mark("Ready", "Unknown", "Progressing", IN_PROGRESS)
        self.status.mark("Reconciling", "True", "Progressing", message)

    async def rest(self, seconds: float) -> None:
        """Wait without keeping others from being worked on."""
        async with given_back():
            await asyncio.sleep(seconds)

    def tell(self, event: Event) -> None:
        """Queue an event; it is sent with the status."""
        self.events.append(event)

    async def write_status(self) -> None:
        """One merge patch with what has changed since the last one; nothing when nothing has."""
        async with self._writing:
            changes = self.status.changes()
            if not changes:
                return
            draft = self.status.snapshot()
            written = await self._patch_status(changes)
            if written is None:
                return  # deleted meanwhile: there is nobody left to tell
            self._version, self._stored = written["metadata"]["resourceVersion"], written.get("status") or {}
            self.status.wrote(draft)

    async def _patch_status(self, changes: dict[str, Any]) -> dict[str, Any] | None:
        """Over the status that this step has read or written itself: what another worker says of the object meanwhile
        is newer. The answer, or None when the object is gone. Raises `Conflict` or another `ApiProblem`.
        """
        resource = await self.cluster.resource(self.kind.api_version, self.kind.kind)
        version, again = self._version or self.obj["metadata"].get("resourceVersion", ""), True
        while True:
            try:
                return await self.cluster.patch(
                    resource,
                    self.ref.name,
                    self.ref.namespace,
                    body={"metadata": {"resourceVersion": version}, "status": changes},
                    subresource="status",
                    manager=self.kind.status_manager,
                )
            except NotFound:
                return None
            except Conflict:
                fresh = await self.cluster.get(resource, self.ref.name, self.ref.namespace)
                if fresh is None:
                    return None
                if not again or (fresh.get("status") or {}) != self._stored:
                    raise
                version, again = fresh["metadata"]["resourceVersion"], False  # its user has changed something else

    async def send_events(self) -> None:
        """Send what was queued, in order of time but at once."""
        events, self.events = self.events, []
        now = self.services.clock()
        await asyncio.gather(*(emit(self.cluster, self.kind, self.obj, event, now) for event in events))

    async def keep(self) -> None:
        """Add our finalizer before the first thing that deletion would have to undo (CM-5)."""
        if self.kind.finalizer not in (self.obj["metadata"].get("finalizers") or []):
            await self._set_finalizers([*(self.obj["metadata"].get("finalizers") or []), self.kind.finalizer])

    async def release(self) -> None:
        """Remove our finalizer: the object may go."""
        left = [name for name in self.obj["metadata"].get("finalizers") or [] if name != self.kind.finalizer]
        await self._set_finalizers(left)

    async def _set_finalizers(self, finalizers: list[str]) -> None:
        resource = await self.cluster.resource(self.kind.api_version, self.kind.kind)
        metadata, self._version = self.obj["metadata"], ""
        body = {"metadata": {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}}
        try:
            self.obj = await self.cluster.patch(
                resource, self.ref.name, self.ref.namespace, body=body, manager=self.kind.status_manager
            )
        except NotFound:
            return
        except Conflict:  # somebody else wrote the object since the survey: look again, then say the same
            fresh = await self.cluster.get(resource, self.ref.name, self.ref.namespace)
            if fresh is None or (fresh["metadata"].get("finalizers") or []) == finalizers:
                return
            wanted = self.kind.finalizer in finalizers
            theirs = [name for name in fresh["metadata"].get("finalizers") or [] if name != self.kind.finalizer]
            body["metadata"] = {
                "finalizers": [*theirs, self.kind.finalizer] if wanted else theirs,
                "resourceVersion": fresh["metadata"]["resourceVersion"],
            }
            self.obj = await self.cluster.patch(
                resource, self.ref.name, self.ref.namespace, body=body, manager=self.kind.status_manager
            )

    def record(self, outcome: Outcome) -> dict[str, Any]:
        """The run record: what `fluxless logs` prints."""
        record: dict[str, Any] = {
            "ts": format_timestamp(self.started, fraction=True),
            "cluster": self.cluster.name,
            "kind": self.ref.kind,
            "namespace": self.ref.namespace,
            "name": self.ref.name,
            "revision": self.revision or outcome.revision,
            "result": outcome.state.name.lower(),
            "reason": outcome.reason,
            "message": (self.status.condition("Ready") or {}).get("message", ""),
            "seconds": round(self.seconds(), 3),
        }
        if self.changes:
            record["changes"] = [{"subject": subject, "action": action} for subject, action in self.changes]
        if self.ended is not None:
            record["message"] = str(self.ended)
        failures = [*(self.ended.failures if self.ended is not None else ()), *self.details]
        if failures:
            record["failures"] = [failure.to_json() for failure in failures]
        return record

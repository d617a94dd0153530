"""One step over one HelmRelease: the fields that its phases hand to each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from fluxless.api import reasons
from fluxless.api.kinds import Kind
from fluxless.apply.census import Census
from fluxless.apply.fields import managers_of
from fluxless.apply.objects import KubeObject, object_id
from fluxless.apply.owner import HELM_GROUP, Owner
from fluxless.charts.chart import Chart
from fluxless.helm.gates import completed
from fluxless.helm.memory import Memory
from fluxless.helm.release import TYPE as RECORD_TYPE
from fluxless.helm.release import Release
from fluxless.helm.state import Wanted
from fluxless.helm.turns import Turn
from fluxless.reconcile.interval import seconds
from fluxless.reconcile.lease import Lease, Remembered
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.records import applied_name
from fluxless.reconcile.services import Services
from fluxless.reconcile.status import RECONCILE_ANNOTATION
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.target import TargetRun

DEFAULT_TIMEOUT = 300.0
"""Seconds for each wait of an action, where the spec says nothing (HR-6)."""
LONGEST_NAME = 53
MANAGER = "helm-controller"
"""Flux's field manager."""


class HelmReleaseRun(TargetRun):
    """The state of the step; every field is set by the phase named beside it."""

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.gates = services.settings.helm_gates
        self._spec = completed(obj.get("spec") or {}, self.gates)
        self.owner = Owner(self.ref.name, self.ref.namespace, HELM_GROUP)
        name = applied_name(self.cluster.name, self.ref)
        self.remembered = Remembered(services.store, name, Memory.from_json)  # recall
        self.lease: Lease | None = None
        """While this step may change the release."""
        self.turn = Turn()
        """While Helm may compute."""
        self.values: dict[str, Any] = {}  # compose_values
        self.artifact: dict[str, Any] = {}  # find_chart
        self.settled = False  # recognise: nothing is to be done to the release
        self.chart: Chart | None = None  # load_chart
        self.oci_digest = ""  # load_chart
        self.records: list[Release] = []  # release: newest first
        self.seen: dict[str, KubeObject] = {}
        """What the API server has answered to Helm's writes in this step, by inventory id."""
        self.recorded: dict[str, KubeObject] = {}
        """What Helm has recorded in this step, by the name of the Secret."""
        self.did = False
        """The step has changed the release."""

    @property
    def spec(self) -> dict[str, Any]:
        """The spec as the API server stored it, with the defaults of the gates."""
        return self._spec

    @property
    def census(self) -> Census:
        """What lives in the target and belongs to releases."""
        managers = managers_of(self.services.settings.override_managers)

        def make() -> Census:
            return Census(self.target, manager=MANAGER, group=HELM_GROUP, managers=managers)

        return self.survey.shared(self.target, "helm census", make)

    def see(self, obj: KubeObject) -> None:
        """Note an answer to a write."""
        if obj.get("type") == RECORD_TYPE:
            self.recorded[str(obj["metadata"]["name"])] = obj
        else:
            self.seen[object_id(obj)] = obj

    def fulfilling(self) -> None:
        """Say that something else comes first. Not before: a status that is written in the middle costs a request."""
        self.status.mark("Reconciling", "True", reasons.PROGRESSING, "Fulfilling prerequisites")

    @property
    def last(self) -> Release | None:
        """Helm's newest record."""
        return self.records[0] if self.records else None

    @property
    def wanted(self) -> Wanted:
        """What the object asks for."""
        assert self.chart is not None  # noqa: S101  (load_chart came before)
        test = self.action_spec("test")
        return Wanted(
            self.chart.name,
            self.chart.version,
            self.values,
            self.oci_digest,
            test=bool(test.get("enable")),
            ignore_test_failures=self.ignores_test_failures,
            keep_values=bool(self.action_spec("upgrade").get("preserveValues")),
        )

    @property
    def ignores_test_failures(self) -> bool:
        """What the action that was tried last says of failed tests, else what `spec.test` says (HR-20, HR-25)."""
        action = str(self.status.fields.get("lastAttemptedReleaseAction") or "install")
        said = (self.action_spec(action).get("remediation") or {}).get("ignoreTestFailures")
        return bool(self.action_spec("test").get("ignoreFailures") if said is None else said)

    @property
    def namespace(self) -> str:
        """The namespace that the release is installed into (HR-8)."""
        return str(self.spec.get("targetNamespace") or self.ref.namespace)

    @property
    def storage_namespace(self) -> str:
        """The namespace in which Helm keeps its records of the release (HR-8)."""
        return str(self.spec.get("storageNamespace") or self.ref.namespace)

    @property
    def release_name(self) -> str:
        """The name that Helm knows the release by: given, or made of target namespace and object, and cut where it is
        too long for a label (HR-7).
        """
        if name := self.spec.get("releaseName"):
            return str(name)
        target = self.spec.get("targetNamespace")
        name = f"{target}-{self.ref.name}" if target else self.ref.name
        if len(name) <= LONGEST_NAME:
            return name
        return f"{name[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    @property
    def interval(self) -> float:
        """Seconds from one look at a release that is in order to the next (HR-6)."""
        return seconds(self.spec, "interval", 300.0)

    def action_spec(self, action: str) -> Mapping[str, Any]:
        """`spec.<action>`."""
        found: dict[str, Any] = self.spec.get(action) or {}
        return found

    def timeout(self, action: str) -> float:
        """Seconds for each wait of an action (HR-6)."""
        return seconds(self.action_spec(action), "timeout", seconds(self.spec, "timeout", DEFAULT_TIMEOUT))

    @property
    def history(self) -> list[dict[str, Any]]:
        """`status.history`, newest first."""
        found: list[dict[str, Any]] = self.status.fields.get("history") or []
        return found

    def asked(self, annotation: str, handled: str) -> bool:
        """Whether a request by annotation waits, together with the reconcile request that it belongs to (CM-7)."""
        notes = self.obj["metadata"].get("annotations") or {}
        token = notes.get(annotation)
        return bool(token) and token == notes.get(RECONCILE_ANNOTATION) and token != self.status.fields.get(handled)

    @property
    def memory(self) -> Memory:
        """What is kept between steps."""
        return self.remembered.memory

    @property
    def changed_by_lease(self) -> str:
        """What only one worker changes."""
        return f"release {self.namespace}/{self.release_name}"

    async def save_memory(self) -> None:
        """Keep what later steps need. Raises `StoreUnavailable`; when another worker has written it, `Waiting` or
        `PreconditionFailed`.
        """
        await (self.lease.write() if self.lease is not None else self.remembered.write())

    def notable(self, outcome: Outcome) -> bool:
        """Whether the run record is worth keeping."""
        return self.did or outcome.state not in {State.READY, State.WAITING}

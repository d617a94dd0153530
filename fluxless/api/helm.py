"""What users write in `helm.toolkit.fluxcd.io` (HR-1..50): HelmRelease.

v2 is stored and is all that the engine reads; what is written in an old version is kept as v2 without a conversion, as
the fields are the same. `chart.spec.valuesFile`, and what only the status of the old versions knows, means nothing
(HR-35).
"""

from __future__ import annotations

from fluxless.api import applied
from fluxless.api.kinds import HELM_RELEASE
from fluxless.api.schema import (
    AGE,
    DURATION,
    READY,
    STATUS,
    Declaration,
    Schema,
    Version,
    anything,
    conditions,
    flag,
    listing,
    mapping,
    number,
    record,
    text,
)
from fluxless.api.source import common

_MODES = ["enabled", "disabled", "auto"]


def _duration(says: str) -> Schema:
    return text(says, pattern=DURATION)


def _name(says: str, longest: int = 253) -> Schema:
    return text(says, minLength=1, maxLength=longest)


def _chart(*, old: bool) -> Schema:
    source = record(
        {
            "apiVersion": text("API version."),
            "kind": text("Kind.", enum=["HelmRepository", "GitRepository", "Bucket"]),
            "name": _name("Name."),
            "namespace": _name("Namespace; this object's own when empty.", 63),
        },
        "Where the chart comes from.",
        required=("kind", "name"),
    )
    fields = {
        "chart": _name("Name of the chart in a HelmRepository, or its path in a GitRepository or Bucket.", 2048),
        "ignoreMissingValuesFiles": flag("Go on without files of valuesFiles that are not there."),
        "interval": _duration("How often the source is looked at; spec.interval when empty."),
        "reconcileStrategy": text("What makes a new chart.", default="ChartVersion", enum=["ChartVersion", "Revision"]),
        "sourceRef": source,
        "valuesFiles": listing(text(), "Files whose values are merged into the chart's."),
        "verify": common.verify(root=False),
        "version": text("Version or range of versions; only for charts of a HelmRepository.", default="*"),
    }
    if old:
        fields["valuesFile"] = text("Has no meaning any more.")
    metadata = {"annotations": mapping("Annotations."), "labels": mapping("Labels.")}
    return record(
        {"metadata": record(metadata, "Of the HelmChart."), "spec": record(fields, required=("chart", "sourceRef"))},
        "A HelmChart that is made for this object.",
        required=("spec",),
    )


def _chart_ref() -> Schema:
    fields = {
        "apiVersion": text("API version."),
        "kind": text("Kind.", enum=["OCIRepository", "HelmChart", "ExternalArtifact"]),
        "name": _name("Name."),
        "namespace": _name("Namespace; this object's own when empty.", 63),
    }
    return record(fields, "A chart that is there.", required=("kind", "name"))


def _strategy() -> Schema:
    fields = {
        "name": text("What follows a failure.", enum=["RemediateOnFailure", "RetryOnFailure"]),
        "retryInterval": _duration("How soon it is tried again; 5m when empty."),
    }
    words = "retryInterval is for the strategy RetryOnFailure only"
    rules = (("!has(self.retryInterval) || self.name == 'RetryOnFailure'", words),)
    return record(fields, "What follows a failure.", required=("name",), rules=rules)


def _remediation(*, upgrade: bool) -> Schema:
    fields = {
        "ignoreTestFailures": flag("Tests that fail need no remediation."),
        "remediateLastFailure": flag("Remediate the last failure as well, when no retry is left."),
        "retries": number("How often a failure is tried again; -1 without end."),
    }
    if upgrade:
        fields["strategy"] = text("How.", enum=["rollback", "uninstall"])
    return record(fields, "What becomes of a release that failed.")


def _waits() -> dict[str, Schema]:
    return {
        "disableHooks": flag("Run no hooks."),
        "disableWait": flag("Do not wait for the objects to become ready."),
        "disableWaitForJobs": flag("Do not wait for Jobs to complete."),
        "timeout": _duration("Limit of each wait; spec.timeout when empty."),
    }


def _installs() -> dict[str, Schema]:
    return {
        **_waits(),
        "crds": text("What becomes of the definitions in crds/.", enum=["Skip", "Create", "CreateReplace"]),
        "disableOpenAPIValidation": flag("Do not check what is rendered against the API server's schemas."),
        "disableSchemaValidation": flag("Do not check values against the chart's schema."),
        "disableTakeOwnership": flag("Refuse objects that are there and belong to no release."),
        "strategy": _strategy(),
    }


def _actions() -> dict[str, Schema]:
    side = text("Whether to apply on the server; as before when empty.", enum=_MODES)
    install = {
        **_installs(),
        "createNamespace": flag("Make the namespace of spec.targetNamespace."),
        "remediation": _remediation(upgrade=False),
        "replace": flag("Use the name of a release that was uninstalled and kept."),
        "serverSideApply": flag("Apply on the server; true when empty."),
        "skipCRDs": flag("An older way to say crds: Skip."),
    }
    upgrade = {
        **_installs(),
        "chartNameChangeStrategy": text("What a chart of another name means.", enum=["Reinstall", "InPlaceUpdate"]),
        "cleanupOnFail": flag("Delete what a failed upgrade has made."),
        "force": flag("Replace objects that cannot be changed."),
        "preserveValues": flag("Start from the values of the last release."),
        "remediation": _remediation(upgrade=True),
        "serverSideApply": side,
    }
    rollback = {
        **_waits(),
        "cleanupOnFail": flag("Delete what a failed rollback has made."),
        "force": flag("Replace objects that cannot be changed."),
        "recreate": flag("Has no meaning any more."),
        "serverSideApply": side,
    }
    uninstall = {
        "deletionPropagation": text(
            "What becomes of dependents.", default="background", enum=["background", "foreground", "orphan"]
        ),
        "disableHooks": flag("Run no hooks."),
        "disableWait": flag("Do not wait until the objects are gone."),
        "keepHistory": flag("Keep the records of the release."),
        "timeout": _duration("Limit of each wait; spec.timeout when empty."),
    }
    chosen = record({"exclude": flag("Leave it out."), "name": _name("Name.")}, required=("name",))
    tests = {
        "enable": flag("Run the chart's tests after an install or upgrade."),
        "filters": listing(chosen, "Which tests."),
        "ignoreFailures": flag("Go on when tests fail."),
        "timeout": _duration("Limit of each test; spec.timeout when empty."),
    }
    return {
        "install": record(install, "How to install."),
        "upgrade": record(upgrade, "How to upgrade."),
        "rollback": record(rollback, "How to roll back."),
        "uninstall": record(uninstall, "How to uninstall."),
        "test": record(tests, "Helm tests."),
    }


def _values_from() -> Schema:
    fields = {
        "kind": text("Kind.", enum=["Secret", "ConfigMap"]),
        "literal": flag("Take the value at targetPath as it stands."),
        "name": _name("Name."),
        "optional": flag("Tolerate its absence."),
        "targetPath": text(
            "Where to put the value, as in --set; without it the key holds a document of values.",
            maxLength=250,
            pattern=r"^([a-zA-Z0-9_\-.\\\/]|\[[0-9]{1,5}\])+$",
        ),
        "valuesKey": text("Key; values.yaml when empty.", maxLength=253, pattern=r"^[\-._a-zA-Z0-9]+$"),
    }
    return listing(record(fields, required=("kind", "name")), "Where more values come from.")


def _spec(*, old: bool) -> Schema:
    drift = {
        "ignore": applied.ignored(),
        "mode": text("What becomes of drift.", enum=["enabled", "warn", "disabled"]),
    }
    kustomize = record({"images": applied.images(), "patches": applied.patches()}, "By kustomize.")
    wait = record({"name": text("How.", enum=["poller", "legacy"])}, "How readiness is awaited.", required=("name",))
    fields = {
        **_actions(),
        "chart": _chart(old=old),
        "chartRef": _chart_ref(),
        "commonMetadata": applied.common_metadata(),
        "dependsOn": applied.depends_on("HelmReleases that must be ready before."),
        "driftDetection": record(drift, "Changes that others make."),
        "healthCheckExprs": applied.health_checks(),
        "interval": _duration("How often the release is looked at."),
        "kubeConfig": applied.kube_config(),
        "maxHistory": number("Records that are kept; 5 when empty, 0 all."),
        "persistentClient": flag("Has no meaning here."),
        "postRenderStrategy": text("What is post-rendered.", enum=["nohooks", "combined", "separate"]),
        "postRenderers": listing(record({"kustomize": kustomize}), "Changes to what the chart renders."),
        "releaseName": _name("Name of the release; [targetNamespace-]name when empty.", 53),
        "serviceAccountName": _name("ServiceAccount to impersonate."),
        "storageNamespace": _name("Namespace of Helm's records; this object's own when empty.", 63),
        "suspend": flag("Do nothing while this is true."),
        "targetNamespace": _name("Namespace of the release; this object's own when empty.", 63),
        "timeout": _duration("Limit of each wait; 5m when empty."),
        "values": anything("Values."),
        "valuesFrom": _values_from(),
        "waitStrategy": wait,
    }
    one = "(has(self.chart) && !has(self.chartRef)) || (!has(self.chart) && has(self.chartRef))"
    return record(
        fields, "What to release, and how.", required=("interval",), rules=((one, "give one of chart and chartRef"),)
    )


def _status() -> Schema:
    tested = record(
        {
            "lastCompleted": text("When it ended.", format="date-time"),
            "lastStarted": text("When it began.", format="date-time"),
            "phase": text("How it went."),
        }
    )
    snapshot = {
        "action": text("What made it."),
        "apiVersion": text("Version of this record."),
        "appVersion": text("Version of what the chart installs."),
        "chartName": text("Name of the chart."),
        "chartVersion": text("Version of the chart."),
        "configDigest": text("Digest of the values."),
        "deleted": text("When it was uninstalled.", format="date-time"),
        "digest": text("Digest of Helm's record."),
        "firstDeployed": text("When the release was first made.", format="date-time"),
        "lastDeployed": text("When this version was made.", format="date-time"),
        "name": text("Name of the release."),
        "namespace": text("Namespace of the release."),
        "ociDigest": text("Digest of the chart's artifact."),
        "status": text("Helm's status."),
        "testHooks": {"type": "object", "description": "Tests by name.", "additionalProperties": tested},
        "version": number("Version of the release."),
    }
    required = ("chartName", "chartVersion", "configDigest", "digest", "firstDeployed", "lastDeployed")
    history = record(snapshot, required=(*required, "name", "namespace", "status", "version"))
    fields = {
        "conditions": conditions(),
        "failures": number("Failures since the last success."),
        "helmChart": text("The HelmChart that was made, as namespace/name."),
        "history": listing(history, "Versions of the release, the newest first."),
        "installFailures": number("Installs that failed."),
        "inventory": applied.inventory(),
        "lastAttemptedConfigDigest": text("Digest of the values that were tried last."),
        "lastAttemptedGeneration": number("The generation that was tried last."),
        "lastAttemptedReleaseAction": text("What was tried last.", enum=["install", "upgrade"]),
        "lastAttemptedReleaseActionDuration": text("How long that took."),
        "lastAttemptedRevision": text("The version of the chart that was tried last."),
        "lastAttemptedRevisionDigest": text("The digest of the chart's artifact that was tried last."),
        "lastAttemptedValuesChecksum": text("Has no meaning any more."),
        "lastHandledForceAt": text("The last request for a forced release that was handled."),
        "lastHandledReconcileAt": text("The last reconcile request that was handled."),
        "lastHandledResetAt": text("The last request to count from zero that was handled."),
        "lastReleaseRevision": number("Has no meaning any more."),
        "observedCommonMetadataDigest": text("Digest of spec.commonMetadata."),
        "observedGeneration": number("The last generation that was handled."),
        "observedPostRenderersDigest": text("Digest of spec.postRenderers."),
        "storageNamespace": _name("Where Helm's records are.", 63),
        "upgradeFailures": number("Upgrades that failed."),
    }
    return record(fields, "What was released.") | {"default": {"observedGeneration": -1}}


_COLUMNS = (AGE, READY, STATUS)

HELM_RELEASES = Declaration(
    HELM_RELEASE,
    "A chart that is released to a cluster.",
    (
        Version("v2", _spec(old=False), _status(), _COLUMNS),
        Version("v2beta2", _spec(old=True), _status(), _COLUMNS, deprecated=True),
        Version("v2beta1", _spec(old=True), _status(), _COLUMNS, deprecated=True),
    ),
)

"""What users write in `kustomize.toolkit.fluxcd.io` (KC-1..30, KC-40..44): Kustomization.

v1 is stored and is all that the engine reads. There is no conversion: whatever is written in an old version is kept
as v1, and the API server drops at that moment what v1 does not know. The patches of the old versions
(`patchesStrategicMerge`, `patchesJson6902`) must survive that, or objects would be applied without them: our v1 knows
them, which Flux's does not (KC-30). `validation` means nothing in Flux either and is accepted and forgotten.
`tools/crds.py` calls this; nothing here is looked at when an object is reconciled.
"""

from __future__ import annotations

from fluxless.api import applied
from fluxless.api.kinds import KUSTOMIZATION
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
    reference,
    text,
)


def _spec(*, old: bool) -> Schema:
    fields = {
        "buildMetadata": listing(
            text(enum=["originAnnotations", "transformerAnnotations"]), "Annotations that kustomize adds."
        ),
        "commonMetadata": applied.common_metadata(),
        "components": listing(text(), "Relative paths of kustomize components."),
        "decryption": record(
            {
                "provider": text("How secrets are encrypted.", enum=["sops"]),
                "secretRef": reference("Secret with the keys."),
                "serviceAccountName": text("ServiceAccount to authenticate with."),
            },
            "How to decrypt secrets.",
            required=("provider",),
        ),
        "deletionPolicy": text(
            "What becomes of the objects when this one is deleted.",
            enum=["MirrorPrune", "Delete", "WaitForTermination", "Orphan"],
        ),
        "dependsOn": applied.depends_on("Kustomizations that must be ready before."),
        "force": flag("Recreate objects whose immutable fields change.", default=False),
        "healthCheckExprs": applied.health_checks(),
        "healthChecks": listing(
            record(
                {
                    "apiVersion": text("API version; apps/v1 when empty."),
                    "kind": text("Kind."),
                    "name": text("Name."),
                    "namespace": text("Namespace."),
                },
                required=("kind", "name"),
            ),
            "Objects that must become ready.",
        ),
        "ignore": applied.ignored(),
        "ignoreMissingComponents": flag("Leave out components that do not exist."),
        "images": applied.images(),
        "interval": text("How often drift is corrected.", pattern=DURATION),
        "kubeConfig": applied.kube_config(),
        "namePrefix": text("Put before every name.", minLength=1, maxLength=200),
        "nameSuffix": text("Put behind every name.", minLength=1, maxLength=200),
        "patches": applied.patches(),
        "patchesJson6902": listing(
            record({"patch": listing(anything()), "target": applied.SELECTOR}, required=("patch", "target")),
            "JSON 6902 patches of the old API versions.",
        ),
        "patchesStrategicMerge": listing(anything(), "Strategic merge patches of the old API versions."),
        "path": text("Directory of the artifact; its root when empty."),
        "postBuild": record(
            {
                "substitute": mapping("Variables."),
                "substituteFrom": listing(
                    record(
                        {
                            "kind": text("Kind.", enum=["Secret", "ConfigMap"]),
                            "name": text("Name.", minLength=1, maxLength=253),
                            "optional": flag("Tolerate its absence.", default=False),
                        },
                        required=("kind", "name"),
                    ),
                    "Objects whose keys are variables.",
                ),
                "substituteStrategy": text(
                    "Whether to substitute without any variable.", enum=["WithVariables", "Always"]
                ),
            },
            "Substitution after the build.",
        ),
        "prune": flag("Delete objects that are no longer in the source."),
        "retryInterval": text("How soon a failure is tried again; interval when empty.", pattern=DURATION),
        "serviceAccountName": text("ServiceAccount to impersonate."),
        "sourceRef": record(
            {
                "apiVersion": text("API version."),
                "kind": text("Kind.", enum=["OCIRepository", "GitRepository", "Bucket", "ExternalArtifact"]),
                "name": text("Name."),
                "namespace": text("Namespace; this object's own when empty."),
            },
            "Where the manifests come from.",
            required=("kind", "name"),
        ),
        "suspend": flag("Do nothing while this is true."),
        "targetNamespace": text("Namespace of every object.", minLength=1, maxLength=63),
        "timeout": text("Limit of one reconciliation, health checks included.", pattern=DURATION),
        "wait": flag("Check the health of everything that is applied."),
    }
    if old:
        fields["validation"] = text("Has no meaning any more.", enum=["none", "client", "server"])
    return record(fields, "What to apply, and how.", required=("interval", "prune", "sourceRef"))


def _status() -> Schema:
    entry = record(
        {
            "digest": text("Digest of what was applied."),
            "firstReconciled": text("When it was first seen.", format="date-time"),
            "lastReconciled": text("When it was last seen.", format="date-time"),
            "lastReconciledDuration": text("How long that took."),
            "lastReconciledStatus": text("How it went."),
            "metadata": mapping("What else is known of it."),
            "totalReconciliations": number("How often it was seen."),
        },
        required=(
            "digest",
            "firstReconciled",
            "lastReconciled",
            "lastReconciledDuration",
            "lastReconciledStatus",
            "totalReconciliations",
        ),
    )
    fields = {
        "conditions": conditions(),
        "history": listing(entry, "What was applied lately, the newest first."),
        "inventory": applied.inventory(),
        "lastAppliedOriginRevision": text("The revision behind the artifact's."),
        "lastAppliedRevision": text("The last revision that was applied and is healthy."),
        "lastAttemptedRevision": text("The last revision that was tried."),
        "lastHandledReconcileAt": text("The last reconcile request that was handled."),
        "observedGeneration": number("The last generation that was handled."),
    }
    return record(fields, "What was applied.") | {"default": {"observedGeneration": -1}}


_COLUMNS = (AGE, READY, STATUS)

KUSTOMIZATIONS = Declaration(
    KUSTOMIZATION,
    "A directory of an artifact that is applied to a cluster.",
    (
        Version("v1", _spec(old=False), _status(), _COLUMNS),
        Version("v1beta2", _spec(old=True), _status(), _COLUMNS, deprecated=True),
        Version("v1beta1", _spec(old=True), _status(), _COLUMNS, deprecated=True),
    ),
)

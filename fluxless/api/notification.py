"""What users write in `notification.toolkit.fluxcd.io`: Receiver (RC-1..10). v1 is stored and read (see `source/`)."""

from __future__ import annotations

from fluxless.api.kinds import RECEIVER
from fluxless.api.schema import (
    AGE,
    DURATION,
    READY,
    STATUS,
    Declaration,
    Schema,
    Version,
    conditions,
    flag,
    listing,
    mapping,
    number,
    record,
    reference,
    text,
)

KINDS = (
    *("Bucket", "GitRepository", "Kustomization", "HelmRelease", "HelmChart", "HelmRepository", "ImageRepository"),
    *("ImagePolicy", "ImageUpdateAutomation", "OCIRepository", "ArtifactGenerator", "ExternalArtifact"),
)
"""What a Receiver may reconcile (AL-2)."""
OLD_TYPES = (
    *("generic", "generic-hmac", "github", "gitlab", "bitbucket", "harbor", "dockerhub", "quay", "gcr", "nexus", "acr"),
)
TYPES = (*OLD_TYPES, "generic-oidc", "cdevents")

_PROVIDER = record(
    {
        "audience": text(
            "What `aud` must name; notification-controller by default.", default="notification-controller"
        ),
        "issuerURL": text("Where the issuer's keys are found.", pattern="^https?://"),
        "validations": {
            **listing(
                record(
                    {
                        "expression": text("CEL over claims and variables; must be true."),
                        "message": text("What is said when it is not."),
                    },
                    required=("expression", "message"),
                ),
                "What must hold of a token.",
            ),
            "minItems": 1,
        },
        "variables": listing(
            record({"expression": text("CEL over claims."), "name": text("Name.")}, required=("expression", "name")),
            "Values that validations use.",
        ),
    },
    required=("issuerURL", "validations"),
)


def _resource(*, filters: bool) -> Schema:
    fields = {
        "apiVersion": text("API version; that of the kind when empty."),
        "kind": text("Kind.", enum=list(KINDS)),
        "matchLabels": mapping("Labels of the objects, when the name is *."),
        "name": text("Name, or * for all that have the labels.", minLength=1, maxLength=253),
        "namespace": text("Namespace; the receiver's own when empty.", minLength=1, maxLength=253),
    }
    if filters:
        fields["filter"] = text("CEL over res, req and claims: whether an object is reconciled.")
    return record(fields, required=("kind", "name"))


def _spec(*, old: bool) -> Schema:
    fields = {
        "events": listing(text(), "Events that are accepted; all when empty."),
        "interval": text("How often the receiver itself is looked at.", default="10m", pattern=DURATION),
        "resources": listing(_resource(filters=not old), "What is reconciled."),
        "secretRef": reference("Secret with the key token, in the same namespace."),
        "suspend": flag("Accept nothing while this is true."),
        "type": text("Whose webhooks these are.", enum=list(OLD_TYPES if old else TYPES)),
    }
    rules: tuple[tuple[str, str], ...] = ()
    if not old:
        fields["oidcProviders"] = listing(_PROVIDER, "Whose tokens are accepted, for generic-oidc.")
        fields["resourceFilter"] = text("CEL over res, req and claims, for all resources.")
        rules = (
            (
                "self.type != 'generic-oidc' || (has(self.oidcProviders) && size(self.oidcProviders) > 0)",
                "generic-oidc receivers must define at least one oidcProvider",
            ),
            (
                "self.type == 'generic-oidc' || !has(self.oidcProviders) || size(self.oidcProviders) == 0",
                "oidcProviders can only be set when type is generic-oidc",
            ),
            (
                "self.type != 'generic-oidc' || !has(self.secretRef)",
                "secretRef cannot be set when type is generic-oidc",
            ),
            (
                "self.type == 'generic-oidc' || has(self.secretRef)",
                "secretRef is required when type is not generic-oidc",
            ),
        )
    return record(fields, "Who may tell of changes, and what they are of.", required=("resources", "type"), rules=rules)


def _status(*, old: bool) -> Schema:
    fields = {
        "conditions": conditions(),
        "lastHandledReconcileAt": text("The last reconcile request that was handled."),
        "observedGeneration": number("The last generation that was handled."),
        "webhookPath": text("Where webhooks are to be sent, below the app's address."),
    }
    if old:
        fields["url"] = text("Has no meaning any more.")
    return record(fields, "What is known of the receiver.") | {"default": {"observedGeneration": -1}}


_COLUMNS = (AGE, READY, STATUS)

RECEIVERS = Declaration(
    RECEIVER,
    "A door for webhooks.",
    (
        Version("v1", _spec(old=False), _status(old=False), _COLUMNS),
        Version("v1beta2", _spec(old=True), _status(old=True), _COLUMNS, deprecated=True),
        Version("v1beta1", _spec(old=True), _status(old=True), _COLUMNS, deprecated=True),
    ),
)

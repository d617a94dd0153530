"""The spec and status of an ExternalArtifact (EA-1, EA-2) and of an ArtifactGenerator (AG-1..8)."""

from __future__ import annotations

from fluxless.api.kinds import ARTIFACT_GENERATOR, EXTERNAL_ARTIFACT
from fluxless.api.schema import (
    AGE,
    READY,
    STATUS,
    Declaration,
    Schema,
    Version,
    artifact,
    conditions,
    listing,
    mapping,
    record,
    text,
)

_ALIAS = "^@([a-z0-9]([a-z0-9_-]*[a-z0-9])?)"
_DESTINATION = r"^@artifact/([^/]{0,1}|[^./][^/]|[.][^./]|[^/]{3,})(/([^/]{0,1}|[^./][^/]|[.][^./]|[^/]{3,}))*$"
_SOURCE_KINDS = ["Bucket", "GitRepository", "OCIRepository", "HelmChart", "ExternalArtifact"]

EXTERNAL_ARTIFACTS = Declaration(
    EXTERNAL_ARTIFACT,
    "An artifact that somebody else than a source controller has made.",
    (
        Version(
            "v1",
            record(
                {
                    "sourceRef": record(
                        {
                            "apiVersion": text("API version."),
                            "kind": text("Kind."),
                            "name": text("Name."),
                            "namespace": text("Namespace; the object's own when empty."),
                        },
                        "What it was made by.",
                        required=("kind", "name"),
                    )
                },
                "Who has made it.",
            ),
            record({"artifact": artifact("The artifact."), "conditions": conditions()}, "What was made."),
            (AGE, READY, STATUS, ("Source", ".spec.sourceRef.name", "string")),
        ),
    ),
)


def _at_least_one(schema: Schema, most: int = 1000) -> Schema:
    return schema | {"minItems": 1, "maxItems": most}


_COPY = record(
    {
        "exclude": listing(text(maxLength=1024), "Patterns of what is left out.") | {"maxItems": 100},
        "from": text("@alias/pattern of what is copied.", pattern=f"{_ALIAS}/(.*)$", maxLength=1024),
        "strategy": text("What happens to files that are there.", enum=["Overwrite", "Merge", "Extract"]),
        "to": text("@artifact/path where it is put.", pattern=_DESTINATION, maxLength=1024),
    },
    required=("from", "to"),
)
_OUTPUT = record(
    {
        "copy": _at_least_one(listing(_COPY, "What goes into it, in this order.")),
        "name": text("Name of the ExternalArtifact; with pathPattern it may name captures as {app}.", maxLength=253),
        "originRevision": text("@alias of the source whose origin is noted.", pattern=f"{_ALIAS}$", maxLength=64),
        "revision": text("@alias of the source whose revision it has.", pattern=f"{_ALIAS}$", maxLength=64),
    },
    required=("copy", "name"),
)
_SOURCE = record(
    {
        "alias": text("What the source is called here.", pattern="^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$", maxLength=63),
        "kind": text("Kind.", enum=_SOURCE_KINDS),
        "name": text("Name.", pattern="^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", maxLength=253),
        "namespace": text("Namespace.", pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", maxLength=63),
    },
    required=("alias", "kind", "name"),
)
_NAMES = (
    "has(self.pathPattern) && size(self.pathPattern) > 0 || self.artifacts.all(a, a.name.matches("
    r"'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))",
    "artifact names must be valid Kubernetes object names when pathPattern is not set",
)

ARTIFACT_GENERATORS = Declaration(
    ARTIFACT_GENERATOR,
    "Makes artifacts out of the artifacts of others.",
    (
        Version(
            "v1beta1",
            record(
                {
                    "artifacts": _at_least_one(listing(_OUTPUT, "What is made.")),
                    "commonMetadata": record(
                        {"annotations": mapping("Annotations."), "labels": mapping("Labels.")},
                        "What every ExternalArtifact carries.",
                    ),
                    "pathPattern": text(
                        "@alias/apps/{app}: one set of artifacts for each folder that matches.",
                        pattern=f"{_ALIAS}/(.*)$",
                        maxLength=1024,
                    ),
                    "sources": _at_least_one(listing(_SOURCE, "What it is made of.")),
                },
                "What to make of what.",
                required=("artifacts", "sources"),
                rules=(_NAMES,),
            ),
            record(
                {
                    "conditions": conditions(),
                    "inventory": listing(
                        record(
                            {name: text() for name in ("digest", "filename", "name", "namespace")},
                            required=("digest", "filename", "name", "namespace"),
                        ),
                        "The ExternalArtifacts that were made.",
                    ),
                    "lastHandledReconcileAt": text("The last reconcile request that was handled."),
                    "observedGeneration": {"type": "integer", "format": "int64"},
                    "observedSourcesDigest": text("What the sources were then."),
                },
                "What was made.",
            ),
            (AGE, READY, STATUS),
        ),
    ),
)

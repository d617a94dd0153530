"""What users write in an OCIRepository, and its status (OR-1..8, OR-20)."""

from __future__ import annotations

from fluxless.api.kinds import OCI_REPOSITORY
from fluxless.api.schema import AGE, READY, STATUS, Declaration, Schema, Version, flag, record, text
from fluxless.api.source import common

_LAYER = record(
    {
        "mediaType": text("Media type of the layer; the first layer when empty."),
        "operation": text("extract its files, or copy it as it is.", enum=["extract", "copy"]),
    },
    "Which layer is the artifact.",
)


def _spec() -> Schema:
    return record(
        {
            "certSecretRef": common.secret("TLS certificates"),
            "ignore": common.ignore(),
            "insecure": flag("Allow HTTP, and certificates that nobody vouches for."),
            "interval": common.interval("How often the registry is asked."),
            "layerSelector": _LAYER,
            "provider": text("How to authenticate.", default="generic", enum=["generic", "aws", "azure", "gcp"]),
            "proxySecretRef": common.secret("the address and credentials of a proxy"),
            "ref": record(
                {
                    "digest": text("Digest of a manifest; wins over all others."),
                    "semver": text("A range of versions; the highest tag in it wins over tag."),
                    "semverFilter": text("Regular expression that tags must match before the range is looked at."),
                    "tag": text("A tag; latest when nothing else is given."),
                },
                "What to fetch.",
            ),
            "secretRef": common.secret("a docker configuration"),
            "serviceAccountName": text("ServiceAccount whose pull secrets or identity are used."),
            "suspend": common.suspend(),
            "timeout": common.timeout(default="60s"),
            "url": text("Address of the repository, without a tag.", pattern="^oci://.*$"),
            "verify": common.verify(root=True),
        },
        "What to fetch, from where, how often.",
        required=("interval", "url"),
    )


def _status(*, old: bool) -> Schema:
    fields = {"observedIgnore": text("The ignore patterns of the artifact."), "observedLayerSelector": _LAYER}
    if old:
        fields["contentConfigChecksum"] = text("Has no meaning any more.")
    return common.status(fields)


_COLUMNS = (("URL", ".spec.url", "string"), READY, STATUS, AGE)

OCI_REPOSITORIES = Declaration(
    OCI_REPOSITORY,
    "An artifact in a container registry.",
    (
        Version("v1", _spec(), _status(old=False), _COLUMNS),
        Version("v1beta2", _spec(), _status(old=True), _COLUMNS, deprecated=True),
    ),
)

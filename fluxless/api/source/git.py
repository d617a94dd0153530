"""What users write in a GitRepository, and its status (GR-1..13, GR-20)."""

from __future__ import annotations

from fluxless.api.kinds import GIT_REPOSITORY
from fluxless.api.schema import (
    AGE,
    READY,
    STATUS,
    Declaration,
    Schema,
    Version,
    artifact,
    flag,
    listing,
    record,
    reference,
    text,
)
from fluxless.api.source import common

_INCLUDE = record(
    {
        "fromPath": text("Directory of the included artifact; all of it when empty."),
        "repository": reference("The GitRepository whose artifact is included."),
        "toPath": text("Where it is put; the repository's name when empty."),
    },
    required=("repository",),
)


def _spec(*, old: bool) -> Schema:
    fields = {
        "ignore": common.ignore(),
        "include": listing(_INCLUDE, "Artifacts of other GitRepositories to put into this one."),
        "interval": common.interval("How often the remote is asked."),
        "provider": text("How to authenticate.", enum=["generic", "aws", "azure", "github"]),
        "proxySecretRef": common.secret("the address and credentials of a proxy"),
        "recurseSubmodules": flag("Fetch submodules as well."),
        "ref": record(
            {
                "branch": text("A branch; master when nothing else is given."),
                "commit": text("A commit by its full id; wins over all others."),
                "name": text("A reference by its full name, such as refs/heads/main; wins over all but commit."),
                "semver": text("A range of versions; the highest tag in it wins over tag and branch."),
                "tag": text("A tag; wins over branch."),
            },
            "What to fetch.",
        ),
        "secretRef": common.secret("credentials"),
        "serviceAccountName": text("ServiceAccount to authenticate with."),
        "sparseCheckout": listing(text(), "Directories to fetch; everything when empty."),
        "suspend": common.suspend(),
        "timeout": common.timeout(default="60s"),
        "url": text("Address of the repository.", pattern="^(http|https|ssh)://.*$"),
        "verify": record(
            {
                "mode": text("What must be signed.", default="HEAD", enum=["head", "HEAD", "Tag", "TagAndHEAD"]),
                "secretRef": reference("Secret with the public keys of trusted authors."),
            },
            "Verify signatures.",
            required=("secretRef",),
        ),
    }
    rules: tuple[tuple[str, str], ...] = (
        (
            "!has(self.serviceAccountName) || (has(self.provider) && "
            "(self.provider == 'azure' || self.provider == 'aws'))",
            "serviceAccountName can only be set when provider is 'azure' or 'aws'",
        ),
    )
    if old:
        fields["gitImplementation"] = text("Has no meaning any more.", default="go-git", enum=["go-git", "libgit2"])
        fields["accessFrom"] = common.access_from()
    return record(fields, "What to fetch, from where, how often.", required=("interval", "url"), rules=rules)


def _status(*, old: bool) -> Schema:
    fields = {
        "includedArtifacts": listing(artifact("", old=old), "The artifacts that were included."),
        "observedIgnore": text("The ignore patterns of the artifact."),
        "observedInclude": listing(_INCLUDE, "The includes of the artifact."),
        "observedRecurseSubmodules": flag("Whether the artifact has submodules."),
        "observedSparseCheckout": listing(text(), "The directories of the artifact."),
        "sourceVerificationMode": text("What was verified."),
    }
    if old:
        fields["contentConfigChecksum"] = text("Has no meaning any more.")
    return common.status(fields, old=old, url=old)


_COLUMNS = (("URL", ".spec.url", "string"), AGE, READY, STATUS)

GIT_REPOSITORIES = Declaration(
    GIT_REPOSITORY,
    "A Git repository whose content is kept as an artifact.",
    (
        Version("v1", _spec(old=False), _status(old=False), _COLUMNS),
        Version("v1beta2", _spec(old=True), _status(old=True), _COLUMNS, deprecated=True),
        Version("v1beta1", _spec(old=True), _status(old=True), _COLUMNS, deprecated=True),
    ),
)

"""What users write in `source.toolkit.fluxcd.io` (GR-1..13, GR-20): GitRepository.

v1 is stored and is all that the engine reads. There is no conversion: whatever is written in an old version is kept
as v1, and the API server drops at that moment what v1 does not know. So the old versions are v1 and a few fields that
are accepted, defaulted and forgotten: `gitImplementation` and `accessFrom`, which mean nothing in Flux either (GR-13),
and the old names in the status. `tools/crds.py` calls this; nothing here is looked at when an object is reconciled.
"""

from __future__ import annotations

from fluxless.api.kinds import GIT_REPOSITORY
from fluxless.api.schema import (
    AGE,
    DURATION,
    READY,
    SHORT_DURATION,
    STATUS,
    Declaration,
    Schema,
    Version,
    artifact,
    conditions,
    flag,
    listing,
    mapping,
    number,
    record,
    reference,
    text,
)

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
        "ignore": text("Patterns of files to leave out of the artifact, in the format of .gitignore."),
        "include": listing(_INCLUDE, "Artifacts of other GitRepositories to put into this one."),
        "interval": text("How often the remote is asked.", pattern=DURATION),
        "provider": text("How to authenticate.", enum=["generic", "aws", "azure", "github"]),
        "proxySecretRef": reference("Secret with the address and credentials of a proxy."),
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
        "secretRef": reference("Secret with credentials, in the same namespace."),
        "serviceAccountName": text("ServiceAccount to authenticate with."),
        "sparseCheckout": listing(text(), "Directories to fetch; everything when empty."),
        "suspend": flag("Do nothing while this is true."),
        "timeout": text("Limit of one operation on the remote.", default="60s", pattern=SHORT_DURATION),
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
        selectors = listing(record({"matchLabels": mapping()}))
        fields["accessFrom"] = record(
            {"namespaceSelectors": selectors}, "Has no meaning any more.", required=("namespaceSelectors",)
        )
    return record(fields, "What to fetch, from where, how often.", required=("interval", "url"), rules=rules)


def _status(*, old: bool) -> Schema:
    fields = {
        "artifact": artifact("The newest artifact.", old=old),
        "conditions": conditions(),
        "includedArtifacts": listing(artifact("", old=old), "The artifacts that were included."),
        "lastHandledReconcileAt": text("The last reconcile request that was handled."),
        "observedGeneration": number("The last generation that was handled."),
        "observedIgnore": text("The ignore patterns of the artifact."),
        "observedInclude": listing(_INCLUDE, "The includes of the artifact."),
        "observedRecurseSubmodules": flag("Whether the artifact has submodules."),
        "observedSparseCheckout": listing(text(), "The directories of the artifact."),
        "sourceVerificationMode": text("What was verified."),
    }
    if old:
        fields["url"] = text("Where the newest artifact can be had.")
        fields["contentConfigChecksum"] = text("Has no meaning any more.")
    return record(fields, "What was fetched.") | {"default": {"observedGeneration": -1}}


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

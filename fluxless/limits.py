"""What anybody outside may cost us: bytes, seconds, counts and depths, in one table that `docs/limits.md` shows.

Repositories, charts, registries, webhooks and API servers are written by others. Every room reads its bound here, so
that one page says what is refused and a test can go through all of them. A tenant's own `timeout` lengthens none.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limit:
    """One row: `value` in `unit` (bytes, seconds, or what is counted), and what it bounds."""

    name: str
    value: float
    unit: str
    bounds: str


TABLE: list[Limit] = []
"""All rows, in the order of this file."""


def _limit(name: str, value: int, unit: str, bounds: str) -> int:
    TABLE.append(Limit(name, value, unit, bounds))
    return value


# -- YAML --------------------------------
YAML_BYTES = _limit("YAML_BYTES", 32 * MIB, "bytes", "one text of YAML: a file, a value of a Secret, a manifest")
YAML_NODES = _limit("YAML_NODES", 1_000_000, "values", "a text of YAML, each alias counted with all it stands for")
YAML_STREAM_NODES = _limit("YAML_STREAM_NODES", 5_000_000, "values", "an index of charts, read chart by chart")
YAML_ALIASED = _limit("YAML_ALIASED", 32 * MIB, "characters", "what the aliases of a text of YAML stand for")
YAML_DEPTH = _limit("YAML_DEPTH", 200, "levels", "lists and mappings within each other, aliases expanded")
SUBSTITUTED = _limit("SUBSTITUTED", 32 * MIB, "characters", "a manifest with its variables, parts of expressions too")
SUBSTITUTION_READ = _limit(
    "SUBSTITUTION_READ", 256 * MIB, "characters", "values that expressions of a manifest go through"
)
SUBSTITUTION_DEPTH = _limit("SUBSTITUTION_DEPTH", 32, "levels", "expressions of variables within each other")
HELM_VALUES = _limit("HELM_VALUES", 50_000, "values", "the values of a release, merged: they are digested at each look")
HELM_ITEMS = _limit("HELM_ITEMS", 1_000_000, "items", "lists that one targetPath makes or copies")

# -- builds: kustomize, helm, sops, notation --------------------------------
HELM_MEMORY = _limit("HELM_MEMORY", 2 * GIB, "bytes", "address space of a helm, of which Go takes a third unused")
HELM_CPU = _limit("HELM_CPU", 120, "seconds", "that a helm computes; it may wait for longer")
HELM_SECONDS = _limit("HELM_SECONDS", 1200, "seconds", "one action of helm, waits for hooks included")
HELM_FILE = _limit("HELM_FILE", 256 * MIB, "bytes", "one file that a helm writes")
HELM_OUTPUT = _limit("HELM_OUTPUT", 64 * MIB, "bytes", "what a helm prints")
CHART_FILES = _limit("CHART_FILES", 10_000, "files", "a chart with the charts in it")
CHART_BYTES = _limit("CHART_BYTES", 100 * MIB, "bytes", "a chart with the charts in it, unpacked")
CHART_DEPENDENCIES = _limit("CHART_DEPENDENCIES", 500, "dependencies", "a Chart.yaml, or a Chart.lock")
CHART_DEPTH = _limit("CHART_DEPTH", 20, "levels", "packed charts in packed charts")
CHART_SCHEMA_DEPTH = _limit("CHART_SCHEMA_DEPTH", 200, "levels", "a values.schema.json")
SOPS_MEMORY = _limit("SOPS_MEMORY", 2 * GIB, "bytes", "address space of a sops, of which Go takes a third unused")
SOPS_CPU = _limit("SOPS_CPU", 30, "seconds", "that a sops computes")
SOPS_INPUT = _limit("SOPS_INPUT", 5 * MIB, "bytes", "an encrypted file (KC-99)")
SOPS_OUTPUT = _limit("SOPS_OUTPUT", 64 * MIB, "bytes", "what a sops prints")
SOPS_TIME = _limit("SOPS_TIME", 30, "seconds", "one decryption")
NOTATION_MEMORY = _limit("NOTATION_MEMORY", 2 * GIB, "bytes", "address space of a notation, of which Go takes a third")
NOTATION_CPU = _limit("NOTATION_CPU", 30, "seconds", "that a notation computes")
SIGNATURE_LAYERS = _limit("SIGNATURE_LAYERS", 100, "layers", "of a manifest of signatures, those that are looked at")
NOTATION_LAYOUT = _limit("NOTATION_LAYOUT", 64 * MIB, "bytes", "the signatures of one image that notation looks at")
OUTLET_HEAD = _limit("OUTLET_HEAD", 64 * KIB, "bytes", "the head of a request that such a program makes")
OUTLET_BYTES = _limit("OUTLET_BYTES", 32 * MIB, "bytes", "what such a program sends or receives in one connection")
NOTATION_OUTPUT = _limit("NOTATION_OUTPUT", 4 * MIB, "bytes", "what a notation prints")
BUILD_MEMORY = _limit("BUILD_MEMORY", 768 * MIB, "bytes", "what one build, or one post-rendering, may use")
BUILD_CPU = _limit("BUILD_CPU", 120, "seconds", "processor time of one build, on all cores together")
BUILD_SECONDS = _limit("BUILD_SECONDS", 180, "seconds", "one build from beginning to end, whatever spec.timeout says")
BUILD_OUTPUT = _limit("BUILD_OUTPUT", 32 * MIB, "bytes", "what one build may produce")
KUSTOMIZATION_BYTES = _limit("KUSTOMIZATION_BYTES", 32 * MIB, "bytes", "all kustomization files of one build")
KUSTOMIZATION_ENTRIES = _limit("KUSTOMIZATION_ENTRIES", 100_000, "paths", "that the kustomizations of one build name")
EXPLAINED_FILES = _limit("EXPLAINED_FILES", 20, "files", "that we look into after kustomize has named them in an error")
EXPLAINED_BYTES = _limit("EXPLAINED_BYTES", 4 * MIB, "bytes", "the same, together")
BUILD_FILE = _limit("BUILD_FILE", 32 * MIB, "bytes", "a file that we read for a build; all that stands in their place")

# -- sources: Git, registries, buckets, charts, archives --------------------------------
INDEX_DEPTH = _limit("INDEX_DEPTH", 5, "levels", "indexes of a registry that name indexes")

FETCH_BYTES = _limit("FETCH_BYTES", 512 * MIB, "bytes", "received for a commit and its submodules together")
FETCH_SECONDS = _limit("FETCH_SECONDS", 600, "seconds", "the same, whatever the object's timeout says")
SUBMODULES = _limit("SUBMODULES", 100, "submodules", "a commit, those in submodules as well")
SUBMODULE_DEPTH = _limit("SUBMODULE_DEPTH", 8, "levels", "submodules in submodules")
GIT_MEMORY = _limit("GIT_MEMORY", GIB, "bytes", "address space of a process that fetches and reads a commit")
GIT_OBJECT = _limit("GIT_OBJECT", 16 * MIB, "bytes", "a commit, a tag or a folder's entry list")
TREE_ENTRIES = _limit("TREE_ENTRIES", 500_000, "entries", "files and folders of a commit, each time they are named")
TREE_DEPTH = _limit("TREE_DEPTH", 100, "levels", "folders in folders of a commit or an archive")
TREE_NAMES = _limit("TREE_NAMES", 128 * MIB, "bytes", "all paths of a commit")
ARCHIVE_BYTES = _limit("ARCHIVE_BYTES", GIB, "bytes", "an artifact, an archive or a layer, unpacked")
ARCHIVE_FILE = _limit("ARCHIVE_FILE", 128 * MIB, "bytes", "one file of a commit")
ARCHIVE_FILES = _limit("ARCHIVE_FILES", 250_000, "files", "an artifact or an archive")
CACHE_BYTES = _limit("CACHE_BYTES", 2 * GIB, "bytes", "unpacked artifacts on a worker; half of the free disk if less")
DISK_KEPT = _limit("DISK_KEPT", 64 * MIB, "bytes", "of a worker's disk, left free by all that is fetched and unpacked")
ARCHIVE_NAME = _limit("ARCHIVE_NAME", 4096, "characters", "the path of an archive's entry")
TAR_READ = _limit("TAR_READ", MIB, "bytes", "an extended header of an archive's entry")

STORAGE_ANSWER = _limit("STORAGE_ANSWER", 64 * MIB, "bytes", "a page of a storage account's list, a part of an object")
LISTING = _limit("LISTING", 16 * MIB, "bytes", "a page of the list of an S3 bucket")
REFERENCES = _limit("REFERENCES", 64 * MIB, "bytes", "the branches and tags that a Git server names")
REMOTE_FILE = _limit("REMOTE_FILE", 10 * MIB, "bytes", "a file that a kustomization names by its address")
TOKEN_ANSWER = _limit("TOKEN_ANSWER", MIB, "bytes", "an answer of a token server, GitHub's API or an issuer of tokens")
TOKEN_BYTES = _limit("TOKEN_BYTES", 16 * KIB, "bytes", "a token of a registry or of GitHub")
TOKEN_LIFE = _limit("TOKEN_LIFE", 3 * 3600, "seconds", "that we keep one, whatever its giver says")
TOKEN_SECONDS = _limit("TOKEN_SECONDS", 60, "seconds", "getting a registry's token, waiting for one's turn included")
GITHUB_TOKENS = _limit("GITHUB_TOKENS", 500, "tokens", "of installations of GitHub Apps that a worker keeps")

# -- patterns and expressions of users --------------------------------

PATTERN_LENGTH = _limit("PATTERN_LENGTH", 4096, "characters", "a regular expression or glob of a user")
PATTERN_MEMORY = _limit("PATTERN_MEMORY", 256 * KIB, "bytes", "the machine that one stands for")
PATTERN_SECONDS = _limit("PATTERN_SECONDS", 10, "seconds", "matching one pattern, or ignore patterns, with all names")
IGNORE_LINES = _limit("IGNORE_LINES", 2000, "lines", "`.sourceignore`, `.helmignore` and `spec.ignore` together")
IGNORE_SIZE = _limit("IGNORE_SIZE", 128 * KIB, "bytes", "the same; and each `.sourceignore` by itself")
IGNORE_MEMORY = _limit("IGNORE_MEMORY", 8 * MIB, "bytes", "the machine that all lines together stand for")
CEL_LENGTH = _limit("CEL_LENGTH", 8192, "characters", "a CEL expression")
CEL_ROUNDS = _limit("CEL_ROUNDS", 10_000, "rounds", "all loops of one evaluation (the library's own bound)")
CEL_COST = _limit("CEL_COST", 500_000_000, "nanoseconds", "one evaluation in the worst case, reckoned before it begins")
CEL_OBJECT = _limit("CEL_OBJECT", 500_000_000, "nanoseconds", "the same, all `readyExpr` of an object, a look")
CEL_NAMESPACE = _limit("CEL_NAMESPACE", 1_000_000_000, "nanoseconds", "the same, all objects of a namespace, a plan")
CEL_LOOK = _limit("CEL_LOOK", 2_000_000_000, "nanoseconds", "the same, `healthCheckExprs` of an object, a look")

# -- API servers --------------------------------

OBJECT = _limit("OBJECT", 16 * MIB, "bytes", "an API server's answer about one object, decompressed")
ANSWER = _limit("ANSWER", 64 * MIB, "bytes", "a page of a list and what there is to read of kinds, decompressed")
VALUES_IN = _limit("VALUES_IN", 64 * KIB, "values", "each MiB that such an answer may have: what it becomes in memory")
LIST = _limit("LIST", 256 * MIB, "bytes", "all pages of one list of an API server")
LIST_VALUES = _limit("LIST_VALUES", 8_000_000, "values", "what one list of an API server becomes in memory")
REMOTE_VALUES = _limit("REMOTE_VALUES", 8_000_000, "values", "what the API server of a kubeConfig answers in a minute")
LIST_PAGES = _limit("LIST_PAGES", 1000, "pages", "one list of an API server, those that it asks for again included")
LIST_WITHIN = _limit("LIST_WITHIN", 120, "seconds", "one list of an API server")
TO_HELM = _limit("TO_HELM", 256 * MIB, "bytes", "one answer of an API server to helm")
KINDS_WITHIN = _limit("KINDS_WITHIN", 60, "seconds", "what an API server says of its kinds to helm")
STATUS_WORDS = _limit("STATUS_WORDS", 32 * KIB, "characters", "an API server's words of a refusal")

# -- webhooks and other callers --------------------------------

CALLER_BODY = _limit("CALLER_BODY", 4 * MIB, "bytes", "a request to a webhook (FUNCTIONS_REQUEST_BODY_SIZE_LIMIT)")
DIRECTORY = _limit("DIRECTORY", 4 * MIB, "bytes", "what webhooks find a cluster's objects by; beyond it they ask it")
RECEIVER_BODY = _limit("RECEIVER_BODY", 3 * MIB, "bytes", "a request to a Receiver, as in Flux")
ISSUERS = _limit("ISSUERS", 500, "issuers", "of tokens, whose keys a worker keeps")

# -- work: slots, objects, chains --------------------------------
CLUSTER_SLOTS = _limit("CLUSTER_SLOTS", 32, "objects", "one cluster worked on at once; a namespace alone has half")
FAILING_SLOTS = _limit("FAILING_SLOTS", 8, "objects", "of these, those that have failed before")
WORKER_SLOTS = _limit("WORKER_SLOTS", 96, "objects", "all clusters of a worker; a cluster has half at most")
PROCESS_SLOTS = _limit("PROCESS_SLOTS", 8, "processes", "a worker at once; a namespace has half at most")
LOOKUPS = _limit("LOOKUPS", 16, "lookups", "names of hosts, a worker at once; a namespace has half at most")
FETCH_SLOTS = _limit("FETCH_SLOTS", 6, "fetches", "Git, a worker at once; a namespace has half at most")
DEPENDENCIES = _limit("DEPENDENCIES", 100, "entries", "`spec.dependsOn` of an object")
CHAIN_LINKS = _limit("CHAIN_LINKS", 50, "links", "that are followed to name what an object waits for in the end")
CYCLE_LINKS = _limit("CYCLE_LINKS", 100_000, "links", "looked through to name the ways through a tangle of `dependsOn`")
MOVE_DEPTH = _limit("MOVE_DEPTH", 5, "levels", "Kustomizations that render Kustomizations, looked into before a prune")
MOVE_BUILDS = _limit("MOVE_BUILDS", 100, "builds", "of such Kustomizations, a level")
MOVE_SECONDS = _limit("MOVE_SECONDS", 30, "seconds", "looking for who else wants what is about to be deleted")

"""Where Fluxless is known to end differently from Flux, and why. `compare` fails on every other difference."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Known:
    """Scenarios, and paths in their records, as patterns (`*` is anything)."""

    scenario: str
    path: str
    why: str

    def covers(self, scenario: str, path: str) -> bool:
        """Whether this explains a difference."""
        return fnmatchcase(scenario, self.scenario) and fnmatchcase(path, self.path)


_NO_OP = "a pass that finds nothing new writes no event; Flux says that it has finished"
_ABSENT = "Flux says `deleted` of objects that were not there"
_CYCLE = "a circle of dependsOn can never resolve: it is Stalled at once, where Flux tries again for ever"
_NEVER = "what is no range or no expression can never match: it is Stalled at once, where Flux tries again for ever"
_SERVER = "uid and resourceVersion in a manifest are dropped: Flux sends them, and the API server refuses them"
_GUARD = (
    "a Secret with a sops section is never applied; Flux's guard comes after a conversion that drops the section, and "
    "only holds where the values are no base64"
)
_RETRY = "what is tried again says ProgressingWithRetry, as Flux's other controllers do; its helm-controller does not"
_APPLIED = "drift is set right by server-side apply, so that the fields stay owned as they were; Flux patches"
_LEFT = "a release that moves takes its objects along; Flux looks for them in the new namespace and leaves them behind"
_BACK = "a release that was rolled back is tried again; Flux had not come back to it after two minutes"
_GONE = "what was uninstalled is in no inventory"
KNOWN: tuple[Known, ...] = (
    Known("*", "*/HelmRelease/*/conditions/Reconciling True Progressing*", _RETRY),
    Known("drift-of-*", "*/managers/helm-controller *", _APPLIED),
    Known("a-release-in-another-namespace", "/1/objects/@ns@-x_*", _LEFT),
    Known("an-*-that-fails-and-is-un*", "*/inventory/*", _GONE),
    Known("an-upgrade-that-fails-twice", "/1/*", _BACK),
    Known("*", "*/finalizers*", "a finalizer is written before there is something to undo, not at the first look"),
    Known("*", "*/events/GitRepository/repo Normal GitOperationSucceeded", _NO_OP),
    Known("*", "*/events/Kustomization/* Normal DriftCorrected", "drift is told field by field, by its own event"),
    Known("*", "*/events/Kustomization/* Warning UnknownField", "Flux drops misspelt fields in silence"),
    Known("reconcile-disabled-later-and-enabled-again", "/1/events/*ReconciliationSucceeded", _NO_OP),
    Known("a-source-that-fails-after-a-success", "/1/events/*ReconciliationSucceeded", _NO_OP),
    Known("a-suspended-source-keeps-its-artifact", "/1/events/*ReconciliationSucceeded", _NO_OP),
    Known(
        "build-metadata-of-the-file",
        "*",
        "Flux built from a module calls its kustomize `(devel)`, which is no valid label; a release does not",
    ),
    Known(
        "substrings-from-the-end",
        "*",
        "Flux's library panics over a negative length, and the object never gets an answer; here it is an error",
    ),
    Known(
        "fields-of-the-server-are-dropped",
        "*/kubectl.kubernetes.io/last-applied-configuration",
        "kubectl's copy of an object is not applied; Flux applies it and removes it again, in turns",
    ),
    Known("fields-of-the-server-with-values", "*", _SERVER),
    Known("an-encrypted-secret", "*", _GUARD),
    Known(
        "an-unknown-field-of-a-custom-kind",
        "*/events/Kustomization/app Normal Progressing",
        "what earlier stages have written is told by an event of its own; Flux appends it to that of the failure",
    ),
    Known("deletion-leaves-what-asks-to-stay", "/1/changes/*ConfigMap/@ns@/d deleted", _ABSENT),
    Known("reconcile-disabled", "/2/*", _ABSENT),
    Known("ssa-ignore", "/2/*", _ABSENT),
    Known("*", "*/events/HelmChart/* Normal ArtifactUpToDate", _NO_OP),
    Known("an-image-whose-semver-is-none", "*", _NEVER),
    Known("an-image-whose-filter-is-none", "*", _NEVER),
    Known(
        "an-image-with-a-missing-secret",
        "*/events/OCIRepository/app Normal AuthenticationFailed",
        "Flux tells of the Secret twice, in two wordings",
    ),
    Known("a-dependency-on-itself", "*", _CYCLE),
    Known("a-circle-of-dependencies", "*", _CYCLE),
    Known(
        "deletion-*",
        "/1/events/*ReconciliationSucceeded",
        "a deleted object does not say that it has finished, nor when it runs next",
    ),
    Known(
        "deletion-after-its-account-is-gone",
        "/1/events/*Warning PruneFailed",
        "objects that nobody may delete any more are named; Flux says ReconciliationSucceeded, as a warning",
    ),
)


def known(scenario: str, path: str) -> Known | None:
    """What explains a difference, if anything does."""
    return next((entry for entry in KNOWN if entry.covers(scenario, path)), None)

"""Why an action has failed, as far as objects can tell: failed hooks, and objects that did not become ready.

In short behind Helm's words in the condition, in full in the run record.
"""

from __future__ import annotations

from collections.abc import Iterable

from fluxless.api.failure import Failure, FailureClass
from fluxless.apply.health import Look
from fluxless.apply.symptoms import symptoms
from fluxless.helm.release import Release
from fluxless.helm.run import HelmReleaseRun

API_VERSIONS = {"Job": "batch/v1", "Pod": "v1"}
"""Of the hooks that Helm waits for."""
MOST = 3
"""Objects that are asked about."""
LONGEST = 1200
"""Characters that a condition gets."""


async def of_hooks(run: HelmReleaseRun, last: Release | None) -> str:
    """What the hooks say that ran last and did not succeed."""
    if last is None:
        return ""
    failed = [hook for hook in last.hooks if (hook.get("last_run") or {}).get("phase") in {"Failed", "Running"}]
    named = [
        (API_VERSIONS[kind], kind, last.namespace, str(hook.get("name")))
        for hook in failed
        if (kind := str(hook.get("kind"))) in API_VERSIONS
    ]
    return await _of(run, named)


async def of_objects(run: HelmReleaseRun, found: Look) -> str:
    """What the objects say that are not ready."""
    targets = [*found.failed, *found.pending]
    run.details += found.failures()
    return await _of(run, [(one.api_version, one.kind, one.namespace, one.name) for one in targets])


async def _of(run: HelmReleaseRun, named: Iterable[tuple[str, str, str, str]]) -> str:
    known = await symptoms(run.target, list(named)[:MOST])
    run.details += [Failure(FailureClass.HEALTH, symptom.full(), symptom.subject) for symptom in known]
    text = "; ".join(symptom.short() for symptom in known)
    return f"; {text[:LONGEST]}" if text else ""

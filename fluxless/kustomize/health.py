"""The health phase of a Kustomization (KC-93..95): a short look inside the step, then a durable wait.

A wait costs nothing: the step ends with "look again", the beginning of the check stays in the memory, and the next step
finds nothing to apply and looks once more.
"""

from __future__ import annotations

from typing import Any

from fluxless.api import conditions, reasons
from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass
from fluxless.apply.health import Look, Target
from fluxless.apply.objects import group_of
from fluxless.kustomize.run import KustomizationRun
from fluxless.reconcile.errors import Transient, Waiting
from fluxless.reconcile.events import Event
from fluxless.reconcile.judgement import judge_by
from fluxless.reconcile.looking import is_over, look_for_a_while

DEFAULT_API_VERSION = "apps/v1"
"""What a health check without an apiVersion means (KC-27)."""


async def check_health(run: KustomizationRun) -> None:
    """Healthy=True when every target is ready. Ready=False HealthCheckFailed on failure or timeout."""
    targets = _targets(run)
    if not targets:
        run.status.unmark("Healthy")
        return
    began = run.memory.checking_since or run.services.clock()
    found = await look_for_a_while(
        run,
        targets,
        lambda: judge_by(run.spec.get("healthCheckExprs") or []),
        known=run.applied.live if run.applied is not None else {},
        fleeting=(id_ for id_, entry in run.memory.applied.entries.items() if entry.fleeting),
        say=lambda: run.say("Running health checks"),
    )
    if found.failed or found.pending:
        await _not_yet(run, found, began)
    seconds = run.services.clock() - began
    if run.memory.checking_since is not None:
        run.healthy_after = seconds
        run.memory.checking_since = None
        await run.save_memory()
    _tell_passed(run, seconds)


def _targets(run: KustomizationRun) -> list[Target]:
    """What `wait` or `healthChecks` ask for (KC-26, KC-27); never the Kustomization itself (KC-93)."""
    if run.spec.get("wait"):
        skipped = run.applied.skipped if run.applied is not None else frozenset()
        found = [
            Target.of_inventory(id_, entry.version)
            for id_, entry in run.memory.applied.entries.items()
            if id_ not in skipped
        ]
    else:
        found = [_explicit(check, run.ref.namespace) for check in run.spec.get("healthChecks") or []]
    me = (run.kind.group, run.kind.kind, run.ref.namespace, run.ref.name)
    return [t for t in found if (group_of(t.api_version), t.kind, t.namespace, t.name) != me]


def _explicit(check: dict[str, Any], namespace: str) -> Target:
    return Target(
        api_version=check.get("apiVersion") or DEFAULT_API_VERSION,
        kind=check["kind"],
        namespace=check.get("namespace") or namespace,
        name=check["name"],
    )


async def _not_yet(run: KustomizationRun, found: Look, began: float) -> None:
    """Fail, or wait on (raises either)."""
    now = run.services.clock()
    waited = now - began
    if found.failed and is_over(run, found):
        text = f"health check failed after {format_duration(round(waited, 3))}: {found.failed_text()}"
        raise await _failed(run, text, found.failures())
    if waited >= run.timeout:
        text = f"health check failed after {format_duration(round(waited, 3))}: {found.pending_text()}"
        raise await _failed(run, text, found.failures())
    if run.memory.checking_since is None:
        run.memory.checking_since = began
        await run.save_memory()
    run.say("Running health checks")
    raise Waiting(
        reasons.PROGRESSING,
        Failure(FailureClass.HEALTH, found.pending_text(), str(run.ref)),
        retry_after=min(run.services.settings.health_poll, max(1.0, waited / 3), run.timeout - waited + 0.1),
        event=False,
        working=True,
    )


async def _failed(run: KustomizationRun, text: str, details: list[Failure]) -> Transient:
    if run.memory.checking_since is not None:
        run.memory.checking_since = None
        await run.save_memory()
    run.status.mark("Healthy", "False", reasons.HEALTH_CHECK_FAILED, text)
    run.status.remember(run.checksum, reasons.HEALTH_CHECK_FAILED, run.seconds(), run.revisions)
    step = details[0].next_step if details else ""
    return Transient(reasons.HEALTH_CHECK_FAILED, Failure(FailureClass.HEALTH, text, str(run.ref), next_step=step))


def _tell_passed(run: KustomizationRun, seconds: float) -> None:
    """Mark Healthy, and tell of it when it becomes so or after a new revision has changed something (KC-95)."""
    first = not conditions.is_true(run.obj, "Healthy")
    text = f"Health check passed in {format_duration(round(max(0.0, seconds), 3))}"
    changed = run.applied is not None and run.applied.changed
    if first or changed or run.healthy_after is not None:
        run.status.mark("Healthy", "True", reasons.SUCCEEDED, text)
    else:  # only its generation is new
        known = run.status.condition("Healthy") or {}
        run.status.mark("Healthy", "True", reasons.SUCCEEDED, str(known.get("message") or text))
    if first or changed:
        run.tell(Event("Normal", reasons.PROGRESSING, text, run.revisions))

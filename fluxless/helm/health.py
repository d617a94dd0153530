"""Do the objects of a release become ready? A short look, then a durable wait (HR-6, HR-33, HR-34)."""

from __future__ import annotations

from functools import partial

from fluxless.api import reasons
from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass
from fluxless.apply.health import Look, Target
from fluxless.apply.objects import KubeObject, group_of
from fluxless.apply.states import Status, ready
from fluxless.helm.book import RELEASED, REMEDIATED, TESTED, WORD, about, chart, count_failure, failed_text, full
from fluxless.helm.explain import of_objects
from fluxless.helm.objects import inventory_of, note_objects
from fluxless.helm.post import observed
from fluxless.helm.records import mark_failed
from fluxless.helm.release import Release
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.state import Action, retry_interval
from fluxless.reconcile.errors import Waiting
from fluxless.reconcile.events import Event
from fluxless.reconcile.judgement import Judge, judge_by
from fluxless.reconcile.looking import is_over, look_for_a_while

LEGACY = {
    ("", "Pod"),
    ("", "PersistentVolumeClaim"),
    ("", "Service"),
    ("", "ReplicationController"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("batch", "Job"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
}
"""The kinds that Helm 3 waited for (HR-33)."""


async def await_health(run: HelmReleaseRun, last: Release) -> None:
    """A short look, then a durable wait. A release that does not become ready in time has failed, as in Flux."""
    action = Action(run.memory.action or "upgrade")
    objects = await note_objects(run, last)
    if run.action_spec(action.value).get("disableWait"):
        await _healthy(run, action)
        return
    awaited = inventory_of(run, objects, defined=False)
    targets = [Target.of_inventory(entry, version) for entry, version in awaited.items()]
    limit = run.timeout(action.value)
    say = partial(run.progress, f"Running '{action.value}' action with timeout of {format_duration(limit)}")
    found = await look_for_a_while(run, targets, lambda: _judge(run, action), known=run.seen, say=say)
    if not found.pending and not found.failed:
        await _healthy(run, action)
        return
    waited = run.services.clock() - run.memory.since
    if is_over(run, found) or waited >= limit:
        await _unhealthy(run, action, last, found)
        return
    say()
    await run.save_memory()
    raise Waiting(
        reasons.PROGRESSING,
        Failure(FailureClass.HEALTH, found.pending_text(), str(run.ref)),
        retry_after=min(run.services.settings.health_poll, max(0.5, waited / 3), limit - waited + 0.1),
        event=False,
        working=True,
    )


def _judge(run: HelmReleaseRun, action: Action) -> Judge:
    """By the expressions and kstatus; `legacy` looks at fewer kinds, `disableWaitForJobs` at no Jobs."""
    judge = judge_by(run.spec.get("healthCheckExprs") or [])
    legacy = (run.spec.get("waitStrategy") or {}).get("name") == "legacy"
    without_jobs = bool(run.action_spec(action.value).get("disableWaitForJobs"))

    def judged(obj: KubeObject) -> Status:
        kind = (group_of(obj["apiVersion"]), obj["kind"])
        if (legacy and kind not in LEGACY) or (without_jobs and kind == ("batch", "Job")):
            return ready("it is there")
        return judge(obj)

    return judged


async def _healthy(run: HelmReleaseRun, action: Action) -> None:
    run.memory.over = True
    entry = run.history[0]
    word = "install" if action is Action.INSTALL else "upgrade"
    text = f"Helm {word} succeeded for release {full(entry)} with chart {chart(entry)}"
    run.status.unmark(REMEDIATED)
    run.status.mark(RELEASED, "True", f"{WORD[action]}Succeeded", text)
    run.status.set(**observed(run.spec))
    if retry_interval(run.spec, run.status.fields) is not None:  # failures mean nothing beyond the retry (HR-19)
        run.status.set(failures=None, installFailures=None, upgradeFailures=None)
    run.tell(Event("Normal", f"{WORD[action]}Succeeded", text, about(entry)))
    if run.action_spec("test").get("enable"):
        text = f"Helm release {full(entry)} with chart {chart(entry)} is awaiting tests"
        run.status.mark(TESTED, "Unknown", "AwaitingTests", text)


async def _unhealthy(run: HelmReleaseRun, action: Action, last: Release, found: Look) -> None:
    words = found.failed_text() if found.failed else found.pending_text()
    words += await of_objects(run, found)
    run.memory.over = True
    await mark_failed(run, last, words[:500])
    count_failure(run, action, last.version, failed_text(run, action, words))

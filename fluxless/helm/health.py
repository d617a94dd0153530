"""Do the objects of a release become ready? A short look, then a durable wait (HR-6, HR-34)."""

from __future__ import annotations

from typing import Any

from fluxless.api import reasons
from fluxless.api.duration import format_duration
from fluxless.api.failure import Failure, FailureClass
from fluxless.apply import inventory
from fluxless.apply.health import Look, Target, look
from fluxless.apply.objects import object_id, version_of
from fluxless.helm import actions
from fluxless.helm.book import RELEASED, REMEDIATED, TESTED, WORD, chart, count_failure, failed_text, full
from fluxless.helm.post import observed
from fluxless.helm.release import Release
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.state import Action
from fluxless.reconcile.errors import Waiting
from fluxless.reconcile.events import Event
from fluxless.reconcile.judgement import judge_by
from fluxless.render.manifests import load_all


async def await_health(run: HelmReleaseRun, last: Release) -> None:
    """A short look, then a durable wait. A release that does not become ready in time has failed, as in Flux."""
    action = Action(str(run.memory.get("action") or "upgrade"))
    objects = await _objects(run, last)
    entries = {object_id(obj): version_of(obj["apiVersion"]) for obj in objects}
    run.status.set(inventory=inventory.write(entries))  # HR-44
    if run.action_spec(action.value).get("disableWait"):
        await _healthy(run, action)
        return
    targets = [Target.of_inventory(entry, version) for entry, version in entries.items()]
    judge = judge_by(run.spec.get("healthCheckExprs") or [])
    found = await look(run.census, targets, fleeting=set(), judge=judge, since=run.services.clock())
    if not found.pending and not found.failed:
        await _healthy(run, action)
        return
    waited = run.services.clock() - float(run.memory.get("since") or 0.0)
    if found.failed or waited >= run.timeout(action.value):
        await _unhealthy(run, action, last, found)
        return
    run.progress(f"Running '{action.value}' action with timeout of {format_duration(run.timeout(action.value))}")
    raise Waiting(
        reasons.PROGRESSING,
        Failure(FailureClass.HEALTH, found.pending_text(), str(run.ref)),
        retry_after=min(run.services.settings.health_poll, max(0.5, waited / 3)),
        event=False,
        working=True,
    )


async def _healthy(run: HelmReleaseRun, action: Action) -> None:
    run.memory = {}
    await run.save_memory()
    entry = run.history[0]
    word = "install" if action is Action.INSTALL else "upgrade"
    text = f"Helm {word} succeeded for release {full(entry)} with chart {chart(entry)}"
    run.status.unmark(REMEDIATED)
    run.status.mark(RELEASED, "True", f"{WORD[action]}Succeeded", text)
    run.status.set(failures=None, installFailures=None, upgradeFailures=None, **observed(run.spec))
    run.tell(Event("Normal", f"{WORD[action]}Succeeded", text, run.revisions))
    if run.action_spec("test").get("enable"):
        text = f"Helm release {full(entry)} with chart {chart(entry)} is awaiting tests"
        run.status.mark(TESTED, "Unknown", "AwaitingTests", text)


async def _unhealthy(run: HelmReleaseRun, action: Action, last: Release, found: Look) -> None:
    words = found.failed_text() if found.failed else f"timeout waiting for: {found.pending_text()}"
    run.memory = {}
    await run.save_memory()
    await actions.mark_failed(run, last, words[:500])
    await count_failure(run, action, last.version, failed_text(run, action, words))


async def _objects(run: HelmReleaseRun, last: Release) -> list[dict[str, Any]]:
    """The objects of the release, with the namespace that helm gives them."""
    found = []
    for document in load_all(last.manifest, "the release's manifest"):
        if isinstance(document, dict) and document.get("kind") and document.get("metadata"):
            scoped = (await run.target.resource(document["apiVersion"], document["kind"])).namespaced
            metadata = document["metadata"]
            if scoped and not metadata.get("namespace"):
                metadata["namespace"] = last.namespace
            found.append(document)
    return found

"""A release that moves: it goes from where it was before it comes elsewhere (HR-63, HR-24, HR-77)."""

from __future__ import annotations

import logging
from typing import Any

from fluxless.apply.inventory import read
from fluxless.apply.objects import parse_id
from fluxless.helm import actions
from fluxless.helm.book import about, chart, full
from fluxless.helm.run import HelmReleaseRun
from fluxless.reconcile.events import Event

log = logging.getLogger("fluxless.helm")


async def leave_old_target(run: HelmReleaseRun) -> None:
    """Uninstall a release that was elsewhere, had another name or was of another chart, before the new one comes
    (HR-63, HR-24).
    """
    last = run.history[0] if run.history else None
    if last is not None:
        before = (last["name"], last["namespace"], run.status.fields.get("storageNamespace") or run.storage_namespace)
        moved = before != (run.release_name, run.namespace, run.storage_namespace)
        in_place = run.action_spec("upgrade").get("chartNameChangeStrategy") == "InPlaceUpdate"
        if moved or (last["chartName"] != run.wanted.chart_name and not in_place):
            run.did = True
            await uninstall_known(run)
            run.status.set(history=None, inventory=None)
            run.memory.forget()
            await run.save_memory()
    run.status.set(storageNamespace=run.storage_namespace)


async def uninstall_known(run: HelmReleaseRun) -> None:
    """The release as the status knows it, wherever the spec says that it should be now."""
    last = _known(run)
    records = str(run.status.fields.get("storageNamespace") or run.storage_namespace)
    await actions.uninstall(run, last["name"], last["namespace"], records)
    text = f"Helm uninstall succeeded for release {full(last)} with chart {chart(last)}"
    run.tell(Event("Normal", "UninstallSucceeded", text, about(last)))


def tell_of_left(run: HelmReleaseRun, gone: str) -> None:
    """The object goes, and its release stays where nobody reaches it any more (HR-77)."""
    last, inventory = _known(run), read(run.obj.get("status") or {})
    left = "\n".join(parse_id(id_).subject for id_ in inventory)
    log.warning("cluster=%s object=%s leaves release %s behind: %s", run.cluster.name, run.ref, full(last), gone)
    text = f"unable to uninstall Helm release {full(last)}: {gone}\n{left}"
    run.tell(Event("Warning", "UninstallFailed", text, about(last)))


def _known(run: HelmReleaseRun) -> dict[str, Any]:
    """The newest snapshot in the status; of a release that no status has come to tell of, what is remembered."""
    unseen = {"name": run.release_name, "namespace": run.namespace, "version": run.memory.made}
    return run.history[0] if run.history else unseen

"""A release that moves: it goes from where it was before it comes elsewhere (HR-63, HR-24, HR-77)."""

from __future__ import annotations

from typing import Any

from fluxless.helm import actions
from fluxless.helm.book import chart, full
from fluxless.helm.run import HelmReleaseRun
from fluxless.reconcile.events import Event


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
    unseen: dict[str, Any] = {
        "name": run.release_name,
        "namespace": run.namespace,
        "version": run.memory.made,
    }
    last = run.history[0] if run.history else unseen
    records = str(run.status.fields.get("storageNamespace") or run.storage_namespace)
    await actions.uninstall(run, last["name"], last["namespace"], records)
    text = f"Helm uninstall succeeded for release {full(last)} with chart {chart(last)}"
    run.tell(Event("Normal", "UninstallSucceeded", text, run.revisions))

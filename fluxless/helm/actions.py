"""What is done to a release, by the real helm (HR-14..27). Each raises `HelmFailed` or `ProcessProblem`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from fluxless.artifacts.pack import pack
from fluxless.charts.subcharts import for_helm
from fluxless.helm import gates
from fluxless.helm.objects import definitions_of
from fluxless.helm.post import task
from fluxless.helm.records import MAX_HISTORY
from fluxless.helm.run import MANAGER, HelmReleaseRun
from fluxless.kube.documents import Documents
from fluxless.kube.door import Door, opened
from fluxless.limits import HELM_SECONDS
from fluxless.render.helm import helm


async def install(run: HelmReleaseRun) -> None:
    """Install the chart, its definitions first, with the flags that `spec.install` asks for (HR-14..18)."""
    said = run.action_spec("install")
    await _definitions(run, "install")
    flags = ["--skip-crds", *_common(run, "install")]
    flags += ["--create-namespace"] if said.get("createNamespace") and run.spec.get("targetNamespace") else []
    flags += ["--replace"] if said.get("replace") or run.last is not None else []
    flags += _side(run, "enabled" if said.get("serverSideApply", True) else "disabled")
    await _with_chart(run, "install", flags)


async def upgrade(run: HelmReleaseRun) -> None:
    """Upgrade the release, definitions first, with the flags that `spec.upgrade` asks for (HR-15..17, HR-21, HR-22)."""
    said = run.action_spec("upgrade")
    await _definitions(run, "upgrade")
    flags = [*_common(run, "upgrade"), f"--history-max={run.spec.get('maxHistory', MAX_HISTORY)}"]
    flags += ["--cleanup-on-fail"] if said.get("cleanupOnFail") else []
    flags += ["--reuse-values"] if said.get("preserveValues") else ["--reset-values"]
    flags += _side(run, said.get("serverSideApply"))
    flags += ["--force-replace"] if said.get("force") and "--server-side=false" in flags else []
    await _with_chart(run, "upgrade", flags)


async def rollback(run: HelmReleaseRun, version: int) -> None:
    """Go back to this version of the release, with the flags that `spec.rollback` asks for (HR-26, HR-76)."""
    said = run.action_spec("rollback")
    flags = ["--no-hooks"] if said.get("disableHooks") else []
    flags += ["--cleanup-on-fail"] if said.get("cleanupOnFail") else []
    flags += _side(run, said.get("serverSideApply"))
    flags += ["--force-replace"] if said.get("force") and "--server-side=false" in flags else []
    flags += [f"--history-max={run.spec.get('maxHistory', MAX_HISTORY)}", _limit(run, "rollback")]
    async with _here(run) as server:
        words, limit = [run.release_name, str(version)], run.timeout("rollback")
        await helm("rollback", words, server, run.namespace, timeout=limit, flags=flags)


async def uninstall(run: HelmReleaseRun, name: str, namespace: str, records: str) -> None:
    """Uninstall the release of this name, whose records are in that namespace (HR-27); one that is gone is fine."""
    said = run.action_spec("uninstall")
    flags = ["--ignore-not-found", f"--cascade={said.get('deletionPropagation') or 'background'}"]
    flags += ["--no-hooks"] if said.get("disableHooks") else []
    flags += ["--keep-history"] if said.get("keepHistory") else []
    flags += [] if said.get("disableWait") else ["--wait"]
    flags.append(_limit(run, "uninstall"))
    async with _door(run, namespace, records) as server:
        await helm("uninstall", [name], server, namespace, timeout=run.timeout("uninstall"), flags=flags)


async def test(run: HelmReleaseRun) -> None:
    """Run the chart's tests that the filters select (HR-25)."""
    chosen = run.action_spec("test").get("filters") or []
    flags = [f"--filter={'!' if one.get('exclude') else ''}name={one['name']}" for one in chosen]
    async with _here(run) as server:
        flags.append(_limit(run, "test"))
        await helm("test", [run.release_name], server, run.namespace, timeout=run.timeout("test"), flags=flags)


async def _with_chart(run: HelmReleaseRun, action: str, flags: Sequence[str]) -> None:
    assert run.chart is not None  # noqa: S101  (load_chart came before)
    chart = run.chart
    wanted = task(run.spec, run.owner)
    with tempfile.TemporaryDirectory(prefix="fluxless-release-") as folder:
        archive = Path(folder) / "chart.tgz"
        checked = not run.action_spec(action).get("disableSchemaValidation")
        await asyncio.to_thread(lambda: pack(for_helm(chart, schemas=checked), archive))
        async with _here(run) as server:
            await helm(
                action,
                [run.release_name, archive],
                server,
                run.namespace,
                timeout=run.timeout(action),
                flags=[*flags, "--output=json", "--hide-notes"],
                values=run.values,
                post_render=wanted,
            )


def _common(run: HelmReleaseRun, action: str) -> list[str]:
    said = run.action_spec(action)
    flags = ["--no-hooks"] if said.get("disableHooks") else []
    flags += ["--disable-openapi-validation"] if said.get("disableOpenAPIValidation") else []
    flags += ["--skip-schema-validation"] if said.get("disableSchemaValidation") else []
    flags += [] if said.get("disableTakeOwnership") else ["--take-ownership"]
    flags += ["--enable-dns"] if gates.DNS in run.gates else []
    return [*flags, _limit(run, action)]


def _side(run: HelmReleaseRun, said: object) -> list[str]:
    """Flags for server-side apply: as before unless the spec says otherwise (HR-22). Fields that others have taken are
    taken back, as in Flux.
    """
    before = bool(run.records) and run.records[0].on_server
    on_server = said == "enabled" or (said != "disabled" and before)
    return ["--server-side=true", "--force-conflicts"] if on_server else ["--server-side=false"]


def _limit(run: HelmReleaseRun, action: str) -> str:
    return f"--timeout={min(run.timeout(action), HELM_SECONDS):.0f}s"


async def _definitions(run: HelmReleaseRun, action: str) -> None:
    """Apply the definitions in `crds/` as the policy says, before everything else (HR-15). Raises `Problem`."""
    said = run.action_spec(action)
    policy = str(said.get("crds") or ("Skip" if said.get("skipCRDs") else "Create"))
    if policy == "Skip" or run.chart is None:
        return
    found = await asyncio.to_thread(definitions_of, run.chart)
    definitions = [obj for obj in found if obj["kind"] == "CustomResourceDefinition"]
    for definition in definitions:
        resource = await run.target.resource(definition["apiVersion"], definition["kind"])
        if policy == "CreateReplace" or await run.target.get(resource, str(definition["metadata"]["name"])) is None:
            await run.target.apply(definition, manager=MANAGER)
            _documents(run).forget()


def _here(run: HelmReleaseRun) -> AbstractAsyncContextManager[str]:
    return _door(run, run.namespace, run.storage_namespace)


def _door(run: HelmReleaseRun, namespace: str, records: str) -> AbstractAsyncContextManager[str]:
    """What Helm speaks through: as helm-controller, and no longer than the lease is good."""
    closed = run.lease.closed if run.lease is not None else None
    return opened(run.target, Door(MANAGER, namespace, records, run.see, closed, _documents(run)))


def _documents(run: HelmReleaseRun) -> Documents:
    """What the target says of its kinds, for all releases of this survey."""
    return run.survey.shared(run.target, "documents", Documents)

"""What is done to a release, by the real helm (HR-14..27). Each raises `HelmFailed` or `ProcessProblem`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fluxless.artifacts.pack import pack
from fluxless.helm import release as releases
from fluxless.helm.post import task
from fluxless.helm.release import Release, UnreadableRecord
from fluxless.helm.run import HelmReleaseRun
from fluxless.helm.sources import MANAGER
from fluxless.kube.door import Door, opened
from fluxless.render.binaries import binary
from fluxless.render.helm import helm
from fluxless.render.manifests import load_all

MAX_HISTORY = 5
"""HR-10."""


async def read_records(run: HelmReleaseRun) -> list[Release]:
    """Helm's records of the release, newest first; what is no record is left out. Raises `Problem`."""
    resource = await run.target.resource("v1", "Secret")
    labels = f"owner=helm,name={run.release_name}"
    found = []
    for secret in await run.target.list(resource, run.storage_namespace, labels=labels):
        try:
            found.append(releases.read(secret))
        except UnreadableRecord:
            continue
    return sorted(found, key=lambda one: one.version, reverse=True)


async def install(run: HelmReleaseRun) -> None:
    """HR-14..18."""
    said = run.action_spec("install")
    await _definitions(run, "install")
    flags = ["--skip-crds", *_common(run, "install")]
    flags += ["--create-namespace"] if said.get("createNamespace") and run.spec.get("targetNamespace") else []
    flags += ["--replace"] if said.get("replace") else []
    flags += _side(run, "enabled" if said.get("serverSideApply", True) else "disabled")
    await _with_chart(run, ["install", run.release_name], flags, run.timeout("install"))


async def upgrade(run: HelmReleaseRun) -> None:
    """HR-15..17, HR-21, HR-22."""
    said = run.action_spec("upgrade")
    await _definitions(run, "upgrade")
    flags = [*_common(run, "upgrade"), f"--history-max={run.spec.get('maxHistory', MAX_HISTORY)}"]
    flags += ["--cleanup-on-fail"] if said.get("cleanupOnFail") else []
    flags += ["--reuse-values"] if said.get("preserveValues") else ["--reset-values"]
    flags += _side(run, said.get("serverSideApply"))
    flags += ["--force-replace"] if said.get("force") and "--server-side=false" in flags else []
    await _with_chart(run, ["upgrade", run.release_name], flags, run.timeout("upgrade"))


async def rollback(run: HelmReleaseRun, version: int) -> None:
    """HR-26, HR-76."""
    said = run.action_spec("rollback")
    flags = ["--no-hooks"] if said.get("disableHooks") else []
    flags += ["--cleanup-on-fail"] if said.get("cleanupOnFail") else []
    flags += _side(run, said.get("serverSideApply"))
    flags += [f"--history-max={run.spec.get('maxHistory', MAX_HISTORY)}", _limit(run, "rollback")]
    async with _door(run) as server:
        await helm(
            ["rollback", run.release_name, str(version), *flags], server, run.namespace, timeout=run.timeout("rollback")
        )


async def uninstall(run: HelmReleaseRun, name: str, namespace: str, records: str) -> None:
    """HR-27, of this release with its records there; what is gone already is fine."""
    said = run.action_spec("uninstall")
    flags = ["--ignore-not-found", f"--cascade={said.get('deletionPropagation') or 'background'}"]
    flags += ["--no-hooks"] if said.get("disableHooks") else []
    flags += ["--keep-history"] if said.get("keepHistory") else []
    flags += [] if said.get("disableWait") else ["--wait"]
    flags.append(_limit(run, "uninstall"))
    async with opened(run.target, Door(MANAGER, namespace, records)) as server:
        await helm(["uninstall", name, *flags], server, namespace, timeout=run.timeout("uninstall"))


async def test(run: HelmReleaseRun) -> None:
    """HR-25: the chart's tests, those that the filters select."""
    chosen = run.action_spec("test").get("filters") or []
    flags = [f"--filter={'!' if one.get('exclude') else ''}name={one['name']}" for one in chosen]
    async with _door(run) as server:
        command = ["test", run.release_name, *flags, _limit(run, "test")]
        await helm(command, server, run.namespace, timeout=run.timeout("test"))


async def mark_failed(run: HelmReleaseRun, record: Release, description: str) -> None:
    """A release that nobody is at work on any more, or that has not become ready, has failed."""
    resource = await run.target.resource("v1", "Secret")
    body = releases.failed_record(record, description)
    await run.target.patch(resource, record.secret, run.storage_namespace, body=body, manager=MANAGER)


async def _with_chart(run: HelmReleaseRun, command: Sequence[str], flags: Sequence[str], timeout: float) -> None:
    assert run.chart is not None  # noqa: S101  (load_chart came before)
    wanted = task(run.spec, run.ref.name, run.ref.namespace, str(await binary("kustomize")))
    with tempfile.TemporaryDirectory(prefix="fluxless-release-") as folder:
        archive = Path(folder) / "chart.tgz"
        await asyncio.to_thread(pack, run.chart.packed(), archive)
        async with _door(run) as server:
            await helm(
                [*command, str(archive), *flags, "--output=json", "--hide-notes"],
                server,
                run.namespace,
                timeout=timeout,
                values=run.values,
                post_render=wanted,
            )


def _common(run: HelmReleaseRun, action: str) -> list[str]:
    said = run.action_spec(action)
    flags = ["--no-hooks"] if said.get("disableHooks") else []
    flags += ["--disable-openapi-validation"] if said.get("disableOpenAPIValidation") else []
    flags += ["--skip-schema-validation"] if said.get("disableSchemaValidation") else []
    flags += [] if said.get("disableTakeOwnership") else ["--take-ownership"]
    return [*flags, _limit(run, action)]


def _side(run: HelmReleaseRun, said: object) -> list[str]:
    """HR-22: as before unless the spec says otherwise; fields that others have taken are taken back, as in Flux."""
    before = bool(run.records) and run.records[0].on_server
    on_server = said == "enabled" or (said != "disabled" and before)
    return ["--server-side=true", "--force-conflicts"] if on_server else ["--server-side=false"]


def _limit(run: HelmReleaseRun, action: str) -> str:
    return f"--timeout={run.timeout(action):.0f}s"


async def _definitions(run: HelmReleaseRun, action: str) -> None:
    """HR-15: the definitions in `crds/`, before everything else. Raises `Problem`."""
    said = run.action_spec(action)
    policy = str(said.get("crds") or ("Skip" if said.get("skipCRDs") else "Create"))
    if policy == "Skip" or run.chart is None:
        return
    resource = await run.target.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    for path in sorted(run.chart.files):
        if not path.startswith("crds/"):
            continue
        for document in load_all(run.chart.files[path].decode(errors="replace"), path):
            if not isinstance(document, dict) or document.get("kind") != "CustomResourceDefinition":
                continue
            name = str(document["metadata"]["name"])
            if policy == "CreateReplace" or await run.target.get(resource, name) is None:
                await run.target.apply(document, manager=MANAGER)


@asynccontextmanager
async def _door(run: HelmReleaseRun) -> AsyncIterator[str]:
    async with opened(run.target, Door(MANAGER, run.namespace, run.storage_namespace)) as server:
        yield server

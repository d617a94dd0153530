"""What a Kustomization would do with a folder that is not its artifact yet: the build and the dry-runs that deploy it.

Callers show it to people, so it also says which values nobody may see. Writes nothing to any cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fluxless.api.failure import Failure, Problem
from fluxless.apply.ignore import Rule
from fluxless.apply.inventory import restrict, stale
from fluxless.apply.normalise import normalise
from fluxless.apply.objects import KubeObject, Manifest, object_id
from fluxless.apply.owner import Owner
from fluxless.apply.preview import Planned, preview, preview_prune
from fluxless.kustomize import prune_guard
from fluxless.kustomize.build import Build, Rendered, build
from fluxless.kustomize.content import render
from fluxless.kustomize.decryption import SEALED, FieldPath, masked
from fluxless.kustomize.inputs import read_variables
from fluxless.kustomize.keyring import read_keys
from fluxless.kustomize.run import KustomizationRun
from fluxless.kustomize.variables import merge
from fluxless.reconcile.target import open_target


@dataclass(frozen=True, slots=True)
class Ahead:
    """What would happen. `planned` is in the order of application, deletions last; `failures` is what would be refused.

    `hold` says why the prune would wait for approval; `sealed` why secrets could not be decrypted here; `hidden` has
    the paths of fields that were encrypted, by object id; `secrets` are values that came out of Secrets.
    """

    manifests: tuple[Manifest, ...] = ()
    planned: tuple[Planned, ...] = ()
    failures: tuple[Failure, ...] = ()
    hold: str = ""
    sealed: str = ""
    hidden: Mapping[str, frozenset[FieldPath]] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()


async def render_ahead(run: KustomizationRun, tree: Path, digest: str) -> list[Manifest]:
    """What would be applied, with marks for what is encrypted. Raises `Problem`."""
    run.artifact, run.tree = {"digest": digest}, tree
    await open_target(run)
    await read_variables(run)
    await render(run)
    return _manifests(run.spec, run.owner, _marked(run.build))


async def render_offline(
    obj: KubeObject, tree: Path, digest: str, *, remote_bases: bool, strict: bool
) -> list[Manifest]:
    """The same without a cluster: only in-line variables are known. Raises `Problem`."""
    spec, metadata = obj["spec"], obj["metadata"]
    variables = merge([], (spec.get("postBuild") or {}).get("substitute") or {})
    built = await build(tree, digest, spec, variables, remote_bases=remote_bases, strict=strict)
    return _manifests(spec, Owner(metadata["name"], metadata.get("namespace", "")), _marked(built))


async def look_ahead(run: KustomizationRun, tree: Path, digest: str) -> Ahead:
    """Build the folder as the artifact of that digest, and dry-run what comes of it. Raises `Problem`."""
    rendered, sealed = await _render(run, tree, digest)
    manifests = _manifests(run.spec, run.owner, rendered)
    if sealed:
        manifests = [await _with_live_values(run, manifest) for manifest in manifests]
    rules = [Rule.parse(entry) for entry in run.spec.get("ignore") or []]
    planned, failures = await preview(run.census, manifests, force=bool(run.spec.get("force")), ignore=rules)
    deleted, hold = await _prune(run, planned) if not failures else ([], "")
    return Ahead(
        tuple(manifests),
        (*planned, *deleted),
        tuple(failures),
        hold,
        sealed,
        {object_id(item.object): item.hidden for item in rendered if item.hidden},
        await _secret_values(run),
    )


async def _render(run: KustomizationRun, tree: Path, digest: str) -> tuple[list[Rendered], str]:
    """The objects, and why they are not decrypted: whoever looks ahead may not have the keys."""
    run.artifact, run.tree = {"digest": digest}, tree
    await open_target(run)
    await read_variables(run)
    try:
        await read_keys(run)
        await render(run)
        return run.build.objects, ""
    except Problem as problem:
        if not run.spec.get("decryption"):
            raise
        sealed = problem.failures[0].message
    run.decryption = None
    await render(run)
    return _marked(run.build), sealed


def _marked(built: Build) -> list[Rendered]:
    return [replace(item, object=masked(item.object)) for item in built.objects]


def _manifests(spec: Mapping[str, Any], owner: Owner, rendered: Iterable[Rendered]) -> list[Manifest]:
    common = spec.get("commonMetadata") or {}
    return normalise(rendered, owner, labels=common.get("labels"), annotations=common.get("annotations"))


async def _with_live_values(run: KustomizationRun, manifest: Manifest) -> Manifest:
    """Encrypted values of a Secret count as unchanged: only its keys can be compared."""
    obj = manifest.object
    if obj["kind"] != "Secret" or SEALED not in (obj.get("data") or {}).values():
        return manifest
    resource = await run.target.resource(obj["apiVersion"], obj["kind"])
    live = await run.target.get(resource, obj["metadata"]["name"], obj["metadata"].get("namespace", ""))
    known: dict[str, Any] = (live or {}).get("data") or {}
    data = {key: known.get(key, value) if value == SEALED else value for key, value in obj["data"].items()}
    return replace(manifest, object={**obj, "data": data})


async def _prune(run: KustomizationRun, planned: Iterable[Planned]) -> tuple[list[Planned], str]:
    if not run.spec.get("prune"):
        return [], ""
    wanted = dict.fromkeys((one.id for one in planned), "")
    dropped = stale(run.old_inventory, wanted)
    deleted = await preview_prune(run.census, dropped, owner=run.owner)
    left = restrict(dropped, [one.id for one in deleted])
    limit = prune_guard.Limit.parse(run.services.settings.prune_limit)
    notes = run.obj["metadata"].get("annotations") or {}
    return deleted, prune_guard.held(limit, left, len(run.old_inventory | wanted), notes)


async def _secret_values(run: KustomizationRun) -> frozenset[str]:
    """Values of variables that came out of Secrets."""
    found: set[str] = set()
    for ref in (run.spec.get("postBuild") or {}).get("substituteFrom") or []:
        if ref["kind"] == "Secret":
            data = await run.survey.references(run.local).secret(run.ref.namespace, ref["name"])
            found |= {value.decode(errors="replace").replace("\n", "") for value in (data or {}).values()}
    return frozenset(found)

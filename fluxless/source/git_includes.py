"""Artifacts of other GitRepositories inside this one's (GR-11, GR-27). IncludeUnavailable, StorageOperationFailed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.artifacts.repack import OnDisk, regular_files
from fluxless.reconcile.dependencies import artifact_of
from fluxless.reconcile.errors import Transient, Waiting
from fluxless.reconcile.world import Ref
from fluxless.source.base import SourceRun


@dataclass(frozen=True, slots=True)
class Include:
    """An artifact to include: `source` below its root, `target` below ours."""

    name: str
    source: str
    target: str
    artifact: dict[str, Any]


def find(run: SourceRun) -> list[Include]:
    """What `spec.include` means now."""
    found: list[Include] = []
    for entry in run.spec.get("include") or []:
        name = str(entry["repository"]["name"])
        other = run.survey.world.get(Ref("GitRepository", run.ref.namespace, name))
        artifact = artifact_of(other)
        if other is None:
            raise _unavailable(run, "NotFound", f"could not get resource for include '{name}'", "create it")
        if artifact is None:
            raise _unavailable(run, "NoArtifact", f"no artifact available for include '{name}'", "make it ready")
        target = str(entry.get("toPath") or name)
        found.append(Include(name, _inside(run, str(entry.get("fromPath") or "")), _inside(run, target), artifact))
    run.status.unmark(reasons.INCLUDE_UNAVAILABLE)
    return found


def changed(run: SourceRun, includes: list[Include]) -> bool:
    """Whether one of them is not as it was when our artifact was made."""
    known = run.status.fields.get("includedArtifacts") or []
    return [(one.get("revision"), one.get("digest")) for one in known] != [
        (one.artifact.get("revision"), one.artifact.get("digest")) for one in includes
    ]


async def folders(run: SourceRun, includes: list[Include]) -> list[tuple[Include, Path]]:
    """The unpacked files of each."""
    found: list[tuple[Include, Path]] = []
    for one in includes:
        try:
            tree = await run.services.artifacts.tree(one.artifact)
        except Problem as problem:
            raise _not_copied(run, one, problem.failures[0].message) from problem
        if tree is None:
            raise _unavailable(run, "NoArtifact", f"the artifact of include '{one.name}' is gone", "reconcile it")
        place = tree / one.source
        if not place.is_dir():
            raise _not_copied(run, one, f"it has no directory '{one.source}'")
        found.append((one, place))
    return found


def files(one: Include, folder: Path) -> Iterator[OnDisk]:
    """Its files where they belong in our artifact; blocking."""
    for path in regular_files(folder):
        yield OnDisk(folder / path, posixpath.join(one.target, path) if one.target != "." else path)


def _inside(run: SourceRun, path: str) -> str:
    """Paths lead nowhere else, however they are written: as Flux reads them, `..` stops at the root."""
    return posixpath.normpath(f"/{path}").lstrip("/") or "."


def _unavailable(run: SourceRun, reason: str, words: str, next_step: str) -> Waiting:
    failure = Failure(FailureClass.DEPENDENCY, words, str(run.ref), next_step=next_step)
    run.progress(words)
    pause = run.services.settings.requeue_dependency
    return Waiting(reason, failure, retry_after=pause, condition=reasons.INCLUDE_UNAVAILABLE)


def _not_copied(run: SourceRun, one: Include, words: str) -> Transient:
    text = f"failed to copy '{one.name}' include from {one.source} to {one.target}: {words}"
    failure = Failure(FailureClass.BUILD, text, str(run.ref), next_step="correct spec.include")
    return Transient("CopyFailure", failure, condition=reasons.STORAGE_OPERATION_FAILED)

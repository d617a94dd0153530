"""The OCIRepository controller: from a tag in a registry to an artifact in the store (OR and SC rows).

A step in which nothing is new costs one HEAD and one look at the blob, and writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from fluxless.api import conditions, reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.api.kinds import Kind
from fluxless.api.semver import Constraint, candidates
from fluxless.artifacts.ignore import Ignore
from fluxless.artifacts.pack import Packed
from fluxless.artifacts.repack import hash_file, repack
from fluxless.artifacts.unpack import ArchiveProblem
from fluxless.oci import media
from fluxless.oci.client import Descriptor, Manifest, Registry
from fluxless.oci.errors import InvalidReference, NotInRegistry, RegistryProblem, RegistryRefused
from fluxless.oci.reference import DEFAULT_TAG, Repository, checked_digest, checked_tag
from fluxless.patterns import InvalidPattern, regex
from fluxless.reconcile.errors import Transient
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.source import credentials
from fluxless.source.base import SourceController, SourceRun, collect_garbage, invalid
from fluxless.source.oci_access import who_asks

COPY = "copy"
"""The layer operation that keeps the layer as it is (OR-3)."""


class OCIRepositoryRun(SourceRun):
    """The state of the step; every field is set by the phase named beside it."""

    OBSERVED: ClassVar = {"ignore": "observedIgnore", "layerSelector": "observedLayerSelector"}

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.digest = ""  # ask_registry: of the manifest

    @property
    def layer(self) -> dict[str, Any]:
        """`spec.layerSelector`."""
        found: dict[str, Any] = self.spec.get("layerSelector") or {}
        return found

    @contextlib.asynccontextmanager
    async def registry(self) -> AsyncIterator[Registry]:
        """The repository with the credentials of the spec. Raises what `credentials` raises; FetchFailed URLInvalid."""
        try:
            repository = Repository.parse(self.url)
        except InvalidReference as problem:
            raise invalid(self, reasons.URL_INVALID, f"URL validation failed for '{self.url}': {problem}") from problem
        insecure = bool(self.spec.get("insecure"))
        tls, proxy = await credentials.tls(self, insecure=insecure), await credentials.proxy(self)
        async with contextlib.AsyncExitStack() as stack:
            who = await who_asks(self, repository, stack)
            yield await stack.enter_async_context(
                Registry(repository, who, tls=tls, proxy=proxy, insecure=insecure, timeout=self.timeout)
            )


class OCIRepositoryController(SourceController):
    """Finds the digest, looks at signatures, and keeps the layer as an artifact when it is another one."""

    reason = reasons.OCI_PULL_FAILED

    @property
    def phases(self) -> Sequence[Any]:
        """The steps, in order."""
        return PHASES

    def in_storage(self, run: OCIRepositoryRun) -> str:
        """Flux's words for this kind."""
        return f"stored artifact for digest '{run.artifact.get('revision', '')}'"


async def reconcile_artifact(run: OCIRepositoryRun) -> Outcome | None:
    """Which digest is wanted, is it signed, do we have it; else fetch it. FetchFailed, StorageOperationFailed."""
    if conditions.is_false(run.obj, reasons.SOURCE_VERIFIED):
        run.status.unmark(reasons.SOURCE_VERIFIED)
    async with run.registry() as registry:
        await _resolve(run, registry)
        run.fresh = await run.is_current()
        if run.artifact.get("revision") != run.revision:
            run.outdated(f"new revision '{run.revision}' for '{registry.repository}'")
        await _verify(run, registry)
        if not run.fresh:
            await _fetch(run, registry)
    return None


async def _resolve(run: OCIRepositoryRun, registry: Registry) -> None:
    """Set digest and revision of what `spec.ref` means (OR-2, OR-21). FetchFailed ReadOperationFailed,
    OCIArtifactPullFailed.
    """
    ref: dict[str, Any] = run.spec.get("ref") or {}
    try:
        if ref.get("digest"):
            run.digest = checked_digest(str(ref["digest"]))
            run.revision = run.digest
            return
        tag = await _by_semver(run, registry, ref) if ref.get("semver") else str(ref.get("tag") or DEFAULT_TAG)
        run.digest = await registry.digest(checked_tag(tag))
        run.revision = f"{tag}@{run.digest}"
    except InvalidReference as problem:
        raise invalid(run, reasons.READ_OPERATION_FAILED, str(problem)) from problem
    except RegistryProblem as problem:
        raise _failed(problem, reasons.OCI_PULL_FAILED) from problem


async def _by_semver(run: OCIRepositoryRun, registry: Registry, ref: dict[str, Any]) -> str:
    """The highest tag in the range; a chart's tag writes `_` for the `+` of its version."""
    chart = run.layer.get("mediaType") == media.HELM_CHART
    text, pattern = str(ref["semver"]), str(ref.get("semverFilter") or "")
    try:
        constraint, wanted = Constraint.parse(text), regex(pattern)
    except InvalidPattern as error:
        words = f"failed to determine the artifact tag for '{run.url}': {error}"
        raise invalid(run, reasons.READ_OPERATION_FAILED, words, "correct spec.ref.semverFilter") from None
    except ValueError:
        step = "write it like >=1.0.0 <2.0.0, or 1.x"
        raise invalid(run, reasons.READ_OPERATION_FAILED, f"semver '{text}' parse error", step) from None
    tags = await asyncio.to_thread(wanted.among, await registry.tags())
    found = candidates([tag.replace("_", "+") if chart else tag for tag in tags], constraint)
    if not found:
        step = f"push a matching tag, or widen the range; {len(tags)} tag(s) were considered"
        text = f"failed to determine the artifact tag for '{run.url}': no match found for semver: {text}"
        failure = Failure(FailureClass.SOURCE_NOT_FOUND, text, str(run.ref), next_step=step)
        raise Transient(reasons.READ_OPERATION_FAILED, failure, condition=reasons.FETCH_FAILED)
    return found[-1].replace("+", "_") if chart else found[-1]


async def _verify(run: OCIRepositoryRun, registry: Registry) -> None:
    """Look at the signatures (OR-5, OR-6) of a new revision or generation, and after a failure (OR-23)."""
    if not run.spec.get("verify"):
        run.status.unmark(reasons.SOURCE_VERIFIED)
        return
    known = run.status.condition(reasons.SOURCE_VERIFIED)
    revised = run.artifact.get("revision") != run.revision
    if known and known["status"] == "True" and known.get("observedGeneration") == run.generation and not revised:
        return
    from fluxless.source.oci_verify import verify

    await verify(run, registry, run.digest, f"revision {run.revision}")


async def _fetch(run: OCIRepositoryRun, registry: Registry) -> None:
    await run.keep()
    with tempfile.TemporaryDirectory(prefix="fluxless-oci-") as name:
        folder = Path(name)
        archive = folder / "layer"
        try:
            manifest = await registry.manifest(run.digest)
            layer = _select(run, manifest)
            await registry.download(layer, archive)
        except RegistryProblem as problem:
            raise _failed(problem, reasons.OCI_PULL_FAILED) from problem
        await run.keep_artifact(
            await _pack(run, layer, archive, folder),
            _told(run, manifest),
            suffix=".tgz" if run.layer.get("operation") == COPY else ".tar.gz",
            metadata=manifest.annotations,
        )


def _select(run: OCIRepositoryRun, manifest: Manifest) -> Descriptor:
    """The layer that `spec.layerSelector` means, the first by default (OR-3). FetchFailed
    OCIArtifactLayerOperationFailed.
    """
    wanted = str(run.layer.get("mediaType") or "")
    for layer in manifest.layers:
        if not wanted or layer.media_type == wanted:
            return layer
    if not manifest.layers:
        words, step = "no layers found in artifact", "push an artifact with a layer, as `flux push artifact` does"
    else:
        words = f"failed to find layer with media type '{wanted}' in artifact"
        step = f"correct spec.layerSelector; it has {', '.join(sorted({one.media_type for one in manifest.layers}))}"
    failure = Failure(FailureClass.BUILD, words, str(run.ref), next_step=step)
    raise Transient(reasons.OCI_LAYER_OPERATION_FAILED, failure, condition=reasons.FETCH_FAILED)


async def _pack(run: OCIRepositoryRun, layer: Descriptor, archive: Path, folder: Path) -> Packed:
    """`copy` keeps the layer; `extract` makes the archive anew, without what is to be ignored (SC-9..11)."""
    if run.layer.get("operation") == COPY:
        return await asyncio.to_thread(hash_file, archive)
    ignore: str | None = run.spec.get("ignore")
    try:
        return await asyncio.to_thread(repack, archive, folder, lambda files: Ignore(files, ignore))
    except ArchiveProblem as problem:
        words = f"failed to extract layer contents from artifact: {problem.failures[0].message}"
        failure = Failure(FailureClass.BUILD, words, str(run.ref), next_step=problem.failures[0].next_step)
        raise Transient(reasons.OCI_LAYER_OPERATION_FAILED, failure, condition=reasons.FETCH_FAILED) from problem


def _told(run: OCIRepositoryRun, manifest: Manifest) -> str:
    """The event's text, with the origin that the manifest's annotations name (OR-22)."""
    text = f"stored artifact with revision '{run.revision}' from '{run.url}'"
    source, revision = manifest.annotations.get(media.SOURCE, ""), manifest.annotations.get(media.REVISION, "")
    if source and revision:
        text += f", origin source '{source}', origin revision '{revision}'"
    return text


def _failed(problem: RegistryProblem, reason: str) -> Transient:
    if isinstance(problem, RegistryRefused):
        reason = reasons.AUTHENTICATION_FAILED
    words = "failed to determine artifact digest: " if isinstance(problem, NotInRegistry) else ""
    failures = [Failure(f.cls, f"{words}{f.message}", f.subject, f.origin, f.next_step) for f in problem.failures]
    return Transient(reason, failures, condition=reasons.FETCH_FAILED)


PHASES = (reconcile_artifact, collect_garbage)

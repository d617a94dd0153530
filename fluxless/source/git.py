"""The GitRepository controller: from a remote to an artifact in the store (GR and SC rows).

A step in which nothing is new costs one `ls-remote` and one look at the blob, and writes nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from fluxless.api import conditions, reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.api.kinds import Kind
from fluxless.api.timestamps import format_timestamp
from fluxless.artifacts.ignore import FILE, Ignore
from fluxless.artifacts.pack import Packed, pack
from fluxless.artifacts.store import StoreUnavailable
from fluxless.git.auth import Auth, SecretProblem
from fluxless.git.errors import AuthenticationRefused, GitProblem
from fluxless.git.fetch import Commit, Tree, fetch
from fluxless.git.ls_remote import ls_remote
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.events import Event
from fluxless.reconcile.interval import jittered, seconds
from fluxless.reconcile.outcome import Outcome, State
from fluxless.reconcile.run import Run
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.source.revision import InvalidReference, Target, resolve

DEFAULT_TIMEOUT = 60.0
"""Seconds; GR-2."""
KEPT = 2
"""Artifacts that stay in the store (SC-7): a consumer may still be reading the one before."""
SUBJECT_LIMIT = 50
"""Characters of a commit's subject in an event (GR-25)."""


class GitRepositoryRun(Run):
    """The state of the step; every field is set by the phase named beside it."""

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.auth = Auth()  # read_secret
        self.target: Target | None = None  # ask_remote
        self.fresh = False  # ask_remote: the artifact is that of the newest revision
        self.message = ""  # store_artifact: the commit's, when it is new

    @property
    def url(self) -> str:
        """The address of the repository."""
        return str(self.spec["url"])

    @property
    def timeout(self) -> float:
        """Seconds for one operation on the remote (GR-2)."""
        return seconds(self.spec, "timeout", DEFAULT_TIMEOUT)

    @property
    def prefix(self) -> str:
        """The folder of its artifacts in the store."""
        return f"artifacts/gitrepository/{self.cluster.name}/{self.ref.namespace}/{self.ref.name}/"

    @property
    def artifact(self) -> dict[str, Any]:
        """The artifact as the status shows it, or {}."""
        found: dict[str, Any] = self.status.fields.get("artifact") or {}
        return found

    def notable(self, outcome: Outcome) -> bool:
        """Whether the run record is worth keeping."""
        return not (self.fresh and outcome.state is State.READY)


class GitRepositoryController:
    """`PHASES` is the design."""

    reason = reasons.GIT_OPERATION_FAILED

    def __init__(self) -> None:
        self.phases = PHASES

    async def finalize(self, run: GitRepositoryRun) -> Outcome:
        """The artifacts go with the object (SC-7)."""
        async for blob in run.services.store.list(run.prefix):
            await run.services.store.delete(blob.name)
        return Outcome(State.GONE)

    def succeed(self, run: GitRepositoryRun) -> Outcome:
        """Ready is the summary of the others (SC-1)."""
        revision = run.artifact.get("revision", "")
        text = f"stored artifact for revision '{revision}'"
        failed_before = conditions.is_false(run.obj, "Ready")
        run.status.unmark(reasons.FETCH_FAILED, reasons.STORAGE_OPERATION_FAILED)
        run.status.mark(reasons.ARTIFACT_IN_STORAGE, "True", reasons.SUCCEEDED, text)
        run.status.mark("Ready", "True", reasons.SUCCEEDED, text)
        if failed_before and not run.message:
            run.tell(Event("Normal", reasons.SUCCEEDED, text, self.event_metadata(run)))
        interval = seconds(run.spec, "interval", 60.0)
        return Outcome(State.READY, jittered(interval, f"{run.ref}"), reasons.SUCCEEDED, revision)

    def retry_after(self, run: GitRepositoryRun) -> float | None:
        """CM-28: backoff."""
        return None

    def event_metadata(self, run: GitRepositoryRun) -> dict[str, str]:
        """CM-20."""
        return {"revision": run.artifact.get("revision", ""), "digest": run.artifact.get("digest", "")}


async def read_secret(run: GitRepositoryRun) -> None:
    """The credentials of `spec.secretRef`. FetchFailed AuthenticationFailed when there are none."""
    name = (run.spec.get("secretRef") or {}).get("name")
    if not name:
        return
    data = await run.survey.references(run.cluster).secret(run.ref.namespace, name)
    full = f"{run.ref.namespace}/{name}"
    if data is None:
        step = "create the Secret, or correct spec.secretRef"
        failure = Failure(FailureClass.SOURCE_AUTH, f"secret '{full}' not found", str(run.ref), next_step=step)
        raise Transient(reasons.AUTHENTICATION_FAILED, failure, condition=reasons.FETCH_FAILED)
    try:
        run.auth = Auth.of_secret(data, full)
    except SecretProblem as problem:
        raise Transient(reasons.AUTHENTICATION_FAILED, problem.failures, condition=reasons.FETCH_FAILED) from problem


async def ask_remote(run: GitRepositoryRun) -> None:
    """Which commit is wanted, and do we have it (GR-23)? FetchFailed GitOperationFailed."""
    try:
        refs = await ls_remote(run.url, run.auth, timeout=run.timeout)
        run.target = await _newest(run, resolve(run.spec.get("ref") or {}, refs, run.url))
    except InvalidReference as problem:
        raise Stalled(reasons.GIT_OPERATION_FAILED, problem.failures, condition=reasons.FETCH_FAILED) from problem
    except GitProblem as problem:
        raise _fetch_failed(problem) from problem
    run.revision = run.target.revision
    known = run.artifact
    same = known.get("revision") == run.revision and run.status.fields.get("observedIgnore") == run.spec.get("ignore")
    if same:
        stored = await run.services.store.stat(str(known.get("path")))
        run.fresh = stored is not None and stored.digest == known.get("digest")


async def _newest(run: GitRepositoryRun, targets: list[Target]) -> Target:
    """Of several tags of one version, the one with the newest commit (GR-24); each has to be fetched to know."""
    if len({target.commit for target in targets}) == 1:
        return targets[-1]
    moments = [
        await fetch(
            run.url,
            run.auth,
            ref=target.ref,
            commit=target.commit,
            timeout=run.timeout,
            use=lambda commit, _: commit.moment,
        )
        for target in targets
    ]
    return max(zip(moments, targets, strict=True), key=lambda pair: pair[0])[1]


def _fetch_failed(problem: GitProblem) -> Transient:
    refused = isinstance(problem, AuthenticationRefused | SecretProblem)
    reason = reasons.AUTHENTICATION_FAILED if refused else reasons.GIT_OPERATION_FAILED
    return Transient(reason, problem.failures, condition=reasons.FETCH_FAILED)


async def store_artifact(run: GitRepositoryRun) -> None:
    """Fetch, pack, upload, then point the status to it. FetchFailed, StorageOperationFailed."""
    if run.fresh or run.target is None:
        return
    run.progress(f"building artifact: new upstream revision '{run.revision}'")
    await run.keep()
    with tempfile.TemporaryDirectory(prefix="fluxless-pack-") as folder:
        archive = Path(folder) / "artifact.tar.gz"

        def use(commit: Commit, tree: Tree) -> tuple[Commit, Packed]:
            ignore = Ignore(tree.texts(FILE), run.spec.get("ignore"))
            return commit, pack(tree.files(ignore.leaves_out), archive)

        try:
            commit, packed = await fetch(
                run.url, run.auth, ref=run.target.ref, commit=run.target.commit, timeout=run.timeout, use=use
            )
        except GitProblem as problem:
            raise _fetch_failed(problem) from problem
        await _keep(run, commit, packed)


async def _keep(run: GitRepositoryRun, commit: Commit, packed: Packed) -> None:
    name = f"{run.prefix}{packed.digest.removeprefix('sha256:')}.tar.gz"
    try:
        await run.services.store.put_file(name, packed.path, packed.digest)
    except StoreUnavailable as problem:
        raise Transient(
            reasons.STORAGE_OPERATION_FAILED, problem.failures, condition=reasons.STORAGE_OPERATION_FAILED
        ) from problem
    before = run.artifact
    run.status.set(
        artifact={
            "digest": packed.digest,
            "lastUpdateTime": format_timestamp(run.services.clock()),
            "path": name,
            "revision": run.revision,
            "size": packed.size,
            "url": f"{run.services.settings.artifact_base_url}/{name}",
        },
        observedIgnore=run.spec.get("ignore"),
    )
    run.message = commit.message
    run.changes.append((f"artifact {run.revision} ({packed.files} files, {packed.size} bytes)", "stored"))
    if before.get("digest") != packed.digest:
        subject = (commit.message.strip().splitlines() or [""])[0][:SUBJECT_LIMIT]
        text = f"stored artifact for commit '{subject}'"
        metadata = {"revision": run.revision, "digest": packed.digest}
        run.tell(Event("Normal", reasons.NEW_ARTIFACT, text, metadata))


async def collect_garbage(run: GitRepositoryRun) -> None:
    """Keep the newest artifacts only (SC-7). What cannot be deleted now is deleted after the next commit."""
    if not run.message:
        return
    try:
        stored = [blob async for blob in run.services.store.list(run.prefix)]
        stored.sort(key=lambda blob: blob.modified, reverse=True)
        old = [blob for blob in stored if blob.name != run.artifact["path"]][KEPT - 1 :]
        await asyncio.gather(*(run.services.store.delete(blob.name) for blob in old))
    except StoreUnavailable:
        return


PHASES = (read_secret, ask_remote, store_artifact, collect_garbage)

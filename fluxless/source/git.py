"""The GitRepository controller: from a remote to an artifact in the store (GR and SC rows).

A step in which nothing is new costs one `ls-remote` and one look at the blob, and writes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fluxless.api import reasons
from fluxless.api.kinds import Kind
from fluxless.artifacts.ignore import FILE, Ignore
from fluxless.artifacts.pack import Packed, pack
from fluxless.git.auth import Auth, SecretProblem
from fluxless.git.errors import AuthenticationRefused, GitProblem
from fluxless.git.fetch import Commit, Tree, fetch
from fluxless.git.ls_remote import ls_remote
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.source import credentials
from fluxless.source.base import SourceController, SourceRun, collect_garbage
from fluxless.source.revision import InvalidReference, Target, resolve

SUBJECT_LIMIT = 50
"""Characters of a commit's subject in an event (GR-25)."""


class GitRepositoryRun(SourceRun):
    """The state of the step; every field is set by the phase named beside it."""

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.auth = Auth()  # read_secret
        self.target: Target | None = None  # ask_remote


class GitRepositoryController(SourceController):
    """`phases` is the design."""

    reason = reasons.GIT_OPERATION_FAILED

    @property
    def phases(self) -> Sequence[Any]:
        """The steps, in order."""
        return PHASES


async def read_secret(run: GitRepositoryRun) -> None:
    """The credentials of `spec.secretRef`. FetchFailed AuthenticationFailed when there are none."""
    name = credentials.name_of(run, "secretRef")
    if not name:
        return
    data = await credentials.secret(run, name, "secretRef")
    try:
        run.auth = Auth.of_secret(data, f"{run.ref.namespace}/{name}")
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
    run.fresh = await run.is_current()


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
    run.outdated(f"new upstream revision '{run.revision}'")
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
        subject = (commit.message.strip().splitlines() or [""])[0][:SUBJECT_LIMIT]
        await run.keep_artifact(packed, f"stored artifact for commit '{subject}'")


PHASES = (read_secret, ask_remote, store_artifact, collect_garbage)

"""The GitRepository controller: from a remote to an artifact in the store (GR and SC rows).

A step in which nothing is new costs one `ls-remote` and one look at the blob, and writes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from heapq import merge
from pathlib import Path
from typing import Any, ClassVar

from fluxless.api import reasons
from fluxless.api.failure import FailureClass
from fluxless.api.kinds import Kind
from fluxless.artifacts.ignore import FILE, Ignore
from fluxless.artifacts.pack import Packed, pack
from fluxless.git.auth import Auth
from fluxless.git.errors import GitProblem
from fluxless.git.fetch import Checkout, fetched, in_thread
from fluxless.git.ls_remote import ls_remote
from fluxless.git.tree import Tree
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.source import git_includes, git_verify
from fluxless.source.base import SourceController, SourceRun, collect_garbage
from fluxless.source.git_access import access
from fluxless.source.git_includes import Include
from fluxless.source.revision import InvalidReference, Target, resolve

SUBJECT_LIMIT = 50
"""Characters of a commit's subject in an event (GR-25)."""


class GitRepositoryRun(SourceRun):
    """The state of the step; every field is set by the phase named beside it."""

    OBSERVED: ClassVar = {
        "ignore": "observedIgnore",
        "include": "observedInclude",
        "recurseSubmodules": "observedRecurseSubmodules",
        "sparseCheckout": "observedSparseCheckout",
    }

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.auth = Auth()  # read_credentials
        self.includes: list[Include] = []  # read_credentials
        self.target: Target | None = None  # ask_remote
        self.advertised = b""  # ask_remote: what a fetch begins with

    def fetched(self, target: Target, *, recurse: bool = False) -> AbstractAsyncContextManager[Checkout]:
        """The commit, good while the context lasts. Raises `GitProblem`."""
        return fetched(
            self.url,
            self.auth,
            ref=target.ref,
            commit=target.commit,
            timeout=self.timeout,
            recurse=recurse,
            advertised=self.advertised,
        )


class GitRepositoryController(SourceController):
    """Asks the remote for the commit, and fetches, verifies and stores it when it is another one."""

    reason = reasons.GIT_OPERATION_FAILED

    @property
    def phases(self) -> Sequence[Any]:
        """The steps, in order."""
        return PHASES


async def read_credentials(run: GitRepositoryRun) -> None:
    """How to ask the remote, and what to include."""
    run.auth = await access(run)
    run.includes = git_includes.find(run)
    git_verify.forget(run)


async def ask_remote(run: GitRepositoryRun) -> None:
    """Which commit is wanted, and do we have it (GR-23)? FetchFailed GitOperationFailed."""
    try:
        ref: dict[str, Any] = run.spec.get("ref") or {}
        first, also = not run.artifact, str(ref.get("name") or "")
        refs = await ls_remote(run.url, run.auth, timeout=run.timeout, also=also, to_fetch=first)
        run.advertised = refs.advertised
        run.target = await _newest(run, resolve(ref, refs, run.url))
    except InvalidReference as problem:
        raise Stalled(reasons.GIT_OPERATION_FAILED, problem.failures, condition=reasons.FETCH_FAILED) from problem
    except GitProblem as problem:
        raise _fetch_failed(problem) from problem
    run.revision = run.target.revision
    run.fresh = await run.is_current() and not git_includes.changed(run, run.includes) and not git_verify.is_due(run)


async def _newest(run: GitRepositoryRun, targets: list[Target]) -> Target:
    """Of several tags of one version, the one with the newest commit (GR-24); each has to be fetched to know."""
    if len({target.commit for target in targets}) == 1:
        return targets[-1]
    moments: list[int] = []
    for target in targets:
        async with run.fetched(target) as found:
            moments.append(found.commit.moment)
    return max(zip(moments, targets, strict=True), key=lambda pair: pair[0])[1]


def _fetch_failed(problem: GitProblem) -> Transient:
    refused = problem.cls is FailureClass.SOURCE_AUTH
    reason = reasons.AUTHENTICATION_FAILED if refused else reasons.GIT_OPERATION_FAILED
    return Transient(reason, problem.failures, condition=reasons.FETCH_FAILED)


async def store_artifact(run: GitRepositoryRun) -> None:
    """Fetch, verify, pack, upload, then point the status to it. FetchFailed, SourceVerified, StorageOperationFailed."""
    if run.fresh or run.target is None:
        return
    if run.artifact.get("revision") != run.revision:
        run.outdated(f"new upstream revision '{run.revision}'")
    elif git_includes.changed(run, run.includes):
        run.outdated("included artifacts differ from last observed includes", "IncludeChange")
    else:
        run.outdated("checkout configuration has changed")
    await run.keep()
    target, recurse = run.target, bool(run.spec.get("recurseSubmodules"))
    with tempfile.TemporaryDirectory(prefix="fluxless-pack-") as folder:
        archive = Path(folder) / "artifact.tar.gz"
        try:
            async with run.fetched(target, recurse=recurse) as found:
                if run.spec.get("sparseCheckout"):
                    await in_thread(lambda: found.tree.keep(run.spec["sparseCheckout"]))
                await git_verify.verify(run, found)
                included = await git_includes.folders(run, run.includes)
                packed = await in_thread(lambda: _pack(found.tree, included, run.spec.get("ignore"), archive))
        except GitProblem as problem:
            raise _fetch_failed(problem) from problem
        subject = (found.commit.message.strip().splitlines() or [""])[0][:SUBJECT_LIMIT]
        run.status.set(includedArtifacts=[one.artifact for one in run.includes] or None)
        await run.keep_artifact(packed, f"stored artifact for commit '{subject}'")


def _pack(tree: Tree, included: list[tuple[Include, Path]], ignore: str | None, archive: Path) -> Packed:
    """The commit's files, and in place of those with the same path the included ones; blocking."""
    extra = {file.path: file for one, folder in included for file in git_includes.files(one, folder)}
    texts = tree.texts(FILE)
    for path, file in extra.items():
        if path.rpartition("/")[2] == FILE:
            texts[path.rpartition("/")[0]] = file.content.decode(errors="replace")
    rules = Ignore(texts, ignore)
    own = tree.files(lambda path: path in extra or rules.leaves_out(path))
    kept = (extra[path] for path in sorted(extra) if not rules.leaves_out(path))
    return pack(merge(own, kept, key=lambda file: file.path), archive)


PHASES = (read_credentials, ask_remote, store_artifact, collect_garbage)

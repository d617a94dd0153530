"""One commit of a remote as a tree of files, without a checkout: the only import of pygit2.

`libgit2` fetches with depth 1 into a bare repository in a temporary folder, in a thread, through a relay.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from fluxless.fair_slots import FairSlots
from fluxless.git import relay, ssh, submodules
from fluxless.git.auth import Auth
from fluxless.git.errors import GitProblem, ReferenceNotFound, RemoteUnavailable, public
from fluxless.git.signature import Signed, split
from fluxless.git.tree import Tree, small_object
from fluxless.limits import FETCH_BYTES, FETCH_SECONDS, FETCH_SLOTS, SUBMODULE_DEPTH, SUBMODULES

T = TypeVar("T")
OBJECT_CACHE = 32 * 1024 * 1024
"""Bytes of decoded objects that libgit2 keeps."""
# Threads of their own: the relay that feeds a fetch needs a free one of the event loop's, to look up names.
_threads = ThreadPoolExecutor(FETCH_SLOTS, thread_name_prefix="git")
_slots = FairSlots(FETCH_SLOTS)
DEPTHS = (1, 50, 0)
"""How deep to look for a commit that is no tip: 0 is all of the history."""


@dataclass(slots=True)
class _Budget:
    """What a commit and all of its submodules may take: bytes received, submodules, and time (monotonic)."""

    deadline: float
    received: int = 0
    submodules: int = 0

    def left(self) -> float:
        return max(0.1, self.deadline - time.monotonic())


@dataclass(frozen=True, slots=True)
class Commit:
    """What is known of the commit that was fetched. `moment` in seconds since the epoch."""

    id: str
    message: str
    author: str
    moment: int
    signed: Signed


@dataclass(frozen=True, slots=True)
class Tag:
    """An annotated tag."""

    id: str
    name: str
    signed: Signed


@dataclass(frozen=True, slots=True)
class Checkout:
    """A commit, the annotated tag that led to it, if one did, and its files, good while the fetch's context lasts."""

    commit: Commit
    tag: Tag | None
    tree: Tree


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work over a checkout in the threads of this room. Raises `GitProblem` for objects that are missing
    or are none of Git's: a remote sends what it likes.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, lambda: _understood(work))


def _understood(work: Callable[[], T]) -> T:
    import pygit2

    try:
        return work()
    except (
        pygit2.GitError,
        KeyError,
        AttributeError,
        TypeError,
    ) as error:  # an object that is missing, or of another kind
        words = " ".join(str(error).split())[:200]
        raise GitProblem(f"the remote has sent a broken commit: {words}", "run `git fsck` on the repository") from error


@contextlib.asynccontextmanager
async def fetched(
    url: str, auth: Auth, *, ref: str, commit: str, timeout: float, recurse: bool = False, advertised: bytes = b""
) -> AsyncIterator[Checkout]:
    """Fetch `commit`, which `ref` leads to, and with `recurse` its submodules.

    `advertised` is what `ls_remote` brought of that name. An empty `ref` fetches the commit by its id and, where the
    server does not allow that, all branches. Raises `GitProblem`. It takes no longer than `FETCH_SECONDS`.
    """
    timeout = min(timeout, FETCH_SECONDS)
    async with _slots.taken(), contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(timeout + 5):
                budget = _Budget(time.monotonic() + timeout)
                found = await _fetch(stack, url, auth, ref, commit, budget, advertised)
                if recurse:
                    await _descend(stack, found.tree, url, auth, budget, depth=1)
        except TimeoutError:
            raise RemoteUnavailable(url, f"not fetched within {timeout:.0f} s", "raise spec.timeout") from None
        yield found


async def _fetch(
    stack: contextlib.AsyncExitStack,
    url: str,
    auth: Auth,
    ref: str,
    commit: str,
    budget: _Budget,
    advertised: bytes = b"",
) -> Checkout:
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="fluxless-git-"))
    stack.push_async_callback(asyncio.to_thread, shutil.rmtree, folder, ignore_errors=True)
    if url.startswith("ssh://"):
        through = ssh.relay(url, auth, timeout=budget.left())
    else:
        through = relay.relay(url, auth, timeout=budget.left(), advertised=advertised)
    async with through as door:
        work = _Fetch(folder, door.url, public(url), budget)
        try:
            return await in_thread(lambda: work.run(ref, commit))
        except GitProblem as problem:
            raise door.problem or problem from problem


async def _descend(
    stack: contextlib.AsyncExitStack, tree: Tree, url: str, auth: Auth, budget: _Budget, *, depth: int
) -> None:
    """Put the files of submodules into the tree (GR-10)."""
    if not tree.submodules:
        return
    if depth > SUBMODULE_DEPTH:
        words = f"'{public(url)}' has submodules in submodules, deeper than {SUBMODULE_DEPTH}"
        raise GitProblem(words, "flatten them")
    budget.submodules += len(tree.submodules)
    if budget.submodules > SUBMODULES:
        raise GitProblem(f"'{public(url)}' has more than {SUBMODULES} submodules", "use fewer")
    known = submodules.read(await in_thread(lambda: tree.text(".gitmodules")), url)
    for path, commit in sorted(tree.submodules.items()):
        if path not in known:
            step = "add it to .gitmodules, or set spec.recurseSubmodules to false"
            raise GitProblem(f"submodule '{path}' of '{public(url)}' has no URL in .gitmodules", step)
        theirs = known[path]
        seen = auth.for_submodule(url, theirs)
        try:
            inner = await _fetch(stack, theirs, seen, "", commit, budget)
        except GitProblem as problem:
            raise GitProblem(
                f"submodule '{path}': {problem.failures[0].message}", problem.failures[0].next_step, problem.cls
            ) from problem
        await _descend(stack, inner.tree, theirs, seen, budget, depth=depth + 1)
        await in_thread(lambda path=path, inner=inner: tree.mount(path, inner.tree))  # type: ignore[misc]


@cache
def _settle() -> None:
    import pygit2

    pygit2.settings.cache_max_size(OBJECT_CACHE)


class _Fetch:
    """The blocking part."""

    def __init__(self, folder: Path, door: str, shown: str, budget: _Budget) -> None:
        self._folder = folder
        self._door = door
        self._shown = shown
        self._budget = budget
        self._before = budget.received

    def run(self, ref: str, commit: str) -> Checkout:
        import pygit2

        _settle()
        repository = pygit2.init_repository(str(self._folder), bare=True)
        found = self._get(repository, ref, commit)
        try:
            known = Commit(
                str(found.id),
                found.message,
                found.author.name,
                found.commit_time,
                Signed(*(part or b"" for part in found.gpg_signature)),
            )
            tag = self._tag(repository, ref)
        except (ValueError, AttributeError, TypeError, LookupError) as error:  # no author, no text, no tag
            words = f"commit '{found.id}' of '{self._shown}' is malformed"
            raise GitProblem(words, "run `git fsck` on the repository") from error
        return Checkout(known, tag, Tree(repository, found.tree, self._shown))

    def _tag(self, repository: Any, ref: str) -> Tag | None:
        import pygit2

        tip = repository.references.get("refs/fluxless/tip") if ref.startswith("refs/tags/") else None
        target = small_object(repository, tip.target, self._shown) if tip is not None else None
        if not isinstance(target, pygit2.Tag):
            return None
        return Tag(str(target.id), target.name or "", split(bytes(target.read_raw())))

    def _get(self, repository: Any, ref: str, commit: str) -> Any:
        import pygit2

        attempts = [(f"+{ref}:refs/fluxless/tip", depth) for depth in DEPTHS] if ref else []
        attempts += [(f"+{commit}:refs/fluxless/tip", 1), ("+refs/heads/*:refs/fluxless/heads/*", 0)] if not ref else []
        said = ""
        for spec, depth in attempts:
            try:
                self._fetch(repository, spec, depth)
            except pygit2.GitError as error:
                said = str(error).replace(self._door, self._shown)
                if ref:
                    break
                continue
            if commit in repository:
                return small_object(repository, pygit2.Oid(hex=commit), self._shown).peel(pygit2.Commit)
        if said and ref:
            raise RemoteUnavailable(self._shown, said)
        step = "correct spec.ref: the commit must be reachable from a branch"
        raise ReferenceNotFound(f"commit '{commit}' not found in '{self._shown}'", step)

    def _fetch(self, repository: Any, spec: str, depth: int) -> None:
        import pygit2

        stopped: list[GitProblem] = []

        class Callbacks(pygit2.RemoteCallbacks):
            def transfer_progress(callbacks, stats: Any) -> None:  # noqa: N805
                if time.monotonic() > self._budget.deadline:
                    stopped.append(RemoteUnavailable(self._shown, "not fetched in time", "raise spec.timeout"))
                self._budget.received = max(self._budget.received, self._before + stats.received_bytes)
                if self._budget.received > FETCH_BYTES:
                    limit = f"the commit is larger than {FETCH_BYTES >> 20} MiB"
                    stopped.append(GitProblem(f"'{self._shown}': {limit}", "split the repository"))
                if stopped:
                    raise stopped[0]

        remote = repository.remotes.create_anonymous(self._door)
        try:
            remote.fetch([spec], callbacks=Callbacks(), depth=depth, proxy=None)
        except GitProblem:
            raise
        except pygit2.GitError:
            if stopped:
                raise stopped[0] from None
            raise

"""One commit of a remote as a tree of files, without a checkout.

`libgit2` fetches with depth 1 into a bare repository in a temporary folder, in a process of its own, through a relay.
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
from pathlib import Path
from typing import TypeVar

from fluxless.git import objects, relay, ssh, submodules
from fluxless.git.auth import Auth
from fluxless.git.errors import GitProblem, RemoteUnavailable, public
from fluxless.git.objects import Contents, Objects
from fluxless.git.signature import Signed
from fluxless.git.tree import Tree
from fluxless.limits import FETCH_SECONDS, FETCH_SLOTS, SUBMODULE_DEPTH, SUBMODULES

T = TypeVar("T")
# Threads of their own: whoever works over a checkout may wait in them for a relay, which needs a free one of the event
# loop's, to look up names.
_threads = ThreadPoolExecutor(FETCH_SLOTS, thread_name_prefix="git")


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
    """Run blocking work over a checkout in the threads of this room. Raises `GitProblem`."""
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


@contextlib.asynccontextmanager
async def fetched(
    url: str, auth: Auth, *, ref: str, commit: str, timeout: float, recurse: bool = False, advertised: bytes = b""
) -> AsyncIterator[Checkout]:
    """Fetch `commit`, which `ref` leads to, and with `recurse` its submodules.

    `advertised` is what `ls_remote` brought of that name. An empty `ref` fetches the commit by its id and, where the
    server does not allow that, all branches. Raises `GitProblem`. It takes no longer than `FETCH_SECONDS`.
    """
    timeout = min(timeout, FETCH_SECONDS)
    async with objects.opened() as process, contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(timeout + 5):
                budget = _Budget(time.monotonic() + timeout)
                found = await _fetch(stack, process, url, auth, ref, commit, budget, advertised)
                if recurse:
                    await _descend(stack, process, found.tree, url, auth, budget, depth=1)
        except TimeoutError:
            raise RemoteUnavailable(url, f"not fetched within {timeout:.0f} s", "raise spec.timeout") from None
        yield found


async def _fetch(
    stack: contextlib.AsyncExitStack,
    process: Objects,
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
        try:
            found = await process.fetch(
                folder,
                door.url,
                public(url),
                ref=ref,
                commit=commit,
                received=budget.received,
                timeout=budget.left(),
            )
        except GitProblem as problem:
            raise door.problem or problem from problem
    budget.received = found["received"]
    identifier, message, author, moment, *signed = found["commit"]
    known = Commit(identifier, message, author, moment, _signed(*signed))
    tag = None
    if found["tag"]:
        identifier, name, *signed = found["tag"]
        tag = Tag(identifier, name, _signed(*signed))
    return Checkout(known, tag, Tree(Contents(process, folder, public(url)), found["entries"], public(url)))


def _signed(signature: str, payload: str) -> Signed:
    return Signed(signature.encode("latin-1"), payload.encode("latin-1"))


async def _descend(
    stack: contextlib.AsyncExitStack,
    process: Objects,
    tree: Tree,
    url: str,
    auth: Auth,
    budget: _Budget,
    *,
    depth: int,
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
            inner = await _fetch(stack, process, theirs, seen, "", commit, budget)
        except GitProblem as problem:
            raise GitProblem(
                f"submodule '{path}': {problem.failures[0].message}", problem.failures[0].next_step, problem.cls
            ) from problem
        await _descend(stack, process, inner.tree, theirs, seen, budget, depth=depth + 1)
        await in_thread(lambda path=path, inner=inner: tree.mount(path, inner.tree))  # type: ignore[misc]

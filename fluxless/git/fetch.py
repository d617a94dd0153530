"""One commit of a remote as a stream of files, without a checkout: the only import of pygit2.

`libgit2` fetches with depth 1 into a bare repository in a temporary folder, in a thread, through `relay.py`.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fluxless.git.auth import Auth
from fluxless.git.errors import GitProblem, ReferenceNotFound, RemoteUnavailable, public
from fluxless.git.relay import relay

T = TypeVar("T")
MAX_BYTES = 512 * 1024 * 1024
"""Bytes that one fetch may receive."""
MAX_FILES = 50_000
MAX_FILE = 128 * 1024 * 1024
"""Bytes of one file in an artifact."""
AT_ONCE = 4
"""Fetches of one worker at the same time; each may take MAX_BYTES of disk."""
# Threads of their own: the relay that feeds a fetch needs a free one of the event loop's, to look up names.
_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="git")
_slots = asyncio.Semaphore(AT_ONCE)
DEPTHS = (1, 50, 0)
"""How deep to look for a commit that is no tip: 0 is all of the history."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What is known of the commit that was fetched. `moment` in seconds since the epoch."""

    id: str
    message: str
    author: str
    moment: int


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of the commit."""

    path: str
    content: bytes
    executable: bool


class Tree:
    """The files of the commit that was fetched; only good while the fetch lasts, and only in its thread."""

    def __init__(self, repository: Any, tree: Any, shown: str) -> None:
        self._repository = repository
        self._shown = shown
        self._entries: dict[str, tuple[Any, bool]] = {}
        stack: list[tuple[str, Any]] = [("", tree)]
        while stack:
            folder, current = stack.pop()
            for entry in current:
                path = f"{folder}/{entry.name}" if folder else str(entry.name)
                if entry.filemode == 0o040000:
                    stack.append((path, repository[entry.id]))
                elif entry.filemode in (0o100644, 0o100755, 0o100664):  # links and submodules are no files (SC-9)
                    self._entries[path] = (entry.id, entry.filemode == 0o100755)

    def texts(self, name: str) -> dict[str, str]:
        """The content of every file of that name, by its folder ("" is the root)."""
        found = [path for path in self._entries if path.rpartition("/")[2] == name]
        return {path.rpartition("/")[0]: self._read(path).decode(errors="replace") for path in found}

    def files(self, leaves_out: Callable[[str], bool]) -> Iterator[File]:
        """In the order of their paths. Raises `GitProblem` for too many, or for one that is too large."""
        paths = [path for path in sorted(self._entries) if not leaves_out(path)]
        if len(paths) > MAX_FILES:
            message = f"'{self._shown}' has {len(paths)} files, more than {MAX_FILES}"
            raise GitProblem(message, "leave files out by spec.ignore or .sourceignore")
        for path in paths:
            yield File(path, self._read(path), self._entries[path][1])

    def _read(self, path: str) -> bytes:
        blob = self._repository[self._entries[path][0]]
        if blob.size > MAX_FILE:
            message = f"file '{path}' of '{self._shown}' has {blob.size >> 20} MiB, more than {MAX_FILE >> 20}"
            raise GitProblem(message, "leave it out by spec.ignore or .sourceignore")
        return bytes(blob.data)


async def fetch(
    url: str,
    auth: Auth,
    *,
    ref: str,
    commit: str,
    timeout: float,
    use: Callable[[Commit, Tree], T],
) -> T:
    """Fetch `commit`, which `ref` leads to, and hand it to `use` with its tree.

    `use` runs in a thread of its own. An empty `ref` fetches the commit by its id and, where the
    server does not allow that, all branches. Raises `GitProblem`.
    """
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="fluxless-git-"))
    try:
        async with _slots, asyncio.timeout(timeout + 5), relay(url, auth, timeout=timeout) as door:
            work = _Fetch(folder, door, public(url), time.monotonic() + timeout)
            return await asyncio.get_running_loop().run_in_executor(_threads, work.run, ref, commit, use)
    except TimeoutError:
        raise RemoteUnavailable(url, f"not fetched within {timeout:.0f} s", "raise spec.timeout") from None
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


class _Fetch:
    """The blocking part."""

    def __init__(self, folder: Path, door: str, shown: str, deadline: float) -> None:
        self._folder = folder
        self._door = door
        self._shown = shown
        self._deadline = deadline

    def run(self, ref: str, commit: str, use: Callable[[Commit, Tree], T]) -> T:
        import pygit2

        repository = pygit2.init_repository(str(self._folder), bare=True)
        found = self._get(repository, ref, commit)
        known = Commit(str(found.id), found.message, found.author.name, found.commit_time)
        return use(known, Tree(repository, found.tree, self._shown))

    def _get(self, repository: Any, ref: str, commit: str) -> Any:
        import pygit2

        attempts = [(f"+{ref}:refs/fluxless/tip", depth) for depth in DEPTHS] if ref else []
        attempts += [(f"+{commit}:refs/fluxless/tip", 1), ("+refs/heads/*:refs/fluxless/heads/*", 0)] if not ref else []
        words = ""
        for spec, depth in attempts:
            try:
                self._fetch(repository, spec, depth)
            except pygit2.GitError as error:
                words = str(error).replace(self._door, self._shown)
                if ref:
                    break
                continue
            found = repository.get(commit)
            if found is not None:
                return found.peel(pygit2.Commit)
        if words and ref:
            raise RemoteUnavailable(self._shown, words)
        step = "correct spec.ref: the commit must be reachable from a branch"
        raise ReferenceNotFound(f"commit '{commit}' not found in '{self._shown}'", step)

    def _fetch(self, repository: Any, spec: str, depth: int) -> None:
        import pygit2

        stopped: list[GitProblem] = []

        class Callbacks(pygit2.RemoteCallbacks):
            def transfer_progress(callbacks, stats: Any) -> None:  # noqa: N805
                if time.monotonic() > self._deadline:
                    stopped.append(RemoteUnavailable(self._shown, "not fetched in time", "raise spec.timeout"))
                if stats.received_bytes > MAX_BYTES:
                    limit = f"the commit is larger than {MAX_BYTES // 1024 // 1024} MiB"
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

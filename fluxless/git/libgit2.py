"""The program around libgit2, in a process of its own, and the only import of pygit2.

A pack of a few kilobytes may ask for any amount of memory and time before libgit2 has an object whose size could be
judged, and some of that memory it never gives back. So it is run here, where the kernel bounds both
(docs/decisions/git-transport.md). It is asked by `git/objects.py`, knows no credential, and calls one relay.

A question is JSON; an answer is `y` and what was asked for, or `n` and a problem as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pygit2

from fluxless.api.failure import Problem
from fluxless.disk import DiskFull, Room
from fluxless.git.errors import GitProblem, ReferenceNotFound, RemoteUnavailable
from fluxless.git.signature import Signed, split
from fluxless.git.tree import check, too_large
from fluxless.limits import (
    FETCH_BYTES,
    FETCH_SECONDS,
    GIT_MEMORY,
    GIT_OBJECT,
    MIB,
    TREE_DEPTH,
)

OBJECT_CACHE = 32 * MIB
"""Bytes of decoded objects that libgit2 keeps."""
WINDOW, WINDOWS = 32 * MIB, 128 * MIB
"""Bytes of packs that it maps into memory, at a time and all together: they count as memory here."""
PR_SET_PDEATHSIG = 1
"""Linux's prctl(2): the signal that the kernel sends when the thread that started us ends."""
DEPTHS = (1, 50, 0)
"""How deep to look for a commit that is no tip: 0 is all of the history."""
_LENGTH = struct.Struct(">I")
_FOLDER, _LINK, _FILES, _EXECUTABLE = 0o040000, 0o160000, (0o100644, 0o100755, 0o100664), 0o100755
_NO_MEMORY = "out of memory"
"""libgit2's words for it."""
_BROKEN = (pygit2.GitError, KeyError, AttributeError, TypeError, ValueError, LookupError)
"""An object that is missing, or of another kind, or none of Git's: a remote sends what it likes."""


def serve() -> None:
    """Answer questions until there are no more."""
    _end_with_parent()
    _bound(resource.RLIMIT_AS, GIT_MEMORY)
    _bound(resource.RLIMIT_CORE, 0)
    pygit2.settings.cache_max_size(OBJECT_CACHE)
    pygit2.settings.mwindow_size, pygit2.settings.mwindow_mapped_limit = WINDOW, WINDOWS
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    program = Program()
    while len(head := asked.read(_LENGTH.size)) == _LENGTH.size:
        # Whoever has asked ends us after as many seconds; this is for the case that it is no more.
        _bound(resource.RLIMIT_CPU, int(time.process_time()) + FETCH_SECONDS)
        _tell(told, program.answer(asked.read(_LENGTH.unpack(head)[0])))


def _bound(what: int, most: int) -> None:
    """For now; who has started the app may have set less."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _end_with_parent() -> None:
    """Also in the middle of an answer. Elsewhere than on Linux it notices when it has come to an end with it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _tell(told: BinaryIO, answer: bytes) -> None:
    told.write(_LENGTH.pack(len(answer)))
    told.write(answer)
    told.flush()


class Program:
    """What has been fetched, by the folder that it lies in."""

    def __init__(self) -> None:
        self._repositories: dict[str, pygit2.Repository] = {}

    def answer(self, question: bytes) -> bytes:
        """To one question."""
        asked = json.loads(question)
        try:
            if asked["do"] == "fetch":
                return b"y" + _json(self._fetch(**asked["with"]))
            if asked["do"] == "read":
                return b"y" + b"".join(self._read(**asked["with"]))
            self._repositories.clear()
            return b"y"
        except (GitProblem, DiskFull) as problem:
            failure = problem.failures[0]
            return b"n" + _json([failure.message, failure.next_step, failure.cls.value])
        except MemoryError:
            return b"n" + _json([f"it needs more than {GIT_MEMORY >> 20} MiB of memory", "split the repository", ""])
        except _BROKEN as error:
            words = " ".join(str(error).split())[:200]
            return b"n" + _json([f"it has sent a broken commit: {words}", "run `git fsck` on the repository", ""])

    def _fetch(
        self, folder: str, door: str, shown: str, ref: str, commit: str, received: int, kept: int
    ) -> dict[str, Any]:
        repository = pygit2.init_repository(folder, bare=True)
        self._repositories[folder] = repository
        fetch = _Fetch(repository, door, shown, received, Room(Path(folder), f"a commit of '{shown}'", kept))
        found = fetch.commit(ref, commit)
        known = _commit(found, shown)
        return {
            "commit": known,
            "tag": fetch.tag(ref),
            "received": fetch.received,
            "entries": list(_entries(repository, found.tree.id, shown)),
        }

    def _read(self, folder: str, files: list[tuple[str, int]]) -> Iterator[bytes]:
        repository = self._repositories[folder]
        for identifier, size in files:
            found = repository[identifier]
            content = bytes(found.data) if isinstance(found, pygit2.Blob) else b""
            if len(content) != size:
                raise ValueError(f"object {identifier} is not as large as it says")
            yield content


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")


class _Fetch:
    """From the door of a relay into an empty repository; `received` counts bytes, with those of fetches before."""

    def __init__(self, repository: pygit2.Repository, door: str, shown: str, received: int, room: Room) -> None:
        self._repository = repository
        self._door = door
        self._shown = shown
        self._before = self.received = received
        self._room = room

    def commit(self, ref: str, commit: str) -> Any:
        """Fetch it, deeper and deeper. Raises `GitProblem`."""
        attempts = [(f"+{ref}:refs/fluxless/tip", depth) for depth in DEPTHS] if ref else []
        attempts += [(f"+{commit}:refs/fluxless/tip", 1), ("+refs/heads/*:refs/fluxless/heads/*", 0)] if not ref else []
        said = ""
        for spec, depth in attempts:
            try:
                self._once(spec, depth)
            except pygit2.GitError as error:
                said = str(error).replace(self._door, self._shown)
                if said.lower() == _NO_MEMORY:
                    raise MemoryError from error
                if ref:
                    break
                continue
            if commit in self._repository:
                return small_object(self._repository, pygit2.Oid(hex=commit), self._shown).peel(pygit2.Commit)
        if said and ref:
            raise RemoteUnavailable(self._shown, said)
        step = "correct spec.ref: the commit must be reachable from a branch"
        raise ReferenceNotFound(f"commit '{commit}' not found in '{self._shown}'", step)

    def _once(self, spec: str, depth: int) -> None:
        too_large: list[Problem] = []

        class Callbacks(pygit2.RemoteCallbacks):
            def transfer_progress(callbacks, stats: Any) -> None:  # noqa: N805
                before = self.received
                self.received = max(before, self._before + stats.received_bytes)
                try:
                    if self.received > FETCH_BYTES:
                        limit = f"the commit is larger than {FETCH_BYTES >> 20} MiB"
                        raise GitProblem(f"'{self._shown}': {limit}", "split the repository")
                    self._room.take(self.received - before)
                except (GitProblem, DiskFull) as problem:
                    too_large.append(problem)
                    raise

        remote = self._repository.remotes.create_anonymous(self._door)
        try:
            remote.fetch([spec], callbacks=Callbacks(), depth=depth, proxy=None)
        except pygit2.GitError:
            if too_large:
                raise too_large[0] from None
            raise

    def tag(self, ref: str) -> list[str] | None:
        """The annotated tag that the reference is: its id and name, its signature and what that is of."""
        tip = self._repository.references.get("refs/fluxless/tip") if ref.startswith("refs/tags/") else None
        target = small_object(self._repository, tip.target, self._shown) if tip is not None else None
        if not isinstance(target, pygit2.Tag):
            return None
        return [str(target.id), target.name or "", *_signed(split(bytes(target.read_raw())))]


def _commit(found: Any, shown: str) -> list[Any]:
    """Its id, message, author, moment, signature and what that is of. Raises `GitProblem`."""
    try:
        signed = Signed(*(part or b"" for part in found.gpg_signature))
        return [str(found.id), found.message, found.author.name, found.commit_time, *_signed(signed)]
    except (ValueError, AttributeError, TypeError, LookupError) as error:  # no author, no text
        words = f"commit '{found.id}' of '{shown}' is malformed"
        raise GitProblem(words, "run `git fsck` on the repository") from error


def _signed(signed: Signed) -> tuple[str, str]:
    return signed.signature.decode("latin-1"), signed.payload.decode("latin-1")


def _entries(repository: pygit2.Repository, root: Any, shown: str) -> Iterator[list[Any]]:
    """Of all files: path, object, whether it is executable, and its size in bytes, -1 for one that is missing; of
    submodules the path and the commit.
    """
    folders = _measured(repository, root, shown)
    sizes: dict[Any, int] = {}
    stack: list[tuple[str, Any]] = [("", root)]
    while stack:
        folder, identifier = stack.pop()
        for entry in folders[identifier]:
            path = f"{folder}/{entry.name}" if folder else str(entry.name)
            if entry.filemode == _FOLDER:
                stack.append((path, entry.id))
            elif entry.filemode in _FILES:  # symbolic links are left out (SC-9)
                if entry.id not in sizes:
                    sizes[entry.id] = _size(repository, entry.id)
                yield [path, str(entry.id), entry.filemode == _EXECUTABLE, sizes[entry.id]]
            elif entry.filemode == _LINK:
                yield [path, str(entry.id)]


def _size(repository: pygit2.Repository, identifier: Any) -> int:
    try:
        return int(repository.odb.read_header(identifier)[1])
    except (pygit2.GitError, KeyError):
        return -1


def _measured(repository: pygit2.Repository, root: Any, shown: str) -> dict[Any, list[Any]]:
    """The entries of each folder that there is, once it is known what all of them amount to: each is looked at once,
    however often it is named.
    """
    folders: dict[Any, list[Any]] = {}
    size: dict[Any, tuple[int, int]] = {}
    """Of all that is below a folder: the entries, and the bytes of their paths."""
    seen = 0

    def entered(identifier: Any) -> tuple[Any, Iterator[Any]]:
        nonlocal seen
        entries = folders[identifier] = list(small_object(repository, identifier, shown))
        seen += len(entries)
        check(seen, 0, shown)
        return identifier, iter([entry for entry in entries if entry.filemode == _FOLDER])

    way = [entered(root)]
    while way:
        identifier, inner = way[-1]
        if (folder := next((entry for entry in inner if entry.id not in size), None)) is not None:
            way.append(entered(folder.id))
            if len(way) > TREE_DEPTH:
                raise too_large(shown, f"folders are deeper than {TREE_DEPTH}")
            continue
        way.pop()
        count, names = len(folders[identifier]), 0
        for entry in folders[identifier]:
            below = size.get(entry.id, (0, 0)) if entry.filemode == _FOLDER else (0, 0)
            count += below[0]
            names += len(entry.name) + below[1] + below[0] * (len(entry.name) + 1)
        size[identifier] = count, names
        check(count, names, shown)
    return folders


def small_object(repository: pygit2.Repository, identifier: Any, shown: str) -> Any:
    """A commit, tag or folder. Raises `GitProblem` for one that is too large, before it is in memory."""
    size = int(repository.odb.read_header(identifier)[1])
    if size > GIT_OBJECT:
        raise too_large(shown, f"its object {identifier} has {size >> 20} MiB, more than {GIT_OBJECT >> 20}")
    return repository[identifier]

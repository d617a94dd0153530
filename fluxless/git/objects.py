"""What libgit2 fetches and reads for us, in a process of its own (`git/libgit2.py`) for a commit and its submodules.

The processes stay for those who come next. One that fails, or takes too long, is killed, and fails alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from fluxless.api.failure import FailureClass
from fluxless.disk import DiskFull
from fluxless.git.errors import GitProblem
from fluxless.limits import ARCHIVE_FILE, DISK_KEPT, FETCH_SECONDS, FETCH_SLOTS, MIB, TREE_NAMES
from fluxless.process import Conversation, Ended
from fluxless.process_pool import ProcessPools

PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from fluxless.git.libgit2 import serve; serve()"
BATCH = 8 * MIB
"""Bytes of files that are asked for at a time, unless one alone has more."""
_LISTED = 4 * TREE_NAMES
"""Bytes of the longest answer to a fetch."""


async def _start() -> Conversation:
    return Conversation([sys.executable, "-I", "-c", PROGRAM, *_places()])


def _places() -> list[str]:
    """Where we find our own modules; the process works in another folder."""
    return [os.path.abspath(place) for place in sys.path]


_pool = ProcessPools(FETCH_SLOTS, _start).here


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[Objects]:
    """A process, for one commit and its submodules. It waits for a slot."""
    async with _pool().process() as process:
        objects = Objects(process)
        yield objects
        await objects.forget()


class Objects:
    """The objects of what is fetched, good while the context of `opened` lasts."""

    def __init__(self, process: Conversation) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._until = 0.0

    async def fetch(
        self, folder: Path, door: str, shown: str, *, ref: str, commit: str, received: int, timeout: float
    ) -> dict[str, Any]:
        """What `git/libgit2.py` says of the commit. Raises `GitProblem` or `DiskFull`, and TimeoutError after
        so many seconds.
        """
        asked: dict[str, Any] = {"folder": str(folder), "door": door, "shown": shown}
        asked |= {"ref": ref, "commit": commit, "received": received, "kept": DISK_KEPT}
        answer = await self._ask("fetch", asked, shown, timeout, _LISTED)
        self._until = time.monotonic() + FETCH_SECONDS
        found: dict[str, Any] = json.loads(answer.decode(errors="surrogatepass"))
        return found

    def read(self, folder: Path, shown: str, files: Sequence[tuple[str, int]]) -> Iterator[bytes]:
        """The contents of objects, given by id and size; blocking, in another thread than the loop's. Raises
        `GitProblem`.
        """
        for batch in _batches(files):
            asked = {"folder": str(folder), "files": batch}
            left = max(0.1, self._until - time.monotonic())
            work = self._ask("read", asked, shown, left, max(BATCH, ARCHIVE_FILE) + MIB)
            try:
                data = memoryview(asyncio.run_coroutine_threadsafe(work, self._loop).result())
            except TimeoutError:
                words = f"the files of '{shown}' are not read within {FETCH_SECONDS} s"
                raise GitProblem(words, "split the repository") from None
            at = 0
            for _, size in batch:
                yield bytes(data[at : at + size])
                at += size

    async def forget(self) -> None:
        """Let go of all that was fetched."""
        await self._ask("forget", {}, "", FETCH_SECONDS, MIB)

    async def _ask(self, what: str, asked: dict[str, Any], shown: str, timeout: float, at_most: int) -> bytes:
        question = json.dumps({"do": what, "with": asked}).encode()
        try:
            answer = await self._process.ask(question, timeout=timeout, at_most=at_most)
        except TimeoutError:
            raise
        except (Ended, OSError, ValueError) as error:
            words = f"'{shown}' cannot be read: the process for it has ended ({error})"
            raise GitProblem(words, "split the repository") from error
        if answer[:1] == b"y":
            return answer[1:]
        message, step, cls = json.loads(answer[1:])
        if cls == FailureClass.QUOTA:
            raise DiskFull(message)
        if cls:
            raise GitProblem(message, step, FailureClass(cls))
        raise GitProblem(f"'{shown}' cannot be read: {message}", step)


def _batches(files: Sequence[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    batch: list[tuple[str, int]] = []
    size = 0
    for file in files:
        if batch and size + file[1] > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file[1]
    if batch:
        yield batch


class Contents:
    """The files of one of the commits (`git.tree.Contents`)."""

    def __init__(self, objects: Objects, folder: Path, shown: str) -> None:
        self._objects = objects
        self._folder = folder
        self._shown = shown

    def read(self, files: Sequence[tuple[str, int]]) -> Iterator[bytes]:
        """See `git.tree.Contents`."""
        return self._objects.read(self._folder, self._shown, files)

"""Unpacked artifacts on a worker's disk, by digest: downloaded once for all who use them, bounded in bytes."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxless import disk, metrics
from fluxless.api.failure import Problem
from fluxless.artifacts.store import Store
from fluxless.artifacts.unpack import ArchiveProblem, unpack
from fluxless.artifacts.verified import check, digest_of, fetch
from fluxless.limits import ARCHIVE_BYTES, MIB
from fluxless.transport import session, words

log = logging.getLogger("fluxless.artifacts")
DOWNLOAD_WITHIN = 300.0
"""Seconds for an artifact that somebody else keeps."""
IN_USE = 600.0
"""Seconds since its last use during which a tree is never removed: longer than any build."""


class ArtifactCache:
    """`tree` gives the folder of an artifact. Other workers on the same disk do no harm: folders appear whole."""

    def __init__(self, store: Store, folder: Path, *, foreign: bool = False) -> None:
        self._foreign = foreign
        self._store = store
        self._folder = folder
        self._swept = False
        self._running: dict[str, asyncio.Task[Path | None]] = {}

    async def tree(self, artifact: Mapping[str, Any]) -> Path | None:
        """The unpacked files of a `status.artifact`, or None when its blob is gone. Raises `Problem`.

        With `foreign`, one that is not in the store is fetched from its URL.
        """
        digest = digest_of(artifact)
        place = self._folder / digest.replace(":", "-")
        known = await asyncio.to_thread(_touch, place)
        metrics.artifact(cached=known)
        if known:
            return place
        if digest not in self._running:
            task = asyncio.ensure_future(self._fetch(artifact, place))
            self._running[digest] = task
            task.add_done_callback(lambda _: self._running.pop(digest, None))
        return await asyncio.shield(self._running[digest])

    async def _fetch(self, artifact: Mapping[str, Any], place: Path) -> Path | None:
        """Once more when the disk was full and something could be removed. Raises `Problem`."""
        if not self._swept:
            self._swept = True
            await asyncio.to_thread(disk.sweep, self._folder)
        for last in (False, True):
            try:
                return await self._fetch_once(artifact, place)
            except (OSError, Problem) as error:
                if not disk.is_full(error):
                    raise
                removed = await asyncio.to_thread(self._make_room, everything=True)
                log.error("alert=disk-full artifact=%s %d artifacts removed", artifact["path"], removed)
                if last or not removed:
                    size = int(artifact.get("size") or 0) // MIB
                    raise disk.DiskFull.of(f"artifact {artifact['path']} ({size} MiB packed)", self._folder) from error
        raise AssertionError("two attempts")

    async def _fetch_once(self, artifact: Mapping[str, Any], place: Path) -> Path | None:
        work = self._folder / f".{place.name}-{os.getpid()}-{time.monotonic_ns()}"
        archive, tree = work / "archive", work / "tree"
        try:
            await asyncio.to_thread(tree.mkdir, parents=True)
            if not await fetch(self._store, artifact, archive):
                if not await self._get(artifact, archive):
                    return None
                await check(artifact, archive)
            await asyncio.to_thread(unpack, archive, tree)
            await asyncio.to_thread(_publish, tree, place)
            await asyncio.to_thread(self._make_room)
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
        return place

    async def _get(self, artifact: Mapping[str, Any], target: Path) -> bool:
        """An artifact that somebody else keeps (EA-1), where that is allowed."""
        import aiohttp

        url = str(artifact.get("url") or "")
        if not self._foreign or not url.startswith(("http://", "https://")):
            return False
        size = 0
        try:
            async with session(timeout=DOWNLOAD_WITHIN) as http, http.get(url) as answer:
                if answer.status != 200:
                    return False
                with disk.written(target, f"artifact {url}") as file:
                    async for data in answer.content.iter_chunked(1 << 20):
                        size += len(data)
                        if size > ARCHIVE_BYTES:
                            raise ArchiveProblem(f"artifact {url} is larger than {ARCHIVE_BYTES >> 20} MiB")
                        await asyncio.to_thread(file.write, data)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            said, step = words(error, DOWNLOAD_WITHIN)
            raise ArchiveProblem(f"artifact {url} cannot be fetched: {said}", step) from error
        return True

    async def clear(self) -> None:
        """Somebody had no room: remove all that is not in use."""
        removed = await asyncio.to_thread(self._make_room, everything=True)
        log.error("alert=disk-full %d artifacts removed", removed)

    def _make_room(self, *, everything: bool = False) -> int:
        """Remove what was not used for longest, or all of it, never what may be in use; how many artifacts."""
        entries = self._folder.iterdir() if self._folder.is_dir() else ()
        trees = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        sizes = {tree: sum(file.lstat().st_size for file in tree.rglob("*") if file.is_file()) for tree in trees}
        total, now, removed = sum(sizes.values()), time.time(), 0
        allowed = 0 if everything else disk.budget(self._folder, total)
        for tree in sorted(trees, key=lambda entry: entry.stat().st_mtime):
            if total <= allowed or now - tree.stat().st_mtime < IN_USE:
                break
            shutil.rmtree(tree, ignore_errors=True)
            total, removed = total - sizes[tree], removed + 1
        return removed


def _touch(place: Path) -> bool:
    try:
        os.utime(place)
    except FileNotFoundError:
        return False
    return True


def _publish(tree: Path, place: Path) -> None:
    try:
        tree.rename(place)
    except OSError:
        if not place.is_dir():  # otherwise another worker was first with the same files
            raise

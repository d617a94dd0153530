"""The disk of a worker is small: artifacts have a part of what is free, and what died leaves nothing for long."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fluxless import disk
from fluxless.artifacts import cache as caches
from fluxless.artifacts.cache import IN_USE, ArtifactCache
from fluxless.artifacts.directory import DirectoryStore
from fluxless.artifacts.unpack import ArchiveProblem
from fluxless.disk import DiskFull
from fluxless.limits import CACHE_BYTES, MIB
from tools.places import ROOT

OLD = 10_000.0


def packed(size: int = 10) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = size
        tar.addfile(entry, io.BytesIO(os.urandom(size)))
    return buffer.getvalue()


async def stored(store: DirectoryStore, name: str, size: int = 10) -> dict[str, Any]:
    data = packed(size)
    await store.put(name, data)
    return {"path": name, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


def aged(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Says how many bytes are free."""

    def say(count: int) -> None:
        usage = SimpleNamespace(total=count, used=0, free=count)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        monkeypatch.setattr(disk.Room, "take", lambda *_: None)

    return say


@pytest.mark.parametrize(
    ("bytes_free", "cached", "allowed"),
    [(800 * MIB, 0, 400 * MIB), (0, 200 * MIB, 100 * MIB), (100 * CACHE_BYTES, 0, CACHE_BYTES)],
)
def test_artifacts_have_half_of_the_disk_that_is_free(
    free: Callable[[int], None], tmp_path: Path, bytes_free: int, cached: int, allowed: int
) -> None:
    free(bytes_free)
    assert disk.budget(tmp_path, cached) == allowed


async def test_what_was_not_used_for_longest_goes_first(free: Callable[[int], None], tmp_path: Path) -> None:
    store, cache = DirectoryStore(tmp_path / "store"), ArtifactCache(DirectoryStore(tmp_path / "store"), tmp_path / "c")
    free(10 * MIB)
    trees = [await cache.tree(await stored(store, name, MIB)) for name in ("a", "b", "c")]
    for tree, seconds in zip(trees, (3000.0, 2000.0, 1000.0), strict=True):
        assert tree is not None
        aged(tree, IN_USE + seconds)
    free(MIB)  # half of one and of four cached ones: two and a half
    assert await cache.tree(await stored(store, "d", MIB)) is not None
    assert [tree is not None and tree.exists() for tree in trees] == [False, False, True]


class FullStore(DirectoryStore):
    """One whose disk is full for the next `times` downloads."""

    def __init__(self, root: Path, times: int) -> None:
        super().__init__(root)
        self.times = times

    async def get_file(self, name: str, path: Path) -> bool:
        if self.times:
            self.times -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return await super().get_file(name, path)


async def test_a_full_disk_is_cleared_and_tried_once_more(tmp_path: Path) -> None:
    store = FullStore(tmp_path / "store", 0)
    cache = ArtifactCache(store, tmp_path / "c")
    old = await cache.tree(await stored(store, "old"))
    assert old is not None
    aged(old, IN_USE + 1)
    store.times = 1
    assert await cache.tree(await stored(store, "new")) is not None
    assert not old.exists()


async def test_what_is_in_use_is_never_removed_and_the_artifact_is_named(tmp_path: Path) -> None:
    store = FullStore(tmp_path / "store", 0)
    cache = ArtifactCache(store, tmp_path / "c")
    used = await cache.tree(await stored(store, "used"))
    store.times = 5
    with pytest.raises(DiskFull, match=r"no room for artifact new .* MiB are free"):
        await cache.tree(await stored(store, "new"))
    assert used is not None
    assert used.exists()


async def test_a_disk_that_is_full_while_unpacking_is_no_broken_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(*_: Any) -> int:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise ArchiveProblem("archive cannot be read") from error

    monkeypatch.setattr(caches, "unpack", unpack)
    store = DirectoryStore(tmp_path / "store")
    with pytest.raises(DiskFull):
        await ArtifactCache(store, tmp_path / "c").tree(await stored(store, "new"))


async def test_what_workers_that_died_have_left_is_swept_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, folder = tmp_path / "tmp", tmp_path / "c"
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(temporary))
    dead, young, others = temporary / "fluxless-git-x", temporary / "fluxless-git-y", temporary / "fluxless-env-z"
    work = folder / ".sha256-0-1-2"
    for place in (dead, young, others, work):
        (place / "inner").mkdir(parents=True)
    for place in (dead, others, work):
        aged(place, OLD)
    store = DirectoryStore(tmp_path / "store")
    assert await ArtifactCache(store, folder).tree(await stored(store, "a")) is not None
    assert [place.exists() for place in (dead, young, others, work)] == [False, True, True, False]


def test_every_folder_that_a_step_makes_is_known_to_the_sweep() -> None:
    made: set[str] = set()
    for file in (ROOT / "fluxless").rglob("*.py"):
        if "cli" not in file.parts:
            made |= set(re.findall(r'prefix="(fluxless-[a-z]+-)"', file.read_text()))
    assert made == set(disk.PREFIXES)

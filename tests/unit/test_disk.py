"""All who write to a worker's disk share it: none of them fills it, whatever each may take by its own bound."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from fluxless.artifacts.pack import pack
from fluxless.artifacts.unpack import unpack
from fluxless.disk import DiskFull, written
from fluxless.git import objects
from fluxless.git.auth import Auth
from fluxless.git.fetch import fetched
from fluxless.limits import ARCHIVE_BYTES, DISK_KEPT, FETCH_BYTES, FETCH_SLOTS, MIB
from tests.support.repositories import Repo


@dataclass
class SmallDisk:
    """One of `total` bytes: free is what the files below a folder leave, of which `most` is what they had at most."""

    folder: Path
    total: int
    most: int = 0

    def usage(self, _: Path) -> SimpleNamespace:
        used = 0
        for path in self.folder.rglob("*"):
            try:
                used += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue
        self.most = max(self.most, used)
        return SimpleNamespace(total=self.total, used=used, free=max(0, self.total - used))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallDisk:
    """All temporary files are on it."""
    found = SmallDisk(tmp_path / "disk", DISK_KEPT + 8 * MIB)
    found.folder.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", found.usage)
    monkeypatch.setattr(tempfile, "tempdir", str(found.folder))
    return found


def test_the_bounds_of_a_few_are_more_than_there_is() -> None:
    """Which is why nobody goes by its own alone: Flex Consumption documents 0.8 GB."""
    assert ARCHIVE_BYTES + FETCH_SLOTS * FETCH_BYTES > 800 * MIB


def test_many_who_write_at_once_never_have_more_than_there_is(small: SmallDisk) -> None:
    small.total = DISK_KEPT + 20 * MIB
    chunk = os.urandom(MIB // 4)

    def write(number: int) -> str:
        try:
            with written(small.folder / str(number), f"fetch {number}") as file:
                for _ in range(4 * 10):
                    file.write(chunk)
        except DiskFull as full:
            return str(full)
        return ""

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(write, range(8)))
    small.usage(small.folder)
    assert 0 < small.most < small.total
    assert sum(map(bool, told)) >= 5, "eighty are wanted, where there are twenty"
    for number, words in enumerate(told):
        assert not words or f"no room for fetch {number} on the worker's disk, where " in words
    with written(small.folder / "later", "what comes later") as file, pytest.raises(DiskFull):
        file.write(chunk * 100)
    for number in range(8):
        (small.folder / str(number)).unlink()
    with written(small.folder / "later", "what comes later") as file:
        file.write(chunk)


async def test_a_fetch_from_git_ends_before_the_disk_is_full(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another process that writes, and it looks at the real disk: here all of that is to stay free."""
    repo.push({f"{number}": os.urandom(MIB // 2).hex() for number in range(8)})
    began = time.monotonic()
    with monkeypatch.context() as full:
        full.setattr(objects, "DISK_KEPT", 1 << 60)
        with pytest.raises(DiskFull, match=f"no room for a commit of '{repo.url}' on the worker's disk, where "):
            async with fetched(repo.url, Auth(), ref="refs/heads/main", commit=repo.head, timeout=120):
                pass
    assert time.monotonic() - began < 60, "it is told when it is known, not when the time is over"
    async with fetched(repo.url, Auth(), ref="refs/heads/main", commit=repo.head, timeout=120) as found:
        assert found.commit.id == repo.head


def test_an_archive_is_unpacked_as_far_as_there_is_room(small: SmallDisk, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for number in range(20):
            entry = tarfile.TarInfo(str(number))
            entry.size = MIB
            tar.addfile(entry, io.BytesIO(bytes(MIB)))
    archive = tmp_path / "layer"
    archive.write_bytes(buffer.getvalue())
    target = small.folder / "tree"
    target.mkdir()
    with pytest.raises(DiskFull, match="no room for what is in layer"):
        unpack(archive, target)
    small.usage(target)
    assert 0 < small.most < small.total


@dataclass(frozen=True)
class Noise:
    """A file that does not compress."""

    path: str
    executable: bool = False

    @property
    def content(self) -> bytes:
        return os.urandom(MIB)


def test_an_artifact_is_packed_as_far_as_there_is_room(small: SmallDisk) -> None:
    with pytest.raises(DiskFull, match="no room for an artifact that is packed"):
        pack((Noise(str(number)) for number in range(20)), small.folder / "artifact.tar.gz")
    small.usage(small.folder)
    assert 0 < small.most < small.total

"""The worker's disk: how much of it artifacts may have, what is left free by all who write, and what workers that died
have left on it. Blocking.

Flex Consumption documents 0.8 GB of temporary storage for all workers of an instance, less than what a few objects may
each take by their own bounds. So nothing here is a constant, and nobody is promised room: whoever writes much asks what
is free as it goes, and ends with an error that names what it was, before the disk is full for everybody.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.limits import CACHE_BYTES, DISK_KEPT, MIB

SHARE = 0.5
"""Of what is free, for artifacts: the rest is for what is fetched, packed and rendered meanwhile."""
STEP = MIB
"""Bytes written between two looks at what is free: far less than what is kept free, by however many write at once."""
LEFTOVER = 3600.0
"""Seconds since its last change after which a folder is nobody's any more: an activity ends within half an hour."""
PREFIXES = (
    *("fluxless-git-", "fluxless-pack-", "fluxless-oci-", "fluxless-layout-", "fluxless-bucket-", "fluxless-chart-"),
    *("fluxless-generator-", "fluxless-build-", "fluxless-helm-", "fluxless-release-", "fluxless-sops-"),
    *("fluxless-notation-", "fluxless-tls-"),
)
"""Of the folders that steps make in the folder for temporary files, and remove themselves unless they die."""
_FULL = {errno.ENOSPC, errno.EDQUOT}


class DiskFull(Problem):
    """There is no room on the worker's disk."""

    def __init__(self, words: str) -> None:
        step = "leave files out by spec.ignore, split the source, or give the app a plan with more temporary storage"
        super().__init__(Failure(FailureClass.QUOTA, words, next_step=step))

    @classmethod
    def of(cls, what: str, folder: Path) -> DiskFull:
        """That for `what` there is none below the folder."""
        free = shutil.disk_usage(folder).free // MIB
        return cls(f"no room for {what} on the worker's disk, where {free} MiB are free")


class Room:
    """The room for one thing that is written below a folder; `what` names it in the error, `kept` bytes stay free."""

    def __init__(self, folder: Path, what: str, kept: int = DISK_KEPT) -> None:
        self._folder = folder
        self._what = what
        self._kept = kept
        self._unseen = STEP

    def take(self, size: int) -> None:
        """So many bytes are about to be written. Raises `DiskFull` when that would leave too little."""
        self._unseen += size
        if self._unseen < STEP:
            return
        if shutil.disk_usage(self._folder).free - size < self._kept:
            raise DiskFull.of(self._what, self._folder)
        self._unseen = 0


class Roomy:
    """A file for which there is room as long as it is written. Made by `written`."""

    def __init__(self, file: IO[bytes], room: Room) -> None:
        self._file = file
        self._room = room

    def write(self, data: bytes) -> int:
        """Raises `DiskFull`."""
        self._room.take(len(data))
        return self._file.write(data)

    def flush(self) -> None:
        """As of a file."""
        self._file.flush()

    def tell(self) -> int:
        """As of a file."""
        return self._file.tell()


@contextlib.contextmanager
def written(path: Path, what: str = "") -> Iterator[Roomy]:
    """A new file, to be written once; `what` names it in the error, else its name does."""
    with path.open("wb") as file:
        yield Roomy(file, Room(path.parent, what or path.name))


def budget(folder: Path, cached: int) -> int:
    """Bytes that unpacked artifacts may have, where they have `cached` now."""
    return min(CACHE_BYTES, int((shutil.disk_usage(folder).free + cached) * SHARE))


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is that of a disk without room."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in _FULL):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def sweep(cache: Path) -> int:
    """Remove what workers that died have left; how many folders."""
    before = time.time() - LEFTOVER
    temporary = Path(tempfile.gettempdir())
    found = [folder for prefix in PREFIXES for folder in temporary.glob(f"{prefix}*")]
    found += [folder for folder in cache.glob(".*") if cache.is_dir()]
    swept = 0
    for folder in found:
        with contextlib.suppress(OSError):  # another worker is sweeping as well
            if folder.is_dir() and not folder.is_symlink() and folder.stat().st_mtime < before:
                shutil.rmtree(folder, ignore_errors=True)
                swept += 1
    return swept

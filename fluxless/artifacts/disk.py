"""The worker's disk: how much of it artifacts may have, and what workers that died have left on it. Blocking.

Flex Consumption documents 0.8 GB of temporary storage for all workers of an instance: nothing here is a constant.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import time
from pathlib import Path

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.limits import CACHE_BYTES, MIB

SHARE = 0.5
"""Of what is free, for artifacts: the rest is for what is fetched, packed and rendered meanwhile."""
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

    def __init__(self, what: str, folder: Path) -> None:
        free = shutil.disk_usage(folder).free // MIB
        text = f"no room for {what} on the worker's disk, where {free} MiB are free"
        step = "leave files out by spec.ignore, split the source, or give the app a plan with more temporary storage"
        super().__init__(Failure(FailureClass.QUOTA, text, next_step=step))


def budget(folder: Path, cached: int) -> int:
    """Bytes that unpacked artifacts may have, where they have `cached` now."""
    return min(CACHE_BYTES, int((shutil.disk_usage(folder).free + cached) * SHARE))


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is that of a disk without room."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, OSError) and error.errno in _FULL:
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

"""The package as a deployment leaves it: unpacked, read-only, without a single executable bit."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def unpacked(archive: Path, folder: Path) -> Iterator[Path]:
    """The files of the zip in `folder`, which can be deleted again afterwards."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
    everything = [folder, *folder.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield folder
    finally:
        for path in everything:
            if path.is_dir():
                path.chmod(0o755)

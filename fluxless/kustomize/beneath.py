"""The files of one build: an artifact that is only read, and what stands in the place of some of its files, in memory.

Reading stays beneath the artifact's root, wherever links lead. What kustomize reads is no matter of this room: its
process has a wall of its own.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from fluxless import limits
from fluxless.kustomize.problems import BuildProblem


class Files:
    """Paths are absolute and below `root`, which is the artifact's folder without links. Blocking."""

    def __init__(self, root: Path, changed: Mapping[str, bytes] | None = None) -> None:
        self.root = root.resolve()
        self._changed = dict(changed or {})

    @property
    def changed(self) -> Mapping[str, bytes]:
        """What stands in the place of files, by path below the root."""
        return self._changed

    def is_file(self, path: Path) -> bool:
        """Whether there is a file, or a link to one."""
        return self._name(path) in self._changed or path.is_file()

    def read(self, path: Path) -> bytes:
        """What stands in a file. Raises `BuildProblem` when that is outside of the root, no file or large; OSError."""
        if (name := self._name(path)) in self._changed:
            return self._changed[name]
        real = self._inside(path, path)
        file = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as opened:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise BuildProblem(f"{path.name!r} is no file", "correct the path", self.shown(path))
            if found.st_size > limits.BUILD_FILE:
                size = f"{limits.BUILD_FILE >> 20} MiB"
                raise BuildProblem(f"{path.name!r} is larger than {size}", "make it smaller", self.shown(path))
            return opened.read(limits.BUILD_FILE)

    def text(self, path: Path) -> str:
        """The same as text; bytes that are none become marks."""
        return self.read(path).decode(errors="replace")

    def write(self, path: Path, data: bytes) -> None:
        """Have this stand in the place of a file or link. Raises `BuildProblem` outside of the root or for too much."""
        self._inside(path.parent, path)
        self._changed[self._name(path)] = data
        if sum(map(len, self._changed.values())) > limits.BUILD_FILE:
            size = f"{limits.BUILD_FILE >> 20} MiB"
            raise BuildProblem(f"encrypted files and kustomizations are larger than {size}", "split the path")

    def copied(self, place: Path) -> Files:
        """The same over a private copy (hard links) that more files can be put into."""
        try:
            shutil.copytree(self.root, place, symlinks=True, copy_function=os.link)
        except (OSError, shutil.Error):  # another file system
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(self.root, place, symlinks=True)
        return Files(place, self._changed)

    def shown(self, path: Path) -> str:
        """A path as users know it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def _name(self, path: Path) -> str:
        parent = resolved(path.parent)
        return os.path.normpath(self.shown(parent / path.name if parent is not None else path))

    def _inside(self, wanted: Path, path: Path) -> Path:
        real = resolved(wanted)
        if real is None or not real.is_relative_to(self.root):
            step = "use a file inside the source, and no link that leads out of it"
            raise BuildProblem(f"{path.name!r} leaves the artifact", step, self.shown(path))
        return real


def resolved(path: Path) -> Path | None:
    """Where links lead; None for what is no path of a file system, and for links in a circle."""
    try:
        real = path.resolve()
        real.exists()
    except (OSError, ValueError, RuntimeError):
        return None
    return real

"""Files of a build's folder that we read and write ourselves: always beneath its root, wherever links lead.

What kustomize reads is no matter of this room: its process has a wall of its own.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fluxless import limits
from fluxless.kustomize.problems import BuildProblem


def read(root: Path, path: Path) -> bytes:
    """What stands in a file. Raises `BuildProblem` when that is outside of the root, no file or too large; OSError."""
    real = _inside(root, path.resolve(), path)
    file = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as opened:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise BuildProblem(f"{path.name!r} is no file", "correct the path", _shown(root, path))
        if found.st_size > limits.BUILD_FILE:
            size = f"{limits.BUILD_FILE >> 20} MiB"
            raise BuildProblem(f"{path.name!r} is larger than {size}", "make it smaller", _shown(root, path))
        return opened.read(limits.BUILD_FILE)


def read_text(root: Path, path: Path) -> str:
    """The same as text; bytes that are none become marks."""
    return read(root, path).decode(errors="replace")


def replace(root: Path, path: Path, data: bytes) -> None:
    """Write a file anew: it may be shared with the cache, or be a link. Raises `BuildProblem` outside of the root."""
    target = _inside(root, path.parent.resolve(), path) / path.name
    target.unlink(missing_ok=True)
    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as opened:
        opened.write(data)


def _inside(root: Path, real: Path, path: Path) -> Path:
    if not real.is_relative_to(root.resolve()):
        step = "use a file inside the source, and no link that leads out of it"
        raise BuildProblem(f"{path.name!r} leaves the artifact", step, _shown(root, path))
    return real


def _shown(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name

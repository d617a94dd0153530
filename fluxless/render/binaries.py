"""Where the Go binaries are: an app setting, the package's `bin` folder, the tools' cache, or PATH.

The package may have lost its executable bits, and its folder is read-only on Functions, so a shipped binary is copied
to the temp folder first.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from fluxless.process import ProcessProblem

PROGRAM = "fluxless-kustomize"
"""Our own: it builds, post-renders, and starts the others."""
SHIPPED = Path(__file__).resolve().parents[2] / "bin"


def trust() -> dict[str, str]:
    """What a child is told of the network: the authorities of the app's own environment."""
    return {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ}


def setting_of(name: str) -> str:
    """The app setting that names another path of a binary; our own are called `fluxless-…`."""
    return f"FLUXLESS_{name.removeprefix('fluxless-').upper()}"


async def binary(name: str) -> Path:
    """The path of an executable. Raises `ProcessProblem` that says how to get one."""
    return await asyncio.to_thread(_find, name)


@lru_cache(maxsize=8)
def _find(name: str) -> Path:
    setting = setting_of(name)
    if configured := os.environ.get(setting):
        path = Path(configured)
        if not path.is_file():
            raise ProcessProblem(f"{setting} names {configured}, which does not exist", "correct the app setting")
        return path
    shipped = SHIPPED / name
    if shipped.is_file():
        return shipped if os.access(shipped, os.X_OK) else _executable_copy(shipped)
    if found := shutil.which(name):
        return Path(found)
    raise ProcessProblem(f"there is no {name} binary", f"ship one in bin/{name}, or set {setting} to its path")


def _executable_copy(shipped: Path) -> Path:
    data = shipped.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    target = Path(tempfile.gettempdir()) / f"fluxless-{shipped.name.removeprefix('fluxless-')}-{digest[:16]}"
    if not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() != digest:
        handle, temporary = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o755)
        Path(temporary).replace(target)
    return target

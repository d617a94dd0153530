"""Makes the tarball of an artifact: the same files give the same bytes, whoever packs them and when (SC-9)."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from fluxless.disk import Roomy, written


class File(Protocol):
    """A regular file of a source; an artifact holds nothing else (SC-9)."""

    @property
    def path(self) -> str:
        """Relative to the root of the source."""
        ...

    @property
    def content(self) -> bytes:
        """All of it."""
        ...

    @property
    def executable(self) -> bool:
        """Whether its owner may execute it."""
        ...


@dataclass(frozen=True, slots=True)
class Packed:
    """A tarball on disk. `digest` as `sha256:<hex>`, `size` in bytes."""

    path: Path
    digest: str
    size: int
    files: int


def pack(files: Iterable[File], target: Path) -> Packed:
    """Write the gzipped tar of the files, in the order given; blocking. Times, owners and the umask play no part."""
    count = 0
    with written(target, "an artifact that is packed") as raw:
        writer = _Hashing(raw)
        with (
            gzip.GzipFile(
                filename="", mode="wb", compresslevel=6, fileobj=cast("IO[bytes]", writer), mtime=0
            ) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            folders: set[str] = set()
            for file in files:
                for folder in _folders(file.path):
                    if folder not in folders:
                        folders.add(folder)
                        entry = tarfile.TarInfo(folder)
                        entry.type, entry.mode = tarfile.DIRTYPE, 0o750
                        tar.addfile(entry)
                entry = tarfile.TarInfo(file.path)
                entry.mode, entry.size = 0o700 if file.executable else 0o600, len(file.content)
                tar.addfile(entry, io.BytesIO(file.content))
                count += 1
    return Packed(target, f"sha256:{writer.digest.hexdigest()}", writer.size, count)


def _folders(path: str) -> list[str]:
    """`a`, `a/b` for `a/b/c`."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


class _Hashing:
    """Passes bytes on to a file and digests them on the way."""

    def __init__(self, file: Roomy) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

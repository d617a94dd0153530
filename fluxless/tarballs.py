"""The entries of a gzipped tarball that may come from anybody, one after the other, in bounded memory.

Python's `tarfile` reads the extended headers of an entry (PAX, GNU's long names) at once, of whatever size they say,
and remembers every entry that it has seen; a few kilobytes of gzip may stand for gigabytes of them.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import IO, NoReturn, cast

from fluxless.limits import ARCHIVE_BYTES, ARCHIVE_NAME, TAR_READ, TREE_DEPTH

CHUNK = TAR_READ
"""Bytes that callers read of an entry at once, at most."""


def entries(
    archive: Path | IO[bytes], *, max_bytes: int = 2 * ARCHIVE_BYTES
) -> Generator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Each entry, and the content of one that is a regular file; blocking. `max_bytes` counts headers and padding as
    well. Raises `tarfile.TarError`, EOFError or OSError for one that is broken or too large.
    """
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(archive.open("rb")) if isinstance(archive, Path) else archive
        unzipped = stack.enter_context(gzip.GzipFile(fileobj=raw))
        stream = cast("IO[bytes]", _Bounded(io.BufferedReader(cast("io.RawIOBase", unzipped), CHUNK), max_bytes))
        tar = stack.enter_context(tarfile.open(fileobj=stream, mode="r:", tarinfo=_Dense))
        while (entry := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]
            if len(entry.name) > ARCHIVE_NAME or entry.name.count("/") > TREE_DEPTH:
                raise tarfile.ReadError(f"the path {entry.name[:64]!r}… is too long or too deep")
            yield entry, tar.extractfile(entry) if entry.isreg() else None


class _Dense(tarfile.TarInfo):
    """An entry whose content stands there as it is: the map of a sparse one is read at once, however long it says."""

    def _refused(self, *_: object) -> NoReturn:
        raise tarfile.ReadError("it has a sparse file (GNU's extension)")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refused


class _Bounded:
    """A stream that only goes forward, gives no more than a chunk at once, and ends somewhere."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """At most a chunk."""
        if not 0 <= size <= CHUNK:
            raise tarfile.ReadError(f"it has a header of more than {CHUNK} bytes")
        return self._more(size)

    def seek(self, position: int) -> int:
        """Forward only; by reading, so that what is passed over counts as well."""
        if position < self._at:
            raise tarfile.ReadError("it does not go forward")
        while self._at < position:
            if not self._more(min(position - self._at, CHUNK)):
                raise tarfile.ReadError("unexpected end of data")
        return position

    def tell(self) -> int:
        """The place in the unpacked stream."""
        return self._at

    def _more(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except zlib.error as error:
            raise tarfile.ReadError("invalid compressed data") from error
        self._at += len(data)
        if self._at > self._limit:
            raise tarfile.ReadError(f"it unpacks to more than {self._limit >> 20} MiB")
        return data

"""A store in a folder, with the semantics of `blob.py`: for tests and for trying things out. One process at a time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from fluxless.artifacts.store import PreconditionFailed, Stored


class DirectoryStore:
    """Each blob is a file; the digest given with `put_file` lies beside it."""

    def __init__(self, root: Path) -> None:
        self._data = root / "data"
        self._digests = root / "digests"
        self._lock = asyncio.Lock()

    async def get(self, name: str) -> tuple[bytes, str] | None:
        """See `Store`."""
        return await asyncio.to_thread(self._get, name)

    async def put(self, name: str, data: bytes, *, if_match: str | None = None, only_if_absent: bool = False) -> str:
        """See `Store`."""
        async with self._lock:
            return await asyncio.to_thread(self._put, name, data, if_match, only_if_absent)

    async def put_file(self, name: str, path: Path, digest: str) -> Stored:
        """See `Store`."""

        def copy() -> Stored | None:
            target = self._data / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            note = self._digests / name
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(digest))
            return self._stat(name)

        found = await asyncio.to_thread(copy)
        assert found is not None  # noqa: S101 -- written a line ago
        return found

    async def get_file(self, name: str, path: Path) -> bool:
        """See `Store`."""
        source = self._data / name
        if not source.is_file():
            return False
        await asyncio.to_thread(shutil.copyfile, source, path)
        return True

    async def stat(self, name: str) -> Stored | None:
        """See `Store`."""
        return await asyncio.to_thread(self._stat, name)

    async def delete(self, name: str) -> None:
        """See `Store`."""
        (self._data / name).unlink(missing_ok=True)
        (self._digests / name).unlink(missing_ok=True)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """See `Store`."""
        names = await asyncio.to_thread(self._names, prefix)
        for name in names:
            found = await self.stat(name)
            if found is not None:
                yield found

    async def close(self) -> None:
        """Nothing to give back."""

    def _names(self, prefix: str) -> Sequence[str]:
        files = (path for path in self._data.rglob("*") if path.is_file())
        return sorted(name for path in files if (name := path.relative_to(self._data).as_posix()).startswith(prefix))

    def _get(self, name: str) -> tuple[bytes, str] | None:
        try:
            data = (self._data / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            return None
        return data, _etag(data)

    def _put(self, name: str, data: bytes, if_match: str | None, only_if_absent: bool) -> str:
        known = self._get(name)
        if only_if_absent and known is not None:
            raise PreconditionFailed(name)
        if if_match is not None and (known is None or known[1] != if_match):
            raise PreconditionFailed(name)
        target = self._data / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return _etag(data)

    def _stat(self, name: str) -> Stored | None:
        known = self._get(name)
        if known is None:
            return None
        note = self._digests / name
        digest = json.loads(note.read_text()) if note.is_file() else ""
        modified = (self._data / name).stat().st_mtime
        return Stored(name, len(known[0]), known[1], digest, modified)


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'

"""A store that counts what it is asked: what a plan or a webhook costs. What a worker's meter writes now and then is
left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from fluxless.artifacts.store import Store, Stored
from fluxless.engine.metering import FOLDER


class CountingStore:
    """Another store, with a count of requests by verb."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: Counter[str] = Counter()

    def since(self) -> dict[str, int]:
        """What was asked since the last call."""
        found, self._asked = dict(self._asked), Counter()
        return found

    def _note(self, verb: str, name: str) -> None:
        if not name.startswith(FOLDER):
            self._asked[verb] += 1

    async def get(self, name: str) -> tuple[bytes, str] | None:
        """See `Store`."""
        self._note("get", name)
        return await self._store.get(name)

    async def put(self, name: str, data: bytes, *, if_match: str | None = None, only_if_absent: bool = False) -> str:
        """See `Store`."""
        self._note("put", name)
        return await self._store.put(name, data, if_match=if_match, only_if_absent=only_if_absent)

    async def put_file(self, name: str, path: Path, digest: str) -> Stored:
        """See `Store`."""
        self._note("put", name)
        return await self._store.put_file(name, path, digest)

    async def get_file(self, name: str, path: Path) -> bool:
        """See `Store`."""
        self._note("get", name)
        return await self._store.get_file(name, path)

    async def stat(self, name: str) -> Stored | None:
        """See `Store`."""
        self._note("stat", name)
        return await self._store.stat(name)

    async def delete(self, name: str) -> None:
        """See `Store`."""
        self._note("delete", name)
        await self._store.delete(name)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """See `Store`."""
        self._note("list", prefix)
        async for blob in self._store.list(prefix):
            yield blob

    async def close(self) -> None:
        """See `Store`."""
        await self._store.close()

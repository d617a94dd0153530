"""The store seam: named byte blobs with ETags. `blob.py` keeps them in Azure, `directory.py` in a folder.

Names are `/`-separated and never start with `/`. Everything the engine keeps outside a cluster goes through here:
artifacts, schedules, applied records, run records, heartbeats.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fluxless.api.failure import Failure, FailureClass, Problem


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store knows of a blob without reading it. `size` in bytes; `digest` as `sha256:<hex>` or empty."""

    name: str
    size: int
    etag: str
    digest: str = ""
    modified: float = 0.0
    """Seconds since the epoch."""


class StoreUnavailable(Problem):
    """The store does not answer, or refuses us: nothing can be said about the blob."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(Failure(FailureClass.INTERNAL, message, next_step=next_step))


class PreconditionFailed(Exception):
    """The blob is not at the ETag given, or exists although it should not. Callers re-read and decide."""


class Store(Protocol):
    """Named blobs. Every method may raise `StoreUnavailable`; none raises a foreign error."""

    async def get(self, name: str) -> tuple[bytes, str] | None:
        """The bytes and their ETag, or None when there is no such blob."""
        ...

    async def put(self, name: str, data: bytes, *, if_match: str | None = None, only_if_absent: bool = False) -> str:
        """Write and return the new ETag. Raises `PreconditionFailed` when `if_match` or `only_if_absent` fails."""
        ...

    async def put_file(self, name: str, path: Path, digest: str) -> Stored:
        """Upload a file in bounded memory and remember its digest with it."""
        ...

    async def get_file(self, name: str, path: Path) -> bool:
        """Download into `path` in bounded memory; False when there is no such blob. Artifacts: see `verified`."""
        ...

    async def stat(self, name: str) -> Stored | None:
        """What is known of the blob, or None."""
        ...

    async def delete(self, name: str) -> None:
        """Delete; a blob that is not there is fine."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Stored]:
        """Every blob whose name starts with `prefix`, in name order."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...

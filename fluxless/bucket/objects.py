"""The seam of the two clients, and what may go wrong in both."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fluxless.api.failure import Failure, FailureClass, Problem

MOST = 250_000
"""Objects of one bucket that are listed."""
LARGEST = 512 * 1024 * 1024
"""Bytes of one object."""


class BucketProblem(Problem):
    """The bucket could not be read. The words name the bucket, never a credential."""

    def __init__(self, message: str, next_step: str = "", cls: FailureClass = FailureClass.SOURCE_NOT_FOUND) -> None:
        super().__init__(Failure(cls, message, next_step=next_step))


class BucketRefused(BucketProblem):
    """Other credentials are wanted, or ours may too little."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message, next_step, FailureClass.SOURCE_AUTH)


class Objects(Protocol):
    """A bucket. Every method may raise `BucketProblem`, and none raises a foreign error."""

    async def index(self, prefix: str) -> dict[str, str]:
        """ETag by key, of all objects whose keys start with the prefix."""
        ...

    async def fetch(self, key: str, target: Path) -> str | None:
        """Download in bounded memory; the ETag, in the form of `index`, or None when there is no such object."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


def too_many(bucket: str) -> BucketProblem:
    """Nobody means to deploy so much."""
    return BucketProblem(f"bucket '{bucket}' has more than {MOST} objects", "narrow it by spec.prefix or spec.ignore")


def too_large(bucket: str, key: str, size: int) -> BucketProblem:
    """Likewise."""
    words = f"object '{key}' of bucket '{bucket}' has {size >> 20} MiB, more than {LARGEST >> 20}"
    return BucketProblem(words, "leave it out by spec.ignore")

"""The one way from the store to the content of an artifact: what does not have the digest of the status is not read.

Whoever can write to the storage account, or to an ExternalArtifact, would else decide what is applied.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxless.artifacts.store import Store
from fluxless.artifacts.unpack import ArchiveProblem

_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha384):([0-9a-f]{96})|(sha512):([0-9a-f]{128})")


async def fetch(store: Store, artifact: Mapping[str, Any], place: Path) -> bool:
    """Download the file of a `status.artifact`; False when it is gone. Raises `ArchiveProblem` when it is another."""
    digest_of(artifact)
    if not await store.get_file(str(artifact["path"]), place):
        return False
    await check(artifact, place)
    return True


async def check(artifact: Mapping[str, Any], place: Path) -> None:
    """Raises `ArchiveProblem`, and removes the file, unless it has the digest of the `status.artifact`."""
    wanted = digest_of(artifact)
    if await asyncio.to_thread(_digest, place, wanted.partition(":")[0]) != wanted:
        await asyncio.to_thread(place.unlink)
        words = f"artifact {artifact['path']} does not have the digest {wanted}"
        raise ArchiveProblem(words, "delete that blob and reconcile the source, which makes it again")


def digest_of(artifact: Mapping[str, Any]) -> str:
    """The digest, as `<algorithm>:<hex>`. Raises `ArchiveProblem` for anything else: it names folders as well."""
    digest = str(artifact.get("digest"))
    if _DIGEST.fullmatch(digest) is None:
        words = f"artifact {artifact.get('path')} has no digest by SHA-2: '{digest[:150]}'"
        raise ArchiveProblem(words, "correct status.artifact.digest")
    return digest


def _digest(place: Path, algorithm: str) -> str:
    with place.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"

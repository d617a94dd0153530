"""An image and what refers to it as an OCI image layout on disk, for programs that check signatures."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from fluxless.limits import NOTATION_LAYOUT, SIGNATURE_LAYERS
from fluxless.oci.client import MANIFEST_LIMIT, Registry
from fluxless.oci.errors import ContentMismatch, RegistryProblem

LIMIT = 100
"""Manifests of one type that refer to an image and are looked at."""


async def save(registry: Registry, digest: str, artifact_type: str, folder: Path) -> int:
    """Write the manifest with this digest, without its layers, and all of the manifests of `artifact_type` that refer
    to it, with theirs; how many those are. Raises `RegistryProblem`.
    """
    raw, kind = await registry.raw_manifest(digest)
    blobs, listed, size = {digest: raw}, [_entry(digest, raw, kind)], 0
    for referrer in (await registry.referrers(digest, artifact_type))[:LIMIT]:
        try:
            text, kind = await registry.raw_manifest(referrer.digest)
            manifest = await registry.manifest(referrer.digest)
            for blob in (*manifest.layers[:SIGNATURE_LAYERS], *([manifest.config] if manifest.config else [])):
                blobs[blob.digest] = await registry.blob(blob, limit=MANIFEST_LIMIT)
                size += len(blobs[blob.digest])
                if size > NOTATION_LAYOUT:
                    break
        except RegistryProblem:
            continue
        blobs[referrer.digest] = text
        listed.append(_entry(referrer.digest, text, kind))
        if size > NOTATION_LAYOUT:
            words = f"the signatures of '{registry.repository}@{digest}' have more than {NOTATION_LAYOUT >> 20} MiB"
            raise ContentMismatch(words, "delete those that are no signatures")
    await asyncio.to_thread(_write, folder, blobs, listed)
    return len(listed) - 1


def _entry(digest: str, raw: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": len(raw)}


def _write(folder: Path, blobs: dict[str, bytes], listed: list[dict[str, Any]]) -> None:
    for digest, data in blobs.items():
        algorithm, _, name = digest.partition(":")
        place = folder / "blobs" / algorithm / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))

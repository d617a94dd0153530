"""Pushes an artifact as `flux push artifact` does: one layer, Flux's media types, its origin as annotations."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxless.oci import media
from fluxless.oci.client import Registry

CHUNK = 1 << 20


async def push(
    registry: Registry,
    archive: Path,
    reference: str,
    annotations: Mapping[str, str],
    *,
    created: str,
    layer_type: str = media.FLUX_CONTENT,
    config_type: str = media.FLUX_CONFIG,
    config: bytes | None = None,
) -> str:
    """Upload a gzipped tar under a tag; the digest of its manifest. `created` is a time as in RFC 3339."""
    packed, unpacked, size = await asyncio.to_thread(_digests, archive)
    settings = config if config is not None else _config(created, unpacked)
    layer = {"mediaType": layer_type, "digest": packed, "size": size}
    settings_digest = f"sha256:{hashlib.sha256(settings).hexdigest()}"
    about = {"mediaType": config_type, "digest": settings_digest, "size": len(settings)}
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media.MANIFEST,
        "config": about,
        "layers": [layer],
        "annotations": {**annotations, media.CREATED: created},
    }
    await registry.push_blob(archive, packed, size)
    await registry.push_blob(settings, settings_digest, len(settings))
    raw = json.dumps(manifest, separators=(",", ":"), sort_keys=True).encode()
    return await registry.push_manifest(raw, media.MANIFEST, reference)


def _config(created: str, unpacked: str) -> bytes:
    """The configuration of an image that runs nowhere."""
    document = {
        "architecture": "",
        "config": {},
        "created": created,
        "history": [{}],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [unpacked]},
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _digests(archive: Path) -> tuple[str, str, int]:
    """Digest packed, digest unpacked, bytes; blocking."""
    inner = hashlib.sha256()
    with gzip.open(archive) as file:
        while chunk := file.read(CHUNK):
            inner.update(chunk)
    with archive.open("rb") as raw:
        outer = hashlib.file_digest(raw, "sha256").hexdigest()
    return f"sha256:{outer}", f"sha256:{inner.hexdigest()}", archive.stat().st_size

"""Packs charts and pushes them to a registry, as `helm package` and `helm push` do."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from fluxless.oci import media
from fluxless.oci.client import Registry
from fluxless.oci.push import push
from fluxless.oci.reference import Repository


async def push_chart(host: str, path: str, version: str, files: Mapping[str, str], folder: Path) -> str:
    """A chart, called like the last part of the path; `files` are without Chart.yaml. The digest of its manifest."""
    name = path.rpartition("/")[2]
    about = f"apiVersion: v2\nname: {name}\nversion: {version}\n"
    archive = folder / f"{name}-{version}.tgz"
    await asyncio.to_thread(_pack, archive, name, {"Chart.yaml": about, **files})
    config = json.dumps({"name": name, "version": version, "apiVersion": "v2"}).encode()
    async with Registry(Repository(host, path), push=True) as registry:
        return await push(
            registry,
            archive,
            version,
            {},
            created="2026-01-01T00:00:00Z",
            layer_type=media.HELM_CHART,
            config_type=media.HELM_CONFIG,
            config=config,
        )


def _pack(archive: Path, name: str, files: Mapping[str, str]) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    archive.write_bytes(gzip.compress(buffer.getvalue(), mtime=0))

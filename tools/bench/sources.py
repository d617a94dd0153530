"""N OCIRepositories and GitRepositories, each with a repository of its own, to Ready and through a forced no-op."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import tarfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from azure.storage.blob.aio import BlobClient

from fluxless.kube.client import Cluster
from fluxless.oci import media
from fluxless.oci.client import Registry
from fluxless.oci.push import push
from fluxless.oci.reference import Repository as Images
from tools.bench.meter import Meter, out
from tools.bench.work import OBJECTS, SOURCE, Objects, prepare
from tools.sample import Repository

KINDS = ("OCIRepository", "GitRepository")
SETTLED = 4.0
LARGE = 50_000_000
"""Bytes of the one large artifact."""


class Sources:
    """The repositories on one registry and one Git server, and the objects in one cluster."""

    def __init__(self, cluster: Cluster, folder: Path, git_root: Path, git_url: str, registry: str) -> None:
        self._cluster = cluster
        self._objects = {kind: Objects(cluster, SOURCE, kind, "source") for kind in KINDS}
        self._folder = folder
        self._git_root = git_root
        self._addresses = {"GitRepository": f"{git_url}/source", "OCIRepository": f"oci://{registry}/bench/source"}
        self._registry = registry

    async def prepare(self, count: int) -> None:
        """As many repositories of each kind."""
        await prepare(self._cluster)
        first = self._git_root / "source-0.git"
        Repository(self._folder / "sources", first).create({"podinfo/objects.yaml": OBJECTS})
        archive = self._folder / "source.tgz"
        _pack(archive, OBJECTS.encode())
        for number in range(count):
            if number:
                await asyncio.to_thread(shutil.copytree, first, self._git_root / f"source-{number}.git")
            await self.push(archive, f"bench/source-{number}")

    async def push(self, archive: Path, path: str) -> None:
        """An artifact as Flux pushes them."""
        async with Registry(Images(self._registry, path), push=True) as registry:
            notes = {media.SOURCE: "bench", media.REVISION: "main@sha1:0"}
            await push(registry, archive, "latest", notes, created="2026-01-01T00:00:00Z")

    async def create(self, kind: str, count: int) -> None:
        """The objects; until all are ready."""
        reference = {"tag": "latest"} if kind == "OCIRepository" else {"branch": "main"}
        for number in range(count):
            spec: dict[str, Any] = {"interval": "60m", "url": self._url(kind, number), "ref": reference}
            if kind == "OCIRepository":
                spec["insecure"] = True
            await self._objects[kind].apply(f"source-{number}", spec)
        await self._objects[kind].all_ready(count)

    def _url(self, kind: str, number: int) -> str:
        return f"{self._addresses[kind]}-{number}" + (".git" if kind == "GitRepository" else "")

    async def sizes(self, meter: Meter, sizes: list[int]) -> dict[tuple[str, int], tuple[float, int]]:
        """(seconds, requests) by measurement and size."""
        found: dict[tuple[str, int], tuple[float, int]] = {}
        for kind in KINDS:
            for size in sizes:
                name = f"{kind}, create"
                found[name, size] = await meter.measure(name, size, lambda k=kind, n=size: self.create(k, n))  # type: ignore[misc]
                await asyncio.sleep(SETTLED)
                name = f"{kind}, no-op"
                before = await meter.read()
                found[name, size] = await meter.measure(name, size, lambda k=kind, n=size: self._objects[k].request(n))  # type: ignore[misc]
                used = (await meter.read()).worker_cpu - before.worker_cpu
                meter.note(f"{name} {size}, worker CPU", f"{1000 * used / size:.0f} ms each")
                await asyncio.sleep(SETTLED)
                await self._objects[kind].delete_all()
                await asyncio.sleep(SETTLED)
        return found

    async def large(self, meter: Meter, connection: str, wake: str, key: str) -> None:
        """One artifact of 50 MB from the registry to Blob, beside a plain copy of the same bytes."""
        archive = self._folder / "large.tgz"
        await asyncio.to_thread(_pack, archive, os.urandom(LARGE))
        shares: list[float] = []
        objects = self._objects["OCIRepository"]
        for number in range(3):
            path = f"bench/large-{number}"
            await self.push(archive, path)
            plain = await self._plain_copy(path, connection)
            url = f"oci://{self._registry}/{path}"
            operation = {"mediaType": media.FLUX_CONTENT, "operation": "copy"}
            spec = {"interval": "60m", "url": url, "insecure": True, "layerSelector": operation}
            before = meter.memory()
            await objects.apply(f"large-{number}", spec)
            began = time.monotonic()
            async with aiohttp.ClientSession() as http, http.post(wake, headers={"x-functions-key": key}) as answer:
                answer.raise_for_status()
            await objects.all_ready(number + 1, pause=0.02)
            ours = time.monotonic() - began
            shares.append(plain / ours)
            grown = meter.memory() - before
            out.print(f"large artifact: {ours:.2f} s, plain copy {plain:.2f} s, worker grew by {grown} MiB")
        text = ", ".join(f"{share:.2f}" for share in shares)
        meter.note("50 MB from registry to Blob", f"{text} of a plain copy's speed", f"{meter.memory()} MiB")
        await objects.delete_all()

    async def _plain_copy(self, path: str, connection: str) -> float:
        """Seconds to stream the blob out of the registry and into Blob."""
        began = time.monotonic()
        async with Registry(Images(self._registry, path)) as registry:
            manifest = await registry.manifest("latest")
        address = f"http://{self._registry}/v2/{path}/blobs/{manifest.layers[0].digest}"
        blob = BlobClient.from_connection_string(connection, "fluxless", "bench-plain-copy")
        async with blob, aiohttp.ClientSession() as http, http.get(address) as answer:
            answer.raise_for_status()
            await blob.upload_blob(answer.content.iter_chunked(4 << 20), overwrite=True)
        return time.monotonic() - began


def _pack(archive: Path, data: bytes) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        entry = tarfile.TarInfo("objects.yaml")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))

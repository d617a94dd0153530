"""Charts, and a repository of them over HTTP, for tests."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import yaml
from aiohttp import web

from fluxless.oci import media
from tests.support.registry import Images

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"


def files_of(name: str, version: str, files: Mapping[str, str] | None = None, **metadata: Any) -> dict[str, str]:
    """A chart as files below its own folder."""
    about = {"apiVersion": "v2", "name": name, "version": version, **metadata}
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n"
    base = {"Chart.yaml": yaml.safe_dump(about), "values.yaml": "a: 1\nb: {c: 2}\n", "templates/x.yaml": template}
    return base | dict(files or {})


def packed(
    name: str,
    version: str,
    files: Mapping[str, str] | None = None,
    more: Mapping[str, bytes] | None = None,
    **metadata: Any,
) -> bytes:
    """A chart as `helm package` makes it; `more` are files that are no text."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        texts = files_of(name, version, files, **metadata)
        for path, data in {**{path: text.encode() for path, text in texts.items()}, **(more or {})}.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


class ChartServer:
    """`asked` are the paths that were fetched, with who asked."""

    def __init__(self, username: str = "", password: str = "") -> None:
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._wanted = f"Basic {pair}" if username else ""
        self._charts: dict[str, bytes] = {}
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self.index: str | None = None
        self.asked: list[tuple[str, str]] = []

    async def start(self, tls: Any = None) -> str:
        app = web.Application()
        app.router.add_get("/charts/{name:.*}", self._serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}/charts"
        return self.url

    async def stop(self) -> None:
        await self._runner.cleanup()

    def add(self, name: str, version: str, data: bytes | None = None, *, url: str = "", **entry: Any) -> None:
        """Publish a chart."""
        data = packed(name, version) if data is None else data
        file = f"{name}-{version}.tgz"
        self._charts[file] = data
        digest = hashlib.sha256(data).hexdigest()
        fields = {"name": name, "version": version, "apiVersion": "v2", "urls": [url or file], "digest": digest}
        self._entries.setdefault(name, []).append(fields | {"created": "2026-01-01T00:00:00Z"} | entry)

    async def _serve(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        header = request.headers.get("Authorization", "")
        self.asked.append((name, header))
        if self._wanted and header != self._wanted:
            return web.Response(status=401)
        if name == "index.yaml":
            index = {"apiVersion": "v1", "entries": self._entries, "generated": "2026-01-01T00:00:00Z"}
            return web.Response(text=yaml.safe_dump(index) if self.index is None else self.index)
        if name in self._charts:
            return web.Response(body=self._charts[name])
        return web.Response(status=404)


async def push_chart(images: Images, folder: Any, name: str, version: str, data: bytes | None = None) -> str:
    """As `helm push` does, below the repository; the digest of the manifest."""
    below = Images(images.repository.host, f"{images.repository.path}/{name}")
    content = packed(name, version) if data is None else data
    config = json.dumps({"name": name, "version": version, "apiVersion": "v2"}).encode()
    layers: list[tuple[str, bytes, dict[str, str]]] = [(media.HELM_CHART, content, {})]
    return await below.layers(version.replace("+", "_"), layers, config=(HELM_CONFIG, config))

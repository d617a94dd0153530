"""What scenarios of sources fetch: images, charts and buckets, the same for both sides. `marks` are the words that mean
them in a scenario.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from minio import Minio

from fluxless.oci import cosign, media
from tests.support.charts import ChartServer, packed, push_chart
from tests.support.registry import Images, tarball
from tests.support.signatures import (
    Notary,
    envelope,
    keyless,
    pem,
    put_bundle,
    statement,
    tagged,
    trust_policy,
)
from tests.support.sigstore import Sigstore
from tools.registry import launcher as registries
from tools.s3 import launcher as buckets

FILES = {"a.yaml": "a: 1\n", "deep/b.yaml": "b: 2\n", "notes.md": "n\n", "deep/c.txt": "c\n"}
ISSUER, SUBJECT = "https://issuer.example.org", "https://ci.example.org/team/app"
OTHER_TYPE = "application/vnd.example.other.v1.tar+gzip"
DEPENDENT = {"dependencies": [{"name": "web", "version": "1.x", "repository": ""}]}


_CONFIG = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  value: {{ .Values.value | quote }}
  password: {{ .Values.auth.password | quote }}
  chart: {{ .Chart.Name }}
{{- with .Values.name }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ . }}
{{- end }}
"""
_DEPLOYMENT = """{{- with .Values.replicas }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $.Release.Name }}
spec:
  replicas: {{ . }}
  selector: {matchLabels: {app: {{ $.Release.Name }}}}
  template:
    metadata: {labels: {app: {{ $.Release.Name }}}}
    spec:
      nodeSelector: {nowhere: "true"}
      containers: [{name: app, image: example/app}]
{{- end }}
"""
_HOOKS = """{{- range $event, $name := .Values.hooks }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  annotations: {"helm.sh/hook": {{ $event | quote }}}
{{- end }}
"""
_TESTS = """{{- range .Values.tests }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ . }}
  annotations: {"helm.sh/hook": test}
{{- end }}
"""
RELEASED = {
    "values.yaml": "value: of-chart\nname: ''\nreplicas: 0\nauth: {password: ''}\nhooks: {}\ntests: []\n",
    "values.schema.json": '{"type": "object", "properties": {"replicas": {"type": "integer"}}}',
    "templates/x.yaml": _CONFIG,
    "templates/deployment.yaml": _DEPLOYMENT,
    "templates/hooks.yaml": _HOOKS,
    "templates/tests.yaml": _TESTS,
}
"""A chart of a ConfigMap; by values one more of any name, a Deployment that never becomes ready, hooks and tests."""


@contextlib.asynccontextmanager
async def stocked(folder: Path) -> AsyncIterator[dict[str, str]]:
    """The servers, with everything in them, and the marks."""
    folder.mkdir(parents=True)
    host = await asyncio.to_thread(registries.start, folder / "registry")
    s3 = await asyncio.to_thread(buckets.start, folder / "s3")
    charts, apps = ChartServer(), ChartServer()
    urls = [await server.start() for server in (charts, apps)]
    try:
        marks = {"@registry@": f"{host}/parity", "@charts@": urls[0], "@apps@": urls[1], "@s3@": s3}
        await _images(host, folder, marks)
        await _signed(host, folder, marks)
        _charts(charts)
        for version in ("1.0.0", "1.1.0"):
            apps.add("app", version, packed("app", version, RELEASED, appVersion=f"v{version}"))
        apps.add("other", "1.0.0", packed("other", "1.0.0", RELEASED))
        await push_chart(Images(host, "parity/charts"), folder, "app", "1.0.0", packed("app", "1.0.0", RELEASED))
        for version in ("1.0.0", "1.1.0", "2.0.0-rc.1"):
            await push_chart(Images(host, "parity/charts"), folder, "web", version)
        await asyncio.to_thread(_bucket, s3)
        yield marks
    finally:
        await charts.stop()
        await apps.stop()
        await asyncio.to_thread(buckets.stop, folder / "s3")
        await asyncio.to_thread(registries.stop, folder / "registry")


async def _images(host: str, folder: Path, marks: dict[str, str]) -> None:
    app = Images(host, "parity/app")
    for tag in ("v1.0.0", "v1.1.0", "v1.2.0-dev", "v2.0.0-rc.1", "latest", "edge-1.0.0", "edge-1.5.0"):
        digest = await app.push(folder, FILES | {"tag.yaml": f"tag: {tag}\n"}, tag)
        if tag == "v1.0.0":
            marks["@digest@"] = digest
    await Images(host, "parity/ignoring").push(folder, FILES | {".sourceignore": "*.md\n/deep/*\n!/deep/b.yaml\n"})
    layers: list[tuple[str, bytes, dict[str, str]]] = [
        (media.FLUX_CONTENT, tarball(FILES), {}),
        (OTHER_TYPE, tarball({"other.yaml": "o: 1\n"}), {}),
        ("text/plain", b"no archive\n", {}),
    ]
    await Images(host, "parity/layers").layers("latest", layers)


async def _signed(host: str, folder: Path, marks: dict[str, str]) -> None:
    images = Images(host, "parity/signed")
    key, other = (ec.derive_private_key(number, ec.SECP256R1()) for number in (101, 102))
    sigstore = Sigstore()
    signer = sigstore.certify(SUBJECT, ISSUER)
    notary, stranger = Notary(folder, "notary"), Notary(folder, "stranger")

    async def push(tag: str) -> str:
        return await images.push(folder, {"a.yaml": f"tag: {tag}\n"}, tag)

    await push("unsigned")
    await tagged(images, await push("key"), key)
    await keyless(images, await push("keyless"), sigstore, signer)
    digest = await push("key-bundle")
    await put_bundle(images, digest, envelope(key, statement(digest)))
    digest = await push("keyless-bundle")
    await put_bundle(images, digest, sigstore.bundle(signer, cosign.IN_TOTO, statement(digest)))
    notary.sign(images, await push("notation"))
    texts = {
        "@key@": pem(key),
        "@other-key@": pem(other),
        "@root@": sigstore.trusted_root(),
        "@other-root@": Sigstore().trusted_root(),
        "@certificate@": notary.certificate,
        "@other-certificate@": stranger.certificate,
        **{f"@policy-{level}@": trust_policy(level) for level in ("strict", "audit", "skip")},
    }
    marks |= {mark: json.dumps(text)[1:-1] for mark, text in texts.items()}


def _charts(charts: ChartServer) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0-beta.1", "2.0.0"):
        charts.add("web", version, packed("web", version, {"values-prod.yaml": "a: 7\nb: {d: 8}\n"}))
    charts.add("broken", "1.0.0", b"no chart")
    charts.add("missing", "1.0.0", url="gone-1.0.0.tgz")


def _bucket(host: str) -> None:
    client = Minio(host, buckets.KEY, buckets.SECRET, secure=False, region=buckets.REGION)
    for name, files in {"parity": FILES, "ignoring": FILES | {".sourceignore": "*.md\n"}, "empty": {}}.items():
        client.make_bucket(name)
        for path, text in files.items():
            client.put_object(name, path, io.BytesIO(text.encode()), len(text.encode()))

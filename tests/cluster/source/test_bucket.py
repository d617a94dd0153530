"""Bucket on a real S3 server and on Azurite (BK-1..24, AZ-10)."""

import asyncio
import hashlib
import tarfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from azure.storage.blob.aio import ContainerClient
from minio import Minio

from fluxless.auth.identity import of_secret
from fluxless.bucket.azure import with_sas
from fluxless.bucket.objects import BucketProblem
from fluxless.source.bucket import _path
from tests.support.flux import Flux, message, ready
from tests.support.proxies import proxy
from tests.support.repositories import config_map
from tests.support.tls import Authority
from tools.azurite.launcher import ACCOUNT, KEY
from tools.s3 import launcher

BUCKET = "Bucket"


class S3:
    """A bucket with a random name."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.name = f"b-{uuid4().hex[:8]}"
        self._client = Minio(host, launcher.KEY, launcher.SECRET, secure=False, region=launcher.REGION)
        self._client.make_bucket(self.name)

    async def put(self, **files: str) -> None:
        import io

        for key, text in files.items():
            data = text.encode()
            await asyncio.to_thread(self._client.put_object, self.name, key, io.BytesIO(data), len(data))

    async def write(self, files: dict[str, str]) -> None:
        await self.put(**files)

    async def remove(self, key: str) -> None:
        await asyncio.to_thread(self._client.remove_object, self.name, key)

    async def etags(self) -> dict[str, str]:
        found = await asyncio.to_thread(lambda: list(self._client.list_objects(self.name, recursive=True)))
        return {str(one.object_name): str(one.etag).strip('"') for one in found}


@pytest.fixture(scope="module")
def s3_host(workshop: Path) -> Iterator[str]:
    folder = workshop / "s3"
    yield launcher.start(folder)
    launcher.stop(folder)


@pytest.fixture
def s3(s3_host: str) -> S3:
    return S3(s3_host)


async def _bucket(flux: Flux, s3: S3, name: str = "repo", **spec: Any) -> None:
    base = {
        "interval": "10m",
        "endpoint": s3.host,
        "bucketName": s3.name,
        "insecure": True,
        "secretRef": {"name": "s3"},
    }
    fields = {key: value for key, value in (base | {"region": launcher.REGION} | spec).items() if value is not None}
    await flux.put("source.toolkit.fluxcd.io/v1", BUCKET, name, fields)


@pytest_asyncio.fixture(loop_scope="session")
async def keys(flux: Flux) -> None:
    await flux.secret("s3", {"accesskey": launcher.KEY, "secretkey": launcher.SECRET})


async def _files(flux: Flux, folder: Path, name: str = "repo") -> list[str]:
    artifact = (await flux.source_of(BUCKET, name))["status"]["artifact"]
    target = folder / "artifact"
    assert await flux.store.get_file(artifact["path"], target)
    with tarfile.open(target) as tar:
        return [entry.name for entry in tar if entry.isfile()]


@pytest.mark.usefixtures("keys")
async def test_objects_are_stored_and_applied(flux: Flux, s3: S3, tmp_path: Path) -> None:
    await s3.write({"deploy/a.yaml": config_map("a", "1"), "b.png": "b", "folder/": ""})
    await _bucket(flux, s3)
    await flux.kustomization("app", path="./deploy", sourceRef={"kind": BUCKET, "name": "repo"})
    await flux.run()
    found = await flux.source_of(BUCKET)
    assert ready(found) == ("True", "Succeeded"), message(found)
    etags = {key: etag for key, etag in (await s3.etags()).items() if not key.endswith("/")}
    text = "".join(f"{key} {etags[key]}\n" for key in sorted(etags))
    revision = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert found["status"]["artifact"]["revision"] == revision
    assert message(found) == f"stored artifact: revision '{revision}'"
    assert await _files(flux, tmp_path) == ["b.png", "deploy/a.yaml"]  # BK-22: no defaults
    event = (await flux.events("repo"))[0]["message"]
    assert event == f"stored artifact with 2 fetched files from '{s3.name}' bucket"
    assert await flux.value("a") == "1"

    before = await flux.source_of(BUCKET)
    await flux.request(BUCKET, "repo")
    await flux.run()
    after = await flux.source_of(BUCKET)
    del after["status"]["lastHandledReconcileAt"]
    assert after["status"] == before["status"]
    await s3.write({"deploy/a.yaml": config_map("a", "2")})
    await s3.remove("b.png")
    await flux.request(BUCKET, "repo")
    await flux.run()
    assert await flux.value("a") == "2"
    assert await _files(flux, tmp_path) == ["deploy/a.yaml"]


@pytest.mark.usefixtures("keys")
async def test_prefix_and_ignore(flux: Flux, s3: S3, tmp_path: Path) -> None:
    """Nothing is left out by default; `spec.ignore` has the last word (BK-3, BK-22)."""
    await s3.write({"x/a.yaml": "a", "x/b.md": "b", "x/y/c.yaml": "c", "z.yaml": "z", ".sourceignore": "*.md\n"})
    await _bucket(flux, s3, "all")
    await _bucket(flux, s3, "prefix", prefix="x/")
    await _bucket(flux, s3, "ignore", ignore="!*.md\nx/y\n")
    await flux.run()
    assert await _files(flux, tmp_path, "all") == ["x/a.yaml", "x/y/c.yaml", "z.yaml"]
    assert await _files(flux, tmp_path, "prefix") == ["x/a.yaml", "x/y/c.yaml"]
    assert await _files(flux, tmp_path, "ignore") == ["x/a.yaml", "x/b.md", "z.yaml"]
    assert (await flux.source_of(BUCKET, "ignore"))["status"]["observedIgnore"] == "!*.md\nx/y\n"


@pytest.mark.usefixtures("keys")
async def test_keys_of_any_letters(flux: Flux, s3: S3, tmp_path: Path) -> None:
    await s3.write({"a b/ü.yaml": "a"})
    await _bucket(flux, s3)
    await flux.run()
    assert await _files(flux, tmp_path) == ["a b/ü.yaml"]


@pytest.mark.usefixtures("keys")
async def test_what_is_wrong_is_named(flux: Flux, s3: S3) -> None:
    await s3.write({"a.yaml": "a"})
    await flux.secret("half", {"accesskey": "x"})
    await flux.secret("wrong", {"accesskey": launcher.KEY, "secretkey": "hunter2"})
    ldap = {"provider": "ldap", "endpoint": "http://127.0.0.1:9"}
    cases: dict[str, tuple[dict[str, Any], str, str]] = {
        "no-bucket": ({"bucketName": "none"}, "BucketOperationFailed", "bucket 'none' not found"),
        "no-server": ({"endpoint": "127.0.0.1:9"}, "BucketOperationFailed", "cannot be read"),
        "bad-endpoint": ({"endpoint": "http://x/y"}, "BucketOperationFailed", "cannot be used"),
        "no-secret": ({"secretRef": {"name": "none"}}, "AuthenticationFailed", f"'{flux.namespace}/none' not found"),
        "half": (
            {"secretRef": {"name": "half"}},
            "AuthenticationFailed",
            "required fields 'accesskey' and 'secretkey'",
        ),
        "wrong": ({"secretRef": {"name": "wrong"}}, "AuthenticationFailed", "SignatureDoesNotMatch"),
        "anonymous": ({"secretRef": None}, "AuthenticationFailed", "AccessDenied"),
        "ldap": ({"secretRef": None, "sts": ldap}, "AuthenticationFailed", "required fields username, password"),
        "aws": ({"provider": "aws", "secretRef": None}, "InvalidProviderConfiguration", "provider 'aws'"),
        "gcp": ({"provider": "gcp"}, "InvalidProviderConfiguration", "provider 'gcp'"),
    }
    for name, (spec, _, _) in cases.items():
        await _bucket(flux, s3, name, timeout="3s", **spec)
    await flux.run(limit=60, patience=0.3)
    for name, (_, reason, text) in cases.items():
        found = await flux.source_of(BUCKET, name)
        assert ready(found) == ("False", reason), (name, message(found))
        assert text in message(found), message(found)
        assert "hunter2" not in message(found)


@pytest.mark.usefixtures("keys")
async def test_a_proxy_and_certificates(flux: Flux, s3: S3, tmp_path: Path) -> None:
    """By the Secrets of `proxySecretRef` and `certSecretRef` (BK-7)."""
    await s3.write({"a.yaml": "a"})
    async with proxy("http", "me", "pass") as (address, running):
        await flux.secret("proxy", {"address": address, "username": "me", "password": "pass"})
        await _bucket(flux, s3, "proxied", proxySecretRef={"name": "proxy"})
        await flux.run()
        assert ready(await flux.source_of(BUCKET, "proxied")) == ("True", "Succeeded")
        assert running.seen
    authority = Authority(tmp_path)
    certificate, key = authority.issue("s3")
    (tmp_path / "s3.crt").write_bytes(certificate)
    (tmp_path / "s3.key").write_bytes(key)
    folder = tmp_path / "tls"
    (folder / "buckets" / "secure").mkdir(parents=True)
    host = launcher.start(folder, certificate=tmp_path / "s3.crt", key=tmp_path / "s3.key")
    try:
        await flux.secret("ca", {"ca.crt": authority.certificate.decode()})
        spec = {"endpoint": host, "bucketName": "secure", "insecure": None}
        await _bucket(flux, s3, "trusted", certSecretRef={"name": "ca"}, **spec)
        await _bucket(flux, s3, "untrusted", **spec)
        await flux.run(patience=0.3)
        assert ready(await flux.source_of(BUCKET, "trusted")) == ("True", "Succeeded")
        assert "spec.certSecretRef" in message(await flux.source_of(BUCKET, "untrusted"))
    finally:
        launcher.stop(folder)


# -- Azure ------------------------------------------------------------------------------------------------------------


class Blobs:
    """A container of Azurite."""

    def __init__(self, connection: str) -> None:
        self.endpoint = next(p for p in connection.split(";") if p.startswith("BlobEndpoint=")).partition("=")[2]
        self.name = f"c-{uuid4().hex[:8]}"
        self.client = ContainerClient.from_connection_string(connection, self.name)

    def signature(self, **permissions: bool) -> str:
        until = datetime.now(UTC) + timedelta(hours=1)
        allowed = ContainerSasPermissions(**permissions)
        return generate_container_sas(ACCOUNT, self.name, account_key=KEY, permission=allowed, expiry=until)


@pytest_asyncio.fixture(loop_scope="session")
async def blobs(azurite: str) -> AsyncIterator[Blobs]:
    made = Blobs(azurite)
    await made.client.create_container()
    yield made
    await made.client.close()


async def test_a_container_by_key_and_by_signature(flux: Flux, blobs: Blobs, tmp_path: Path) -> None:
    """Both see the same revision; wrong Secrets are named (AZ-10, BK-23)."""
    for key in ("deploy/a.yaml", "b.md"):
        await blobs.client.upload_blob(key, config_map("a").encode())
    await flux.secret("key", {"accountKey": KEY})
    await flux.secret("sas", {"sasKey": f"?{blobs.signature(read=True, list=True)}"})
    await flux.secret("blind", {"sasKey": blobs.signature(read=True)})
    await flux.secret("wrong", {"accountKey": "d3Jvbmc="})
    await flux.secret("nothing", {"other": "x"})
    await flux.secret("bad-certificate", {"tenantId": "t", "clientId": "c", "clientCertificate": "x"})
    spec = {"interval": "10m", "provider": "azure", "endpoint": blobs.endpoint, "bucketName": blobs.name}
    for name in ("key", "sas", "blind", "wrong", "nothing", "bad-certificate"):
        fields = spec | {"secretRef": {"name": name}, "ignore": "*.md\n", "timeout": "5s"}
        await flux.put("source.toolkit.fluxcd.io/v1", BUCKET, name, fields)
    await flux.run(limit=60, patience=0.3)
    revisions = set()
    for name in ("key", "sas"):
        found = await flux.source_of(BUCKET, name)
        assert ready(found) == ("True", "Succeeded"), message(found)
        revisions.add(found["status"]["artifact"]["revision"])
        assert await _files(flux, tmp_path, name) == ["deploy/a.yaml"]
    text = ""
    async for blob in blobs.client.list_blobs():
        if not blob.name.endswith(".md"):
            text += f"{blob.name} {str(blob.etag).encode().hex()}\n"
    assert revisions == {f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"}
    expected = {
        "blind": "give the identity the role Storage Blob Data Reader",
        "wrong": "denied",
        "nothing": "holds no credential of a storage account",
        "bad-certificate": "has a clientCertificate that cannot be read",
    }
    for name, words in expected.items():
        found = await flux.source_of(BUCKET, name)
        assert ready(found) == ("False", "AuthenticationFailed"), message(found)
        assert words in message(found), message(found)


@pytest.mark.parametrize(
    ("key", "path"), [("a/../../../b", "b"), ("/etc/passwd", "etc/passwd"), ("a//b/./c", "a/b/c"), ("..", None)]
)
def test_a_key_leads_nowhere_else(key: str, path: str | None) -> None:
    run: Any = SimpleNamespace(name="b")
    if path is None:
        with pytest.raises(BucketProblem, match="no usable name"):
            _path(run, key)
    else:
        assert _path(run, key) == path


def test_a_signature_wins_over_the_query_of_the_endpoint() -> None:
    assert with_sas("https://a.blob.core.windows.net?sv=1&x=2", "?sv=3&sig=a%2Bb") == (
        "https://a.blob.core.windows.net?sv=3&x=2&sig=a%2Bb"
    )


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"tenantId": b"t", "clientId": b"c", "clientSecret": b"s"}, "ClientSecretCredential"),
        ({"clientId": b"c1c1c1c1-0000-4000-8000-000000000001"}, "ManagedIdentityCredential"),
        ({"clientId": b"c1c1c1c1-0000-4000-8000-000000000001", "tenantId": b"t"}, "ManagedIdentityCredential"),
        ({"accountKey": b"k"}, None),
        ({}, None),
    ],
)
def test_identities_of_a_secret(data: dict[str, bytes], kind: str | None) -> None:
    found = of_secret(data)
    assert (type(found._sdk).__name__ if found else None) == kind

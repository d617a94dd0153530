"""Somebody writes to the storage account, or names another digest: what the status does not vouch for is not read."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from fluxless.api.failure import Problem
from fluxless.artifacts.blob import AzureStore
from fluxless.artifacts.cache import ArtifactCache
from fluxless.artifacts.compose import Budget, Copy
from fluxless.artifacts.directory import DirectoryStore
from fluxless.artifacts.store import Store
from fluxless.charts.index import reencode
from fluxless.helm import sources
from fluxless.reconcile.world import Ref
from fluxless.source import helm_origin

CHART = "apiVersion: v2\nname: app\nversion: 1.0.0\n"


def _chart(template: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in (("app/Chart.yaml", CHART), ("app/templates/all.yaml", template)):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def _index(digest: str) -> bytes:
    entry = {"name": "app", "version": "1.0.0", "urls": ["app-1.0.0.tgz"], "digest": digest}
    with tempfile.TemporaryDirectory() as folder:
        text, made = Path(folder) / "index.yaml", Path(folder) / "index.json"
        text.write_text(json.dumps({"apiVersion": "v1", "entries": {"app": [entry]}}))
        reencode(text, made)
        return made.read_bytes()


@pytest.fixture(params=["azure", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return DirectoryStore(tmp_path / "store")
    return AzureStore.from_connection_string(request.getfixturevalue("azurite"), f"t-{uuid4().hex[:8]}")


async def _artifact(store: Store, name: str, honest: bytes, stored: bytes) -> dict[str, Any]:
    await store.put(f"artifacts/{name}", stored)
    return {
        "path": f"artifacts/{name}",
        "digest": f"sha256:{hashlib.sha256(honest).hexdigest()}",
        "revision": "1.0.0",
        "url": "",
    }


async def _release(store: Store, artifact: dict[str, Any], _: Path) -> str:
    """What a HelmRelease installs."""
    run: Any = SimpleNamespace(services=SimpleNamespace(store=store))
    found = await sources._fetch(run, artifact, Ref("HelmChart", "apps", "app"))
    return str(found.files["templates/all.yaml"].decode())


async def _repository(store: Store, artifact: dict[str, Any], folder: Path) -> str:
    """What a HelmChart finds in the index of its HelmRepository."""
    metadata = {"name": "charts", "namespace": "apps", "generation": 1}
    obj = {"kind": "HelmRepository", "metadata": metadata, "spec": {"url": "https://charts.test"}}
    run: Any = SimpleNamespace(
        services=SimpleNamespace(store=store, clock=lambda: 0.0), survey=SimpleNamespace(cluster=None)
    )
    origin = helm_origin.declared(run, obj | {"status": {"artifact": artifact}})
    return str((await origin._entries("app", folder) or [{}])[0]["digest"])


async def _tree(store: Store, artifact: dict[str, Any], folder: Path) -> str:
    """What Kustomizations build, GitRepositories include, generators copy, and charts of sources come from."""
    found = await ArtifactCache(store, folder / "cache").tree(artifact)
    assert found is not None
    return (found / "app/templates/all.yaml").read_text()


READ = {
    "chart": (_release, _chart("honest"), _chart("tampered"), "honest"),
    "index": (_repository, _index("honest"), _index("tampered"), "honest"),
    "tree": (_tree, _chart("honest"), _chart("tampered"), "honest"),
}


@pytest.mark.parametrize("kind", READ)
async def test_an_artifact_is_read_as_it_was_made(kind: str, store: Store, tmp_path: Path) -> None:
    read, honest, _, said = READ[kind]
    assert await read(store, await _artifact(store, "a", honest, honest), tmp_path) == said
    await store.close()


@pytest.mark.parametrize("kind", READ)
async def test_a_tampered_artifact_is_refused_by_name(kind: str, store: Store, tmp_path: Path) -> None:
    read, honest, tampered, _ = READ[kind]
    with pytest.raises(Problem, match="artifact artifacts/a does not have the digest sha256"):
        await read(store, await _artifact(store, "a", honest, tampered), tmp_path)
    await store.close()


async def test_a_digest_that_is_a_path_opens_no_folder(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    store = DirectoryStore(tmp_path / "store")
    (tmp_path / "cache/sha256-").mkdir(parents=True)
    artifact = {"path": "artifacts/a", "digest": "sha256:/../../secrets", "revision": "1", "url": ""}
    with pytest.raises(Problem, match="has no digest by SHA-2"):
        await ArtifactCache(store, tmp_path / "cache").tree(artifact)


async def test_a_digest_of_another_size_of_sha_2_is_checked_as_well(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    data = _chart("honest")
    artifact = await _artifact(store, "a", data, data)
    artifact["digest"] = f"sha512:{hashlib.sha512(data).hexdigest()}"
    assert await _tree(store, artifact, tmp_path) == "honest"
    artifact["digest"] = f"sha512:{hashlib.sha512(gzip.compress(data)).hexdigest()}"
    with pytest.raises(Problem, match="does not have the digest sha512"):
        await _tree(store, artifact, tmp_path)


def _packed(place: Path, size: int) -> None:
    with tarfile.open(place, mode="w:gz") as tar:
        entry = tarfile.TarInfo("f")
        entry.size = size
        tar.addfile(entry, io.BytesIO(bytes(size)))


@pytest.mark.parametrize("strategy", ["Overwrite", "Extract"])
@pytest.mark.parametrize("budget", [Budget(bytes=5000), Budget(files=3)], ids=["bytes", "files"])
def test_copies_of_one_artifact_have_one_budget(tmp_path: Path, strategy: str, budget: Budget) -> None:
    source, staging = tmp_path / "source", tmp_path / "staging"
    source.mkdir()
    staging.mkdir()
    name = "f.tgz" if strategy == "Extract" else "f"
    _packed(source / name, 1000) if strategy == "Extract" else (source / name).write_bytes(bytes(1000))
    shared = replace(budget)

    def copy_all() -> None:
        for number in range(20):
            Copy(f"@a/{name}", f"@artifact/{number}/", (), strategy, shared).into(staging, {"a": source})

    with pytest.raises(Problem, match="all copies together"):
        copy_all()
    assert sum(file.stat().st_size for file in staging.rglob("*") if file.is_file()) <= 5000

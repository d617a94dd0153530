"""One contract for both stores: Azure (Azurite) and a folder."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from fluxless.artifacts.blob import AzureStore
from fluxless.artifacts.cache import ArtifactCache
from fluxless.artifacts.directory import DirectoryStore
from fluxless.artifacts.pack import pack
from fluxless.artifacts.store import PreconditionFailed, Store, StoreUnavailable
from fluxless.artifacts.unpack import ArchiveProblem
from fluxless.git.tree import File


@pytest_asyncio.fixture(loop_scope="session", params=["azure", "directory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "azure":
        made: Store = AzureStore.from_connection_string(request.getfixturevalue("azurite"), f"c-{uuid4().hex[:8]}")
    else:
        made = DirectoryStore(tmp_path / "store")
    yield made
    await made.close()


async def test_what_was_put_is_got_with_its_etag(store: Store) -> None:
    assert await store.get("a/b.json") is None
    etag = await store.put("a/b.json", b"one")
    assert await store.get("a/b.json") == (b"one", etag)
    assert await store.put("a/b.json", b"two") != etag


async def test_a_write_under_an_old_etag_fails_and_changes_nothing(store: Store) -> None:
    old = await store.put("x", b"one")
    new = await store.put("x", b"two", if_match=old)
    with pytest.raises(PreconditionFailed):
        await store.put("x", b"three", if_match=old)
    with pytest.raises(PreconditionFailed):
        await store.put("x", b"three", only_if_absent=True)
    assert await store.get("x") == (b"two", new)
    await store.put("y", b"first", only_if_absent=True)


async def test_files_keep_their_digest_and_are_listed_in_order(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"content")
    stored = await store.put_file("p/2", path, "sha256:abc")
    await store.put_file("p/1", path, "sha256:abc")
    await store.put("q/1", b"")
    assert (stored.size, stored.digest) == (7, "sha256:abc")
    assert [(blob.name, blob.digest) async for blob in store.list("p/")] == [
        ("p/1", "sha256:abc"),
        ("p/2", "sha256:abc"),
    ]
    found = await store.get("p/1")
    assert found is not None
    seen = await store.stat("p/1")
    assert seen is not None
    assert [found[1], seen.etag] == [blob.etag async for blob in store.list("p/1")] * 2, "one spelling"
    target = tmp_path / "g"
    assert await store.get_file("p/1", target)
    assert target.read_bytes() == b"content"
    assert not await store.get_file("p/none", target)
    await store.delete("p/1")
    await store.delete("p/1")
    assert await store.stat("p/1") is None


async def test_the_cache_gives_trees_and_notices_a_wrong_digest(store: Store, tmp_path: Path) -> None:
    packed = pack([File("a.yaml", b"a", False)], tmp_path / "a.tar.gz")
    await store.put_file("good", packed.path, packed.digest)
    cache = ArtifactCache(store, tmp_path / "cache")
    artifact = {"digest": packed.digest, "path": "good"}
    tree = await cache.tree(artifact)
    assert tree is not None
    assert (tree / "a.yaml").read_text() == "a"
    await store.delete("good")
    assert await cache.tree(artifact) == tree
    assert await cache.tree({"digest": "sha256:" + "0" * 64, "path": "gone"}) is None
    await store.put("bad", b"other bytes")
    wrong = "sha256:" + hashlib.sha256(b"expected").hexdigest()
    with pytest.raises(ArchiveProblem, match="does not have the digest"):
        await cache.tree({"digest": wrong, "path": "bad"})


async def test_a_store_that_is_away_is_named_with_the_next_step() -> None:
    away = AzureStore.from_connection_string(
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:9/a;", "c"
    )
    with pytest.raises(StoreUnavailable) as caught:
        await away.get("x")
    assert "storage account is reachable" in str(caught.value)
    await away.close()

"""OCIRepository on a real registry (OR-1..24, SC-1..11, AZ-11)."""

import hashlib
import json
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from fluxless.auth import identity
from fluxless.oci import media
from fluxless.oci.auth import Credentials, Tokens
from fluxless.oci.client import TOKENS, Descriptor, Registry
from fluxless.oci.errors import ContentMismatch, NotInRegistry, RegistryRefused
from fluxless.oci.reference import Repository
from fluxless.transport import Tls
from tests.support.azure import Azure
from tests.support.flux import Flux, message, ready
from tests.support.registry import Acr, Images, TokenGiver, docker_config, tarball
from tests.support.repositories import config_map
from tests.support.tls import Authority
from tools.registry import launcher
from tools.registry.launcher import PASSWORD, USER, TlsFiles

OCI = "OCIRepository"


async def _files(flux: Flux, folder: Path, name: str = "repo") -> list[str]:
    artifact = (await flux.source_of(OCI, name))["status"]["artifact"]
    target = folder / "artifact"
    assert await flux.store.get_file(artifact["path"], target)
    assert f"sha256:{hashlib.sha256(target.read_bytes()).hexdigest()}" == artifact["digest"]
    assert target.stat().st_size == artifact["size"]
    with tarfile.open(target) as tar:
        entries = tar.getmembers()
    assert {(entry.uid, entry.mtime, entry.issym()) for entry in entries} <= {(0, 0, False)}
    return [entry.name for entry in entries if entry.isfile()]


async def test_an_artifact_is_stored_and_applied(flux: Flux, images: Images, tmp_path: Path) -> None:
    digest = await images.push(tmp_path, {"deploy/a.yaml": config_map("a", "1")}, "v1")
    await flux.oci(images, ref={"tag": "v1"})
    await flux.kustomization("app", path="./deploy", sourceRef={"kind": OCI, "name": "repo"})
    await flux.run()
    found = await flux.source_of(OCI)
    assert ready(found) == ("True", "Succeeded")
    assert message(found) == f"stored artifact for digest 'v1@{digest}'"
    assert found["status"]["artifact"]["revision"] == f"v1@{digest}"
    assert found["status"]["artifact"]["metadata"][media.REVISION] == "main@sha1:0123"
    assert [event["message"] for event in await flux.events("repo")] == [
        f"stored artifact with revision 'v1@{digest}' from '{images.url}', "
        "origin source 'https://example.org/app.git', origin revision 'main@sha1:0123'"
    ]
    assert await flux.value("a") == "1"
    assert (await flux.ks("app"))["status"]["lastAppliedOriginRevision"] == "main@sha1:0123"

    newer = await images.push(tmp_path, {"deploy/a.yaml": config_map("a", "2")}, "v1")
    await flux.request(OCI, "repo")
    await flux.run()
    assert (await flux.source_of(OCI))["status"]["artifact"]["revision"] == f"v1@{newer}"
    assert await flux.value("a") == "2"


async def test_nothing_new_is_not_written(flux: Flux, images: Images, tmp_path: Path) -> None:
    await images.push(tmp_path, {"a.yaml": "a"})
    await flux.oci(images)
    await flux.run()
    before = await flux.source_of(OCI)
    await flux.request(OCI, "repo")
    await flux.run()
    after = await flux.source_of(OCI)
    assert after["status"].pop("lastHandledReconcileAt")
    assert after["status"] == before["status"]
    assert len(await flux.events("repo")) == 1


async def test_every_reference_by_its_precedence(flux: Flux, images: Images, tmp_path: Path) -> None:
    """Digest before semver before tag, `latest` by default; the filter chooses first (OR-2)."""
    digests = {
        tag: await images.push(tmp_path, {"a": tag}, tag)
        for tag in ("latest", "1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0", "1.3.0-dev", "1.4")
    }
    cases: dict[str, tuple[dict[str, Any] | None, str]] = {
        "default": (None, "latest"),
        "tag": ({"tag": "1.0.0"}, "1.0.0"),
        "semver": ({"semver": "1.x", "tag": "latest"}, "1.1.0"),
        "prerelease": ({"semver": ">=1.0.0-0 <2.0.0-0"}, "1.3.0-dev"),
        "filter": ({"semver": ">=1.0.0-0 <2.0.0-0", "semverFilter": ".*-rc.*"}, "1.2.0-rc.1"),
    }
    for name, (ref, _) in cases.items():
        await flux.oci(images, name, **({"ref": ref} if ref else {}))
    await flux.oci(images, "digest", ref={"digest": digests["1.0.0"], "semver": "2.x", "tag": "latest"})
    await flux.run()
    for name, (_, tag) in cases.items():
        found = await flux.source_of(OCI, name)
        assert ready(found) == ("True", "Succeeded"), message(found)
        assert found["status"]["artifact"]["revision"] == f"{tag}@{digests[tag]}"
    assert (await flux.source_of(OCI, "digest"))["status"]["artifact"]["revision"] == digests["1.0.0"]


async def test_what_is_wrong_is_named(flux: Flux, images: Images, tmp_path: Path) -> None:
    await images.push(tmp_path, {"a": "1"}, "v1", "1.0.0")
    cases: dict[str, tuple[dict[str, Any], str, str]] = {
        "no-tag": ({"ref": {"tag": "v2"}}, "OCIArtifactPullFailed", "manifests/v2 not found"),
        "no-version": ({"ref": {"semver": "3.x"}}, "ReadOperationFailed", "no match found for semver: 3.x"),
        "bad-range": ({"ref": {"semver": "one"}}, "ReadOperationFailed", "semver 'one' parse error"),
        "bad-filter": ({"ref": {"semver": "1.x", "semverFilter": "("}}, "ReadOperationFailed", "error parsing regexp"),
        "bad-digest": ({"ref": {"digest": "sha256:12"}}, "ReadOperationFailed", "'sha256:12' is no digest"),
        "tag-in-url": ({"url": f"{images.url}:v1"}, "URLInvalid", "URL must not contain a tag; remove ':v1'"),
        "bad-url": ({"url": "oci://x"}, "URLInvalid", "names no registry"),
        "no-secret": ({"secretRef": {"name": "none"}}, "AuthenticationFailed", f"'{flux.namespace}/none' not found"),
        "no-layer": (
            {"ref": {"tag": "v1"}, "layerSelector": {"mediaType": "application/x"}},
            "OCIArtifactLayerOperationFailed",
            f"it has {media.FLUX_CONTENT}",
        ),
        "no-acr": ({"provider": "azure"}, "AuthenticationFailed", "is no Azure container registry"),
        "aws": ({"provider": "aws"}, "InvalidProviderConfiguration", "provider 'aws' is not supported"),
        "nobody": ({"url": "oci://127.0.0.1:9/x"}, "OCIArtifactPullFailed", "unable to reach '127.0.0.1:9'"),
    }
    for name, (spec, _, _) in cases.items():
        await flux.oci(images, name, **spec)
    await flux.run(patience=0.3)
    for name, (_, reason, text) in cases.items():
        found = await flux.source_of(OCI, name)
        assert ready(found) == ("False", reason), name
        assert text in message(found), message(found)
    stalled = {name for name in cases if message(await flux.source_of(OCI, name), "Stalled") != "None"}
    assert stalled == {"bad-range", "bad-filter", "bad-digest", "tag-in-url", "bad-url", "aws"}


async def test_a_layer_is_chosen_extracted_or_copied(flux: Flux, images: Images, tmp_path: Path) -> None:
    """By media type, else the first; a copy stays as it is (OR-3)."""
    chart = tarball({"app/Chart.yaml": "name: app"})
    await images.layers("v1", [("text/plain", b"hello", {}), (media.HELM_CHART, chart, {})])
    await flux.oci(images, "extracted", ref={"tag": "v1"}, layerSelector={"mediaType": media.HELM_CHART})
    copy = {"mediaType": media.HELM_CHART, "operation": "copy"}
    await flux.oci(images, "copied", ref={"tag": "v1"}, layerSelector=copy)
    await flux.oci(images, "first", ref={"tag": "v1"})
    await flux.run(patience=0.3)
    assert await _files(flux, tmp_path, "extracted") == ["app/Chart.yaml"]
    copied = (await flux.source_of(OCI, "copied"))["status"]
    assert copied["artifact"]["digest"] == f"sha256:{hashlib.sha256(chart).hexdigest()}"
    assert copied["artifact"]["path"].endswith(".tgz")
    assert copied["observedLayerSelector"] == copy
    first = await flux.source_of(OCI, "first")
    assert ready(first) == ("False", "OCIArtifactLayerOperationFailed")
    assert "failed to extract layer contents from artifact" in message(first)


async def test_links_owners_and_ignored_files_stay_out(flux: Flux, images: Images, tmp_path: Path) -> None:
    """Any rules replace the default exclusions (SC-9..11)."""
    files = {"a.yaml": "a", "b.png": "b", "x/c.yaml": "c", "x/.sourceignore": "d.yaml\n", "x/d.yaml": "d"}
    await images.push(tmp_path, tarball(files, links={"l.yaml": "a.yaml"}, owner=1000))
    await images.push(tmp_path, {"a.yaml": "a", "b.png": "b"}, "plain")
    await flux.oci(images, "rules", ignore="x/c.yaml\n")
    await flux.oci(images, "defaults", ref={"tag": "plain"})
    await flux.run()
    assert await _files(flux, tmp_path, "rules") == ["a.yaml", "b.png", "x/.sourceignore"]
    assert await _files(flux, tmp_path, "defaults") == ["a.yaml"]
    await flux.oci(images, "rules", ignore="b.png\n")
    await flux.run()
    assert await _files(flux, tmp_path, "rules") == ["a.yaml", "x/.sourceignore", "x/c.yaml"]


async def test_an_archive_that_is_clean_is_kept_as_it_is(flux: Flux, images: Images, tmp_path: Path) -> None:
    archive = tarball({"a.yaml": "a", "x/b.yaml": "b"})
    await images.push(tmp_path, archive)
    await flux.oci(images)
    await flux.run()
    artifact = (await flux.source_of(OCI))["status"]["artifact"]
    assert artifact["digest"] == f"sha256:{hashlib.sha256(archive).hexdigest()}"


async def test_a_blob_that_is_damaged_in_the_store_is_made_again(flux: Flux, images: Images, tmp_path: Path) -> None:
    """And one that is gone (SC-8)."""
    await images.push(tmp_path, {"a.yaml": "a"})
    await flux.oci(images)
    await flux.run()
    artifact = (await flux.source_of(OCI))["status"]["artifact"]
    await flux.store.put(artifact["path"], b"damaged")
    await flux.request(OCI, "repo")
    await flux.run()
    assert await _files(flux, tmp_path) == ["a.yaml"]
    await flux.store.delete(artifact["path"])
    await flux.request(OCI, "repo")
    await flux.run()
    assert await _files(flux, tmp_path) == ["a.yaml"]


async def test_old_artifacts_go_and_all_go_with_the_object(flux: Flux, images: Images, tmp_path: Path) -> None:
    """Two are kept (SC-7)."""
    await flux.oci(images)
    for number in range(4):
        await images.push(tmp_path, {"a.yaml": str(number)})
        await flux.request(OCI, "repo")
        await flux.run()
    prefix = f"artifacts/ocirepository/test/{flux.namespace}/repo/"
    assert len([blob async for blob in flux.store.list(prefix)]) == 2
    await flux.delete("source.toolkit.fluxcd.io/v1", OCI, "repo")
    await flux.run()
    assert [blob async for blob in flux.store.list(prefix)] == []
    assert await flux.get("source.toolkit.fluxcd.io/v1", OCI, "repo") is None


# -- credentials ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(workshop: Path) -> Iterator[str]:
    """A registry for users with a password."""
    folder = workshop / "registry-users"
    yield launcher.start(folder, users=True)
    launcher.stop(folder)


async def test_users_by_secret_and_by_service_account(flux: Flux, guarded: str, tmp_path: Path) -> None:
    """In the forms that a docker configuration has; what is missing or wrong is named (OR-4)."""
    private = Images(guarded, f"test/{uuid4().hex[:8]}", Credentials(USER, PASSWORD))
    await private.push(tmp_path, {"a.yaml": "a"})
    docker = "kubernetes.io/dockerconfigjson"
    secrets = {
        "good": docker_config(guarded),
        "plain": docker_config(guarded, encoded=False),
        "by-path": docker_config(f"{guarded}/test"),
        "bad": docker_config(guarded, password="wrong"),
        "other": docker_config("registry.example"),
    }
    for name, text in secrets.items():
        await flux.secret(name, {".dockerconfigjson": text}, docker)
    await flux.secret("empty", {"username": "x"})
    metadata = {"name": "puller", "namespace": flux.namespace}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "imagePullSecrets": [{"name": "good"}],
    }
    await flux.cluster.apply(account, manager="user")
    for name in [*secrets, "empty"]:
        await flux.oci(private, name, secretRef={"name": name})
    await flux.oci(private, "account", serviceAccountName="puller")
    await flux.oci(private, "no-account", serviceAccountName="nobody")
    await flux.oci(private, "anonymous")
    await flux.run(patience=0.3)
    for name in ("good", "plain", "by-path", "account"):
        found = await flux.source_of(OCI, name)
        assert ready(found) == ("True", "Succeeded"), message(found)
    expected = {
        "bad": "correct the user, password or rights",
        "other": "set spec.secretRef",
        "anonymous": "set spec.secretRef",
        "empty": f"secret '{flux.namespace}/empty' has no key '.dockerconfigjson'",
        "no-account": f"service account '{flux.namespace}/nobody' not found",
    }
    for name, text in expected.items():
        found = await flux.source_of(OCI, name)
        assert ready(found) == ("False", "AuthenticationFailed"), message(found)
        assert text in message(found), message(found)
        assert "wrong" not in message(found)


@pytest_asyncio.fixture(loop_scope="session")
async def giver(tmp_path: Path) -> AsyncIterator[TokenGiver]:
    yield TokenGiver(tmp_path)


async def test_tokens_are_fetched_once_for_all_who_share_them(flux: Flux, giver: TokenGiver, tmp_path: Path) -> None:
    server = await giver.start()
    host = launcher.start(tmp_path / "registry", tokens=server)
    try:
        private = Images(host, "test/app", Credentials(USER, PASSWORD), tokens=Tokens())
        await private.push(tmp_path, {"a.yaml": "a"})
        await flux.secret("good", {".dockerconfigjson": docker_config(host)}, "kubernetes.io/dockerconfigjson")
        giver.asked.clear()
        await flux.oci(private, "one", secretRef={"name": "good"})
        await flux.run()
        for name in ("two", "three"):
            await flux.oci(private, name, secretRef={"name": "good"})
        await flux.run()
        for name in ("one", "two", "three"):
            assert ready(await flux.source_of(OCI, name)) == ("True", "Succeeded")
        assert giver.asked == ["user repository:test/app:pull"]
    finally:
        launcher.stop(tmp_path / "registry")
        await giver.stop()


async def test_acr_by_managed_identity(
    flux: Flux, giver: TokenGiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AZ-11: Entra token, exchange, access token; blobs by a redirect that must not carry the token."""
    azure, acr = Azure(tmp_path), Acr(giver)
    await azure.start()
    host = await acr.start()
    realm = launcher.TokenServer(f"http://{host}/oauth2/token", giver.SERVICE, "fluxless-tests", giver._bundle)
    acr.behind(launcher.start(tmp_path / "registry", tokens=realm))
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, azure.environment[name])
    identity.credential.cache_clear()
    monkeypatch.setenv("FLUXLESS_ACR_SUFFIXES", "127.0.0.1")
    try:
        images = Images(host, "test/app", Credentials(refresh="refresh"), tokens=Tokens())
        await images.push(tmp_path, {"a.yaml": "a"})
        await flux.oci(images, "one", provider="azure")
        await flux.oci(images, "two", provider="azure")
        await flux.run()
        for name in ("one", "two"):
            found = await flux.source_of(OCI, name)
            assert ready(found) == ("True", "Succeeded"), message(found)
        assert azure.earned == ["managed identity"]
        assert giver.entra == ["token-0"]  # although both have started at once
        assert acr.leaked == []
        assert any("/blobs/" in request for request in acr.requests)

        giver.allowed = False
        TOKENS.clear()  # a new worker
        await flux.oci(images, "refused", provider="azure")
        await flux.run(patience=0.3)
        refused = await flux.source_of(OCI, "refused")
        assert ready(refused) == ("False", "AuthenticationFailed")
        assert "give the app's identity the role AcrPull on the registry" in message(refused)
    finally:
        identity.credential.cache_clear()
        await acr.stop()
        launcher.stop(tmp_path / "registry")
        await azure.stop()


async def test_identity_of_a_service_account_needs_its_gate(
    flux: Flux, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal names the app setting (AZ-2)."""
    metadata = {"name": "workload", "namespace": flux.namespace}
    await flux.cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, manager="user")
    monkeypatch.setenv("FLUXLESS_ACR_SUFFIXES", "127.0.0.1")
    await flux.oci(images, provider="azure", serviceAccountName="workload")
    await flux.run(patience=0.3)
    found = await flux.source_of(OCI)
    assert ready(found) == ("False", "FeatureGateDisabled")
    assert "FLUXLESS_OBJECT_LEVEL_IDENTITY" in message(found)


async def test_tls_with_certificates_of_ones_own(flux: Flux, tmp_path: Path) -> None:
    """A CA and a client certificate, by their new and old names (OR-7)."""
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client")
    for name, data in (("ca", authority.certificate), ("crt", server[0]), ("key", server[1])):
        (tmp_path / f"server.{name}").write_bytes(data)
    files = TlsFiles(tmp_path / "server.crt", tmp_path / "server.key", tmp_path / "server.ca")
    host = launcher.start(tmp_path / "registry", tls=files)
    mutual = Tls(authority.certificate, *client)
    try:
        private = Images(host, "test/app", tls=mutual)
        await private.push(tmp_path, {"a.yaml": "a"})
        ca = authority.certificate.decode()
        pair = {"tls.crt": client[0].decode(), "tls.key": client[1].decode()}
        await flux.secret("all", {"ca.crt": ca, **pair})
        await flux.secret("old", {"caFile": ca, "certFile": pair["tls.crt"], "keyFile": pair["tls.key"]})
        await flux.secret("no-pair", {"ca.crt": ca})
        await flux.secret("half", {"ca.crt": ca, "tls.crt": pair["tls.crt"]})
        await flux.secret("garbage", {"ca.crt": "x"})
        for name in ("all", "old", "no-pair", "half", "garbage"):
            await flux.oci(private, name, certSecretRef={"name": name})
        await flux.oci(private, "public")
        await flux.run(patience=0.3)
        for name in ("all", "old"):
            assert ready(await flux.source_of(OCI, name)) == ("True", "Succeeded")
        expected = {
            "no-pair": "needs tls.crt and tls.key",
            "half": "has only one of tls.crt and tls.key",
            "garbage": "cannot be read",
            "public": "the TLS certificate is not trusted",
        }
        for name, text in expected.items():
            found = await flux.source_of(OCI, name)
            assert ready(found)[0] == "False"
            assert text in message(found), message(found)
    finally:
        launcher.stop(tmp_path / "registry")


# -- the client -----------------------------------------------------------------------------------------------------


async def test_bytes_that_do_not_match_their_digest_are_refused(
    images: Images, registry: str, workshop: Path, tmp_path: Path
) -> None:
    digest = await images.push(tmp_path, {"a": "1"})
    async with images.open() as client:
        layer = (await client.manifest(digest)).layers[0]
        short = Descriptor(layer.digest, layer.size - 1, layer.media_type)
        for wrong in (short, Descriptor(f"sha256:{'0' * 64}", layer.size, "")):
            with pytest.raises((ContentMismatch, NotInRegistry)):
                await client.download(wrong, tmp_path / "blob")
        with pytest.raises(ContentMismatch, match="more than"):
            await client.download(layer, tmp_path / "blob", limit=10)
        data = workshop / "registry" / "data" / "docker" / "registry" / "v2" / "blobs" / "sha256"
        hexadecimal = layer.digest.removeprefix("sha256:")
        stored = data / hexadecimal[:2] / hexadecimal / "data"
        stored.write_bytes(stored.read_bytes()[:-1] + b"x")
        with pytest.raises(ContentMismatch, match="does not have its digest"):
            await client.download(layer, tmp_path / "blob")


async def test_tags_are_read_page_by_page(images: Images, tmp_path: Path) -> None:
    digest = await images.push(tmp_path, {"a": "1"}, "t0")
    async with images.open() as client:
        raw, kind = await client.raw_manifest(digest)
        for number in range(1, 130):
            await client.push_manifest(raw, kind, f"t{number}")
        assert len(await client.tags()) == 130


async def test_an_index_leads_to_an_image(images: Images, tmp_path: Path) -> None:
    amd, arm = [await images.push(tmp_path, {"a": name}, name) for name in ("amd", "arm")]
    entries = [
        {"mediaType": media.MANIFEST, "digest": d, "size": 1, "platform": {"os": "linux", "architecture": a}}
        for d, a in ((arm, "arm64"), (amd, "amd64"))
    ]
    index = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": entries}
    async with images.open() as client:
        for entry in entries:
            entry["size"] = len((await client.raw_manifest(str(entry["digest"])))[0])
        await client.push_manifest(json.dumps(index).encode(), media.INDEX, "both")
        assert (await client.manifest("both")).digest == entries[1]["digest"]


async def test_a_wrong_password_is_not_printed(guarded: str) -> None:
    async with Registry(Repository(guarded, "a/b"), Credentials(USER, "hunter2")) as client:
        with pytest.raises(RegistryRefused) as refused:
            await client.tags()
    assert "hunter2" not in str(refused.value)

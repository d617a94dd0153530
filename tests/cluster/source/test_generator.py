"""ArtifactGenerator and ExternalArtifact (AG-1..8, EA-1, EA-2)."""

import hashlib
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from fluxless.artifacts.cache import ArtifactCache
from tests.support.charts import packed
from tests.support.flux import KUSTOMIZE, SOURCE, Flux, Obj, message, ready
from tests.support.registry import NOTES, Images, tarball
from tests.support.repositories import Repo, config_map

GENERATORS = "source.extensions.fluxcd.io/v1beta1"
EXTERNAL = "ExternalArtifact"


async def _generator(flux: Flux, artifacts: list[Obj], name: str = "gen", **spec: Any) -> None:
    base = {"sources": [{"alias": "git", "kind": "GitRepository", "name": "repo"}], "artifacts": artifacts}
    await flux.put(GENERATORS, "ArtifactGenerator", name, base | spec)


async def _gen(flux: Flux, name: str = "gen") -> Obj:
    found = await flux.get(GENERATORS, "ArtifactGenerator", name)
    assert found is not None
    return found


async def _files(flux: Flux, folder: Path, name: str) -> dict[str, str]:
    found = await flux.source_of(EXTERNAL, name)
    assert ready(found) == ("True", "Succeeded")
    target = folder / "artifact"
    assert await flux.store.get_file(found["status"]["artifact"]["path"], target)
    with tarfile.open(target) as tar:
        return {entry.name: tar.extractfile(entry).read().decode() for entry in tar if entry.isfile()}  # type: ignore[union-attr]


def _artifact(name: str, *copies: tuple[str, str] | Obj, **fields: Any) -> Obj:
    listed = [copy if isinstance(copy, dict) else {"from": copy[0], "to": copy[1]} for copy in copies]
    return {"name": name, "copy": listed, **fields}


async def test_artifacts_are_made_of_two_sources_and_applied(
    flux: Flux, repo: Repo, images: Images, tmp_path: Path
) -> None:
    repo.push({"apps/web/a.yaml": config_map("a", "1"), "apps/web/values.yaml": "a: 1\nb: {c: 2}\n"})
    await images.push(tmp_path, {"over.yaml": "b: {d: 3}\n", "extra.yaml": config_map("b", "2")})
    await flux.source(repo)
    await flux.oci(images, "oci")
    sources = [
        {"alias": "git", "kind": "GitRepository", "name": "repo"},
        {"alias": "oci", "kind": "OCIRepository", "name": "oci"},
    ]
    merge = {"from": "@oci/over.yaml", "to": "@artifact/values.yaml", "strategy": "Merge"}
    made = _artifact(
        "web",
        ("@git/apps/web/**", "@artifact/"),
        merge,
        ("@oci/extra.yaml", "@artifact/more/"),
        revision="@git",
        originRevision="@oci",
    )
    await _generator(flux, [made, _artifact("plain", ("@oci/*.yaml", "@artifact/x/"))], sources=sources)
    ref = {"kind": EXTERNAL, "name": "web"}
    await flux.kustomization("app", sourceRef=ref, path="./more")
    await flux.run()
    found = await _gen(flux)
    assert ready(found) == ("True", "Succeeded"), message(found)
    assert message(found) == "reconciliation succeeded, generated 2 artifact(s)"
    files = await _files(flux, tmp_path, "web")
    assert sorted(files) == ["a.yaml", "more/extra.yaml", "values.yaml"]
    assert yaml.safe_load(files["values.yaml"]) == {"a": 1, "b": {"c": 2, "d": 3}}
    web = await flux.source_of(EXTERNAL, "web")
    artifact = web["status"]["artifact"]
    assert artifact["revision"] == f"main@sha1:{repo.head}"
    assert artifact["metadata"] == {"org.opencontainers.image.revision": list(NOTES.values())[1]}
    assert web["spec"]["sourceRef"]["name"] == "gen"
    assert web["metadata"]["labels"]["source.extensions.fluxcd.io/generator"] == found["metadata"]["uid"]
    plain = await flux.source_of(EXTERNAL, "plain")
    assert plain["status"]["artifact"]["revision"] == f"latest@{plain['status']['artifact']['digest']}"
    assert sorted(await _files(flux, tmp_path, "plain")) == ["x/extra.yaml", "x/over.yaml"]
    assert await flux.value("b") == "2"
    inventory = {entry["name"]: entry["digest"] for entry in found["status"]["inventory"]}
    assert inventory["web"] == artifact["digest"]

    before = await _gen(flux)
    await flux.request("ArtifactGenerator", "gen")
    await flux.run()
    after = await _gen(flux)
    del after["status"]["lastHandledReconcileAt"]
    assert after["status"] == before["status"]

    await images.push(tmp_path, {"over.yaml": "b: {d: 4}\n", "extra.yaml": config_map("b", "3")})
    await flux.request("OCIRepository", "oci")
    await flux.run()  # source, generator, Kustomization: nobody asks for the latter two
    assert await flux.value("b") == "3"


async def test_what_is_no_longer_wanted_goes(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": "a", "b.yaml": "b"})
    await flux.source(repo)
    await _generator(
        flux, [_artifact("a", ("@git/a.yaml", "@artifact/")), _artifact("b", ("@git/b.yaml", "@artifact/"))]
    )
    await flux.run()
    prefix = f"artifacts/externalartifact/test/{flux.namespace}/"
    assert len([blob async for blob in flux.store.list(prefix)]) == 2
    await _generator(flux, [_artifact("a", ("@git/a.yaml", "@artifact/"))])
    await flux.run()
    assert await flux.get(SOURCE, EXTERNAL, "b") is None
    assert [blob.name.split("/")[4] async for blob in flux.store.list(prefix)] == ["a"]
    await flux.delete(SOURCE, EXTERNAL, "a")  # somebody's mistake
    await flux.request("ArtifactGenerator", "gen")
    await flux.run()
    assert await flux.get(SOURCE, EXTERNAL, "a") is not None
    await flux.delete(GENERATORS, "ArtifactGenerator", "gen")
    await flux.run()
    assert await flux.get(SOURCE, EXTERNAL, "a") is None
    assert [blob async for blob in flux.store.list(prefix)] == []
    assert await flux.get(GENERATORS, "ArtifactGenerator", "gen") is None


COPIES: dict[str, tuple[tuple[tuple[str, str] | Obj, ...], list[str]]] = {
    "file to name": ((("@git/a.yaml", "@artifact/x.yaml"),), ["x.yaml"]),
    "file to folder": ((("@git/a.yaml", "@artifact/x/"),), ["x/a.yaml"]),
    "file to a folder that is there": ((("@git/d", "@artifact/"), ("@git/a.yaml", "@artifact/d")), [
        "d/a.yaml", "d/e/g.md", "d/f.yaml"]),
    "folder": ((("@git/d", "@artifact/x"),), ["x/d/e/g.md", "x/d/f.yaml"]),
    "folder with slash": ((("@git/d/", "@artifact/x/"),), ["x/d/e/g.md", "x/d/f.yaml"]),
    "contents": ((("@git/d/**", "@artifact/x"),), ["x/e/g.md", "x/f.yaml"]),
    "star": ((("@git/*.yaml", "@artifact/"),), ["a.yaml", "b.yaml"]),
    "star in the middle": ((("@git/d/*.yaml", "@artifact/"),), ["d/f.yaml"]),
    "exclude by name": (({"from": "@git/d/**", "to": "@artifact/", "exclude": ["*.md"]},), ["f.yaml"]),
    "exclude by path": (({"from": "@git/d", "to": "@artifact/", "exclude": ["e/**"]},), ["d/f.yaml"]),
    "extract": (({"from": "@git/*.tgz", "to": "@artifact/x/", "strategy": "Extract"},), [
        "x/c/Chart.yaml", "x/c/templates/x.yaml", "x/c/values.yaml"]),
    "extract below": (({"from": "@git/**/*.tgz", "to": "@artifact/", "strategy": "Extract"},), [
        "c/Chart.yaml", "c/templates/x.yaml", "c/values.yaml"]),
    "outside": ((("@git/../../a.yaml", "@artifact/x.yaml"),), ["x.yaml"]),
}  # fmt: skip
WRONG: dict[str, tuple[tuple[tuple[str, str] | Obj, ...], str]] = {
    "no alias": ((("@none/a", "@artifact/"),), "source alias 'none' not found"),
    "no file": ((("@git/none", "@artifact/"),), "source 'none' does not exist"),
    "no match": ((("@git/*.none", "@artifact/"),), "no files match pattern '*.none'"),
    "all excluded": (({"from": "@git/*.yaml", "to": "@artifact/", "exclude": ["*"]},), "were excluded"),
    "extract a folder": (({"from": "@git/d", "to": "@artifact/", "strategy": "Extract"},), "is not supported"),
    "extract a file": (({"from": "@git/a.yaml", "to": "@artifact/", "strategy": "Extract"},), "requires tarball file"),
    "merge what is none": ((("@git/list.yml", "@artifact/x"), {"from": "@git/list.yml", "to": "@artifact/x",
        "strategy": "Merge"}), "a document is no YAML mapping"),
}  # fmt: skip


async def test_copies_are_those_of_cp(flux: Flux, repo: Repo, tmp_path: Path) -> None:
    """A table of copies, and one of those that cannot be made (AG-3)."""
    repo.push({"a.yaml": "a: 1\n", "b.yaml": "b: 1\n", "d/f.yaml": "f", "d/e/g.md": "g", "list.yml": "- 1\n"})
    (repo.work / "c.tgz").write_bytes(packed("c", "1.0.0"))
    repo.push({})
    await flux.source(repo)
    for number, (copies, _) in enumerate(COPIES.values()):
        await _generator(flux, [_artifact(f"good{number}", *copies)], f"good{number}")
    for number, (copies, _) in enumerate(WRONG.values()):
        await _generator(flux, [_artifact(f"wrong{number}", *copies)], f"wrong{number}")
    await flux.run(patience=0.3)
    for number, (case, (_, paths)) in enumerate(COPIES.items()):
        assert sorted(await _files(flux, tmp_path, f"good{number}")) == paths, case
    for number, (case, (_, text)) in enumerate(WRONG.items()):
        found = await _gen(flux, f"wrong{number}")
        assert ready(found) == ("False", "BuildFailed"), case
        assert text in message(found), (case, message(found))


async def test_a_pattern_makes_one_for_each_folder(flux: Flux, repo: Repo, tmp_path: Path) -> None:
    """With the captures in its name and `commonMetadata` on it; wrong patterns are named (AG-4, AG-5)."""
    repo.push({"apps/Web/dev/a.yaml": "w", "apps/api/dev/a.yaml": "d", "apps/api/prod/a.yaml": "p", "other/x/a": "x"})
    await flux.source(repo)
    output = _artifact("{app}-{env}", ("@git/apps/{app}/{env}/**", "@artifact/"))
    common = {"labels": {"team": "a"}, "annotations": {"note": "b"}}
    await _generator(flux, [output], pathPattern="@git/apps/{app}/{env}", commonMetadata=common)
    bad = {
        "capture": ("@git/apps/{app}", "{other}", "is not defined by pathPattern"),
        "twice": ("@git/apps/{app}/{app}", "{app}", "duplicate capture variable 'app'"),
        "brace": ("@git/apps/{app", "x", "a brace has no other one"),
        "name": ("@git/apps/{1}", "x", "must be a valid capture name"),
        "alias": ("@none/apps/{app}", "x", "source alias none not found"),
        "same": ("@git/apps/{app}", "one", "both resolve to artifact name 'one'"),
    }
    for name, (pattern, output_name, _) in bad.items():
        await _generator(flux, [_artifact(output_name, ("@git/apps", "@artifact/"))], name, pathPattern=pattern)
    await flux.run(patience=0.3)
    assert message(await _gen(flux)) == "reconciliation succeeded, generated 3 artifact(s)"
    names = {entry["name"] for entry in (await _gen(flux))["status"]["inventory"]}
    assert names == {"web-dev", "api-dev", "api-prod"}
    assert await _files(flux, tmp_path, "web-dev") == {"a.yaml": "w"}
    metadata = (await flux.source_of(EXTERNAL, "api-prod"))["metadata"]
    assert {"team": "a", "app": "api", "env": "prod"}.items() <= metadata["labels"].items()
    assert metadata["annotations"]["note"] == "b"
    for name, (_, _, text) in bad.items():
        found = await _gen(flux, name)
        assert ready(found) == ("False", "BuildFailed"), name
        assert text in message(found), message(found)
        assert message(found, "Stalled") != "None"


async def test_what_is_wrong_is_named(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": "a"})
    await flux.source(repo)
    copy = ("@git/a.yaml", "@artifact/")
    git = {"alias": "git", "kind": "GitRepository", "name": "repo"}
    await _generator(flux, [_artifact("a", copy)], "twice", sources=[git, git])
    await _generator(flux, [_artifact("b", copy), _artifact("b", copy)], "same")
    await _generator(flux, [_artifact("c", copy, revision="@none")], "revision")
    await _generator(flux, [_artifact("d", copy)], "missing", sources=[git | {"name": "none"}])
    await _generator(flux, [_artifact("e", copy)], "foreign", sources=[git | {"namespace": "default"}])
    flux.configure(no_cross_namespace_refs=True)
    await flux.run(patience=0.3)
    expected = {
        "twice": ("ValidationFailed", "duplicate source alias 'git' found"),
        "same": ("ValidationFailed", "duplicate artifact name 'b' found"),
        "revision": ("ValidationFailed", "revision source alias 'none' not found"),
        "missing": ("SourceFetchFailed", "not found"),
        "foreign": ("AccessDenied", "cross-namespace reference to source"),
    }
    for name, (reason, text) in expected.items():
        found = await _gen(flux, name)
        assert ready(found) == ("False", reason), (name, message(found))
        assert text in message(found)


async def test_a_generator_that_is_switched_off(flux: Flux, repo: Repo) -> None:
    """By its annotation (AG-8)."""
    repo.push({"a.yaml": "a"})
    await flux.source(repo)
    body = {
        "apiVersion": GENERATORS,
        "kind": "ArtifactGenerator",
        "metadata": {
            "name": "gen",
            "namespace": flux.namespace,
            "annotations": {"source.extensions.fluxcd.io/reconcile": "disabled"},
        },
        "spec": {
            "sources": [{"alias": "git", "kind": "GitRepository", "name": "repo"}],
            "artifacts": [_artifact("a", ("@git/a.yaml", "@artifact/"))],
        },
    }
    await flux.cluster.apply(body, manager="user")
    await flux.run()
    assert ready(await _gen(flux)) == ("Unknown", "ReconciliationDisabled")
    assert await flux.get(SOURCE, EXTERNAL, "a") is None
    assert await flux.get(KUSTOMIZE, "Kustomization", "none") is None


async def test_artifacts_of_others_are_fetched_where_that_is_allowed(
    flux: Flux, images: Images, tmp_path: Path
) -> None:
    """Only what has the digest that the status says (EA-1)."""
    archive = tarball({"a.yaml": config_map("a", "1")})
    good = f"sha256:{hashlib.sha256(archive).hexdigest()}"

    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=archive)

    app = web.Application()
    app.router.add_get("/artifact.tar.gz", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/artifact.tar.gz"
    resource = await flux.cluster.resource(SOURCE, EXTERNAL)
    try:
        for name, digest in (("good", good), ("wrong", f"sha256:{'0' * 64}")):
            await flux.put(SOURCE, EXTERNAL, name, {})
            artifact = {"digest": digest, "path": f"elsewhere/{name}", "revision": f"v1@{digest}", "url": url}
            status = {"status": {"artifact": artifact | {"lastUpdateTime": "2026-01-01T00:00:00Z", "size": 1}}}
            await flux.cluster.patch(resource, name, flux.namespace, body=status, subresource="status")
            await flux.kustomization(name, sourceRef={"kind": EXTERNAL, "name": name})
        await flux.run(patience=0.3)
        for name in ("good", "wrong"):
            assert ready(await flux.ks(name))[0] == "False"
        services = flux.engine.services
        cache = ArtifactCache(services.store, tmp_path / "foreign", foreign=True)
        flux.engine.services = replace(services, artifacts=cache)
        await flux.request("Kustomization", "good", "wrong")
        await flux.run(patience=0.3)
        assert ready(await flux.ks("good"))[0] == "True", message(await flux.ks("good"))
        assert await flux.value("a") == "1"
        assert "does not have the digest" in message(await flux.ks("wrong"))
    finally:
        await runner.cleanup()

"""From a tree to objects with the real kustomize (KC-64..67): generation, merging, the jail, origins, the cache."""

import threading
from pathlib import Path
from typing import Any

import pytest

from fluxless.api.failure import Problem
from fluxless.kustomize import build as building
from fluxless.kustomize.build import build
from tests.support.repositories import config_map, deployment

pytestmark = pytest.mark.binaries


def _tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


async def _build(
    folder: Path, files: dict[str, str], variables: dict[str, str] | None = None, **spec: Any
) -> list[Any]:
    return (await build(_tree(folder, files), f"sha256:{folder}", spec, variables or {})).objects


def _names(rendered: list[Any]) -> list[str]:
    return sorted(f"{item.object['kind']}/{item.object['metadata']['name']}" for item in rendered)


async def test_without_a_kustomization_file_all_manifests_below_are_taken(tmp_path: Path) -> None:
    files = {
        "a.yaml": config_map("a"),
        "deep/b.yml": config_map("b"),
        "own/kustomization.yaml": "resources: [c.yaml]\nnamePrefix: pre-\n",
        "own/c.yaml": config_map("c"),
        "own/ignored.yaml": config_map("ignored"),
        "notes.txt": "no manifest",
    }
    rendered = await _build(tmp_path, files)
    assert _names(rendered) == ["ConfigMap/a", "ConfigMap/b", "ConfigMap/pre-c"]
    assert {item.origin for item in rendered} == {"a.yaml:1", "deep/b.yml:1", "own/c.yaml:1"}
    assert all("annotations" not in item.object["metadata"] for item in rendered)


async def test_an_empty_folder_builds_to_nothing(tmp_path: Path) -> None:
    assert await _build(tmp_path, {"app/readme.md": "x"}, path="./app") == []


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
async def test_every_recognised_file_name_is_used(tmp_path: Path, name: str) -> None:
    files = {f"app/{name}": "resources: [a.yaml]\n", "app/a.yaml": config_map("a"), "app/b.yaml": config_map("b")}
    assert _names(await _build(tmp_path, files, path="app")) == ["ConfigMap/a"]


async def test_the_spec_is_merged_into_the_file(tmp_path: Path) -> None:
    files = {
        "kustomization.yaml": "resources: [web.yaml]\nnamespace: theirs\nimages:\n- {name: example/web, newTag: '2'}\n",
        "web.yaml": deployment("web"),
        "extra/kustomization.yaml": "kind: Component\nlabels: [{pairs: {x: why}}]\n",
    }
    patch = '[{"op": "add", "path": "/spec/paused", "value": true}]'
    (item,) = await _build(
        tmp_path,
        files,
        targetNamespace="ours",
        namePrefix="pre-",
        nameSuffix="-suf",
        patches=[{"patch": patch, "target": {"kind": "Deployment"}}],
        images=[{"name": "example/web", "newName": "registry/web"}],
        components=["extra", "missing"],
        ignoreMissingComponents=True,
    )
    assert item.object["metadata"]["name"] == "pre-web-suf"
    assert item.object["metadata"]["namespace"] == "ours"
    assert item.object["metadata"]["labels"] == {"x": "why"}
    assert item.object["spec"]["paused"] is True
    assert item.object["spec"]["template"]["spec"]["containers"][0]["image"] == "registry/web:2"
    assert item.origin == "web.yaml:1"


async def test_patches_of_the_old_api_versions_are_obeyed(tmp_path: Path) -> None:
    merge = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"paused": True}}
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 7}]
    (item,) = await _build(
        tmp_path,
        {"web.yaml": deployment("web")},
        patchesStrategicMerge=[merge],
        patchesJson6902=[{"patch": operations, "target": {"version": "v1", "kind": "Deployment", "name": "web"}}],
    )
    assert (item.object["spec"]["paused"], item.object["spec"]["replicas"]) == (True, 7)


async def test_origin_annotations_stay_when_they_are_asked_for(tmp_path: Path) -> None:
    (item,) = await _build(tmp_path, {"a.yaml": config_map("a")}, buildMetadata=["originAnnotations"])
    assert item.object["metadata"]["annotations"]["config.kubernetes.io/origin"] == "path: a.yaml\n"


async def test_substitution_happens_on_text_so_that_numbers_become_numbers(tmp_path: Path) -> None:
    files = {
        "web.yaml": deployment("web").replace("replicas: 1", "replicas: ${count}"),
        "off.yaml": config_map("off", "${count}", **{"kustomize.toolkit.fluxcd.io/substitute": "disabled"}),
    }
    found = {item.object["kind"]: item.object for item in await _build(tmp_path, files, {"count": "3"})}
    assert found["Deployment"]["spec"]["replicas"] == 3
    assert found["ConfigMap"]["data"]["value"] == "${count}"


async def test_without_variables_nothing_is_substituted_unless_always(tmp_path: Path) -> None:
    files = {"a.yaml": config_map("a", "${x:=5}")}
    (plain,) = await _build(tmp_path, files)
    assert plain.object["data"]["value"] == "${x:=5}"
    (always,) = await _build(tmp_path, files, postBuild={"substituteStrategy": "Always"})
    assert always.object["data"]["value"] == 5  # kustomize drops the quotes, as it does for Flux


async def test_all_objects_that_cannot_be_substituted_are_named_at_once(tmp_path: Path) -> None:
    files = {"a.yaml": config_map("a", "${no}"), "b.yaml": config_map("b", "${nor}")}
    with pytest.raises(Problem) as caught:
        await _build(tmp_path, files, {"x": "y"})
    assert [failure.origin for failure in caught.value.failures] == ["a.yaml:1", "b.yaml:1"]


ESCAPES = {
    "resource": "resources: [../../secret.yaml]\n",
    "absolute": "resources: [/etc/passwd]\n",
    "patch": "resources: [a.yaml]\npatches: [{path: ../../patch.yaml}]\n",
    "generator-file": "configMapGenerator: [{name: x, files: [key=../../../etc/passwd]}]\n",
    "generator-env": "secretGenerator: [{name: x, envs: [../../env]}]\n",
    "component": "components: [../../../elsewhere]\n",
    "openapi": "openapi: {path: ../../schema.json}\n",
    "transformer": "resources: [a.yaml]\ntransformers: [t.yaml]\n",
    "base": "resources: [../base]\n",
}


@pytest.mark.parametrize("name", ESCAPES)
async def test_no_path_leaves_the_artifact(tmp_path: Path, name: str) -> None:
    files = {
        "app/kustomization.yaml": ESCAPES[name],
        "app/a.yaml": config_map("a"),
        "app/t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\npath: ../../../patch.yaml\n",
        "base/kustomization.yaml": "resources: [../../x.yaml]\n",
    }
    with pytest.raises(Problem, match="leaves the artifact"):
        await _build(tmp_path, files, path="app")


async def test_a_symbolic_link_out_of_the_artifact_is_no_way_out(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "tree", {"kustomization.yaml": "resources: [link.yaml]\n"})
    (tmp_path / "outside.yaml").write_text(config_map("outside"))
    (tree / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    with pytest.raises(Problem, match="leaves the artifact"):
        await build(tree, "sha256:link", {}, {})


async def test_one_path_is_built_once_for_all_who_substitute_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = _tree(tmp_path, {"a.yaml": config_map("a", "${x}")})
    before = building._builds.misses
    builds = [await build(tree, "sha256:once", {}, {"x": str(n)}) for n in range(20)]
    values = [build.objects[0].object["data"]["value"] for build in builds]
    assert values == list(range(20))
    assert building._builds.misses - before == 1


async def test_the_tree_of_the_cache_is_never_written_to(tmp_path: Path) -> None:
    text = "resources: [a.yaml]\n"
    await _build(tmp_path, {"kustomization.yaml": text, "a.yaml": config_map("a")}, namePrefix="x-")
    assert (tmp_path / "kustomization.yaml").read_text() == text


async def test_variables_are_put_in_off_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they hold may be long, or stand for a lot."""
    here, there = threading.get_ident(), []
    work = building._substitute_all

    def noted(*arguments: Any) -> Any:
        there.append(threading.get_ident())
        return work(*arguments)

    monkeypatch.setattr(building, "_substitute_all", noted)
    rendered = await _build(tmp_path, {"a.yaml": config_map("a", "${v}")}, {"v": "x"})
    assert rendered[0].object["data"] == {"value": "x"}
    assert there
    assert here not in there

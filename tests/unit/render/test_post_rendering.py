"""What helm's post-renderer makes of manifests (HR-30..32, HR-73): the real program, with no helm and no cluster."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fluxless.go_yaml import load, split
from fluxless.process import Finished, run
from fluxless.render.binaries import PROGRAM, binary
from fluxless.render.kustomize import ARGUMENTS

pytestmark = pytest.mark.binaries

PATCH = [{"patch": "- {op: add, path: /data/patched, value: 'yes'}", "target": {"kind": "ConfigMap"}}]
SCALARS = """apiVersion: v1
kind: ConfigMap
metadata:
  name: odd
data:
  t: 12:30:45
  version: "1.10"
  on: "off"
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: monitors.example.io
spec:
  enum: [=, "!=", =~, "!~"]
"""


def _config_map(name: str, **annotations: str) -> str:
    metadata = {"name": name, **({"annotations": annotations} if annotations else {})}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}})


async def _run(folder: Path, manifests: str, **task: Any) -> Finished:
    wanted = {"kustomize": [], "strategy": "combined", "labels": {}, "annotations": {}} | task
    (folder / "task.json").write_text(json.dumps(wanted))
    program = await binary(PROGRAM)
    return await run(
        [program, "post-render", *ARGUMENTS, folder / "task.json"], stdin=manifests.encode(), timeout=30, slot=False
    )


async def _rendered(folder: Path, manifests: str, **task: Any) -> dict[str, Any]:
    done = await _run(folder, manifests, **task)
    assert done.code == 0, done.stderr.decode()
    objects = [load(text, "output") for text in split(done.stdout.decode())]
    return {one["metadata"]["name"]: one for one in objects}


async def test_every_object_gets_the_labels_and_annotations(tmp_path: Path) -> None:
    items = json.dumps([yaml.safe_load(_config_map("b"))])
    manifests = f"{_config_map('a', own='1')}---\napiVersion: v1\nkind: List\nitems: {items}\n"
    found = await _rendered(tmp_path, manifests, labels={"l": "1"}, annotations={"own": "2", "n": "true"})
    assert {name: one["metadata"]["labels"] for name, one in found.items()} == {"a": {"l": "1"}, "b": {"l": "1"}}
    assert found["a"]["metadata"]["annotations"] == {"own": "2", "n": "true"}


async def test_scalars_arrive_as_the_chart_wrote_them(tmp_path: Path) -> None:
    for kustomize in ([], [{"images": [{"name": "x", "newTag": "2"}]}], [{"patches": PATCH}]):
        found = await _rendered(tmp_path, SCALARS, labels={"l": "1"}, kustomize=kustomize)
        data = {key: value for key, value in found["odd"]["data"].items() if key != "patched"}
        assert data == {"t": "12:30:45", "version": "1.10", "on": "off"}
        assert found["monitors.example.io"]["spec"]["enum"] == ["=", "!=", "=~", "!~"]


async def test_hooks_are_changed_with_the_others_apart_or_not_at_all(tmp_path: Path) -> None:
    manifests = f"{_config_map('hook', **{'helm.sh/hook': 'pre-install'})}---\n{_config_map('plain')}"
    changed = {}
    for strategy in ("combined", "separate", "nohooks"):
        task = {"strategy": strategy, "labels": {"l": "1"}, "kustomize": [{"patches": PATCH}]}
        found = await _rendered(tmp_path, manifests, **task)
        changed[strategy] = {
            name: ("patched" in one["data"], "labels" in one["metadata"]) for name, one in sorted(found.items())
        }
    both, none = (True, True), (False, False)
    assert changed == {
        "combined": {"hook": both, "plain": both},
        "separate": {"hook": both, "plain": both},
        "nohooks": {"hook": none, "plain": both},
    }


async def test_only_what_the_api_knows_of_a_patch_is_used(tmp_path: Path) -> None:
    """A patch of kustomize may name a file; one of a HelmRelease may not."""
    secret = tmp_path / "secret.yaml"
    secret.write_text("[{op: add, path: /data/stolen, value: secret}]")
    patches = [{"path": str(secret), "target": {"kind": "ConfigMap"}}]
    done = await _run(tmp_path, _config_map("a"), kustomize=[{"patches": patches}])
    assert b"stolen" not in done.stdout
    assert done.code != 0


async def test_what_cannot_be_changed_is_said(tmp_path: Path) -> None:
    done = await _run(tmp_path, _config_map("a"), kustomize=[{"patches": [{"patch": "kind: x"}]}])
    assert done.code == 1
    assert done.stderr.startswith(b"post-renderer: ")


async def test_nothing_is_rendered_to_nothing(tmp_path: Path) -> None:
    assert await _rendered(tmp_path, "", labels={"l": "1"}) == {}

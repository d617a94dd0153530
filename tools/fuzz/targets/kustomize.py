"""Kustomize trees of repositories, with every way to name a file: `kustomize.build`, with the real kustomize."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random
from typing import Any

from fluxless.kustomize.build import build
from tools.fuzz import odd
from tools.fuzz.loop import wait

SLOW = True
OUTSIDE = "@outside@"
"""Becomes the absolute path of the folder beside the tree."""
_PATHS = [
    *("a.yaml", "base", "../canary.yaml", "../../canary", "../../../canary.yaml", "../secret", "../../secret", "link"),
    *(
        "link/canary.yaml",
        "base/../../canary.yaml",
        "link/../canary.yaml",
        f"{OUTSIDE}/canary",
        f"{OUTSIDE}/canary.yaml",
    ),
    *(
        f"{OUTSIDE}/secret",
        "/proc/self/environ",
        "k=../canary",
        "a/b/k=../../../canary",
        "file:///etc/hostname",
        "~/canary",
    ),
    *("https://127.0.0.1:9/x", "git::file:///", "", ".", "a.yaml\0"),
]
_OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: y}\n"


def inputs(random: Random) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a tree (a content that begins with `->` is a link), and a spec."""
    files = {"a.yaml": _OBJECT.encode(), "kustomization.yaml": _kustomization(random, "a.yaml"), "base/b.yaml": b"a: 1"}
    files["base/kustomization.yaml"] = _kustomization(random, "../a.yaml")
    if random.random() < 0.4:
        files["link"] = f"->{random.choice(('..', '../secret', 'base', OUTSIDE, '../canary', 'base/../..'))}".encode()
    spec: dict[str, Any] = {
        "path": random.choice(("./", "./", "base", "..", "link", "../secret", "a.yaml", "\0", "x" * 5000))
    }
    if random.random() < 0.2:
        spec |= {"components": [random.choice(_PATHS)], "ignoreMissingComponents": True}
    if random.random() < 0.2:
        spec |= {"patches": [{"patch": random.choice((_OBJECT, "", "a: [", "[]", f"path: {OUTSIDE}"))}]}
    return files, spec


def _kustomization(random: Random, sound: str) -> bytes:
    def path() -> str:
        return random.choice(_PATHS)

    generator = {"name": "c", "files": [path(), f"k={path()}"], "literals": ["a=b"], "envs": [path()]}
    document: dict[str, Any] = {"resources": [sound, path()] if random.random() < 0.5 else [sound]}
    fields: dict[str, Any] = {
        "configMapGenerator": [generator],
        "ConfigMapGenerator": [generator],
        "secretGenerator": [{**generator, "Files": [path()], "env": path()}],
        "patches": [{"path": path()}, {"patch": _OBJECT, "target": {"kind": "ConfigMap"}}],
        "patchesStrategicMerge": [path()],
        "components": [path()],
        "crds": [path()],
        "configurations": [path()],
        "openapi": {"path": path()},
        "generators": [
            path(),
            f"{{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {{name: g}}, files: ['{path()}']}}",
        ],
        "transformers": [path()],
        "validators": [path()],
        "replacements": [{"path": path()}],
        "helmCharts": [{"name": "x", "valuesFile": path()}],
        "helmGlobals": {"chartHome": path()},
        "bases": [path()],
        "resources": [path()],
    }
    for name in random.sample(sorted(fields), random.randint(1, 3)):
        document[name] = fields[name]
    if random.random() < 0.3:
        document = odd.changed(random, document, 1)
    data = odd.as_json(document)
    return (
        odd.bent(random, data, [b"!!binary ", b"&a ", b"*a", b"<<: *a", b"---\n", b"\0"])
        if random.random() < 0.15
        else data
    )


def judge(data: tuple[dict[str, bytes], dict[str, Any]], folder: Path) -> object:
    """Build it; the canary lies beside the tree and above it."""
    files, spec = data
    tree, outside = folder / "tree", str(folder.parent).encode()
    for name in ("canary", "canary.yaml", "secret/kustomization.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((folder.parent / name).read_bytes())
    for path, written in files.items():
        place = tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        content = written.replace(OUTSIDE.encode(), outside)
        if content.startswith(b"->"):
            place.symlink_to(content[2:].decode())
        else:
            place.write_bytes(content)
    digest = hashlib.sha256(repr(data).encode()).hexdigest()
    return [item.object for item in wait(build(tree, digest, spec, {}, timeout=8)).objects]

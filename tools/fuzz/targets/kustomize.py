"""Kustomize trees of repositories, with every way to name a file: `kustomize.build`, with the real kustomize."""

from __future__ import annotations

import base64
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


_FIELDS = (
    "configMapGenerator",
    "secretGenerator",
    "patches",
    "patchesStrategicMerge",
    "components",
    "crds",
    "configurations",
)
_MORE = (
    "openapi",
    "generators",
    "transformers",
    "validators",
    "replacements",
    "helmCharts",
    "helmGlobals",
    "bases",
    "resources",
)


def inputs(random: Random) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a tree (a content that begins with `->` is a link), and a spec; sound but for a path or two."""
    files = {"a.yaml": _OBJECT.encode(), "base/b.yaml": _OBJECT.replace("name: a", "name: b").encode()}
    nested = random.random() < 0.4
    files["kustomization.yaml"] = _kustomization(
        random, ["a.yaml", *(["base"] if nested else [])], "" if nested else _hostile(random)
    )
    files["base/kustomization.yaml"] = _kustomization(random, ["b.yaml"], _hostile(random) if nested else "")
    if random.random() < 0.4:
        target = random.choice(("..", "../secret", "base", OUTSIDE, "../canary", "base/../..", "base"))
        files[random.choice(("link", "base/link"))] = f"->{target}".encode()
    spec: dict[str, Any] = {
        "path": random.choice(("./",) * 12 + ("base", "..", "link", "../secret", "a.yaml", "\0", "x" * 5000))
    }
    if random.random() < 0.1:
        spec |= {"components": [random.choice(_PATHS)], "ignoreMissingComponents": True}
    if random.random() < 0.1:
        spec |= {"patches": [{"patch": random.choice((_OBJECT, "", "a: [", "[]", f"path: {OUTSIDE}"))}]}
    return files, spec


def _hostile(random: Random) -> str:
    """A field that leads outside, in a spelling of its own."""
    path = random.choice(_PATHS)
    name = random.choice((*_FIELDS, *_MORE))
    generator = {"name": "c", random.choice(("files", "Files", "envs", "Envs", "env", "FILES")): [path]}
    inline = f"apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {{name: g}}\nname: g\nfiles: ['k={path}']\n"
    bodies: dict[str, Any] = {
        "configMapGenerator": [generator],
        "secretGenerator": [generator],
        "patches": [{"path": path}],
        "openapi": {"path": path},
        "generators": [random.choice((path, inline))],
        "replacements": [{"path": path}],
        "helmCharts": [{"name": "x", "valuesFile": path}],
        "helmGlobals": {"chartHome": path},
    }
    text = odd.as_json(bodies.get(name, [path])).decode()
    if random.random() < 0.2:
        text = text.replace(f'"{path}"', f"!!binary {base64.b64encode(path.encode()).decode()}")
    spelled = random.choice((name, name, name[:1].upper() + name[1:], name.upper()))
    return f"{spelled}: {text}\n"


def _kustomization(random: Random, resources: list[str], hostile: str) -> bytes:
    sound = "" if hostile.startswith("resources") else f"resources: {odd.as_json(resources).decode()}\n"
    data = f"{hostile}{sound}".encode()
    return (
        odd.bent(random, data, [b"!!binary ", b"&a ", b"*a", b"<<: *a", b"---\n", b"\0"])
        if random.random() < 0.1
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

"""Keeps a build inside its artifact: every local path that a kustomization names must stay there (KC-66).

kustomize itself is run without load restrictions, since bases may lie beside the path; so this is the wall. It follows
every file that kustomize would take paths from. Pure but for reading the tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fluxless.kustomize.generate import BuildProblem, kustomization_file
from fluxless.render.manifests import load_all

_LISTS = (
    "resources",
    "bases",
    "components",
    "crds",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "patchesStrategicMerge",
)
_WITH_PATH = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")
_CONFIGURED = {"generators", "transformers", "validators"}


def check(root: Path, folder: Path) -> None:
    """Follow the kustomization of `folder`. Raises `BuildProblem` naming the file and the path that leaves the root."""
    _Walk(root.resolve()).enter(folder)


class _Walk:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen: set[Path] = set()

    def enter(self, folder: Path) -> None:
        """A folder with a kustomization file; anything else is kustomize's to complain about."""
        file = kustomization_file(folder)
        if file is None or file in self.seen:
            return
        self.seen.add(file)
        self.read(file, folder)

    def read(self, file: Path, folder: Path) -> None:
        name = str(file.resolve().relative_to(self.root))
        for document in load_all(file.read_text(errors="replace"), name):
            if isinstance(document, dict):
                for field, path in _paths(document):
                    self.follow(field, path, folder, name)

    def follow(self, field: str, path: str, folder: Path, name: str) -> None:
        if "\n" in path or "://" in path or path.startswith("git@"):
            return  # in-line content, or a remote base
        target = (folder / path).resolve()
        if Path(path).is_absolute() or not target.is_relative_to(self.root):
            raise BuildProblem(f"{field}: path {path!r} leaves the artifact", "use a path inside the source", name)
        if target.is_dir():
            self.enter(target)
        elif field in _CONFIGURED and target.is_file() and target not in self.seen:
            self.seen.add(target)
            self.read(target, target.parent)


def _paths(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, path) for every path in a kustomization file or in the configuration of a generator or transformer."""
    for field in _LISTS:
        yield from ((field, entry) for entry in _strings(document.get(field)))
    for field in _WITH_PATH:
        yield from (
            (f"{field}.path", entry["path"]) for entry in _mappings(document.get(field)) if _text(entry, "path")
        )
    for holder in (document, *(item for field in _GENERATORS for item in _mappings(document.get(field)))):
        for field in ("files", "envs"):
            yield from ((field, entry.rpartition("=")[2]) for entry in _strings(holder.get(field)))
        if _text(holder, "env"):
            yield "env", holder["env"]
    if _text(document, "path"):
        yield "path", document["path"]
    openapi = document.get("openapi")
    if isinstance(openapi, dict) and _text(openapi, "path"):
        yield "openapi.path", openapi["path"]


def _text(mapping: Mapping[str, Any], field: str) -> bool:
    return isinstance(mapping.get(field), str) and bool(mapping[field])


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

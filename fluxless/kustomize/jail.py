"""Says before a build what in its kustomizations leads elsewhere: to the network, or out of the artifact (KC-66).

This is for good messages, and for `bases.py`, which brings what is on the network. No safety rests on it: it reads
kustomizations as their authors mean them, and what kustomize opens in the end is bounded where it is opened, by
`fluxless-kustomize`. Pure but for reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluxless import limits
from fluxless.go_yaml import load_all
from fluxless.kustomize.beneath import Files, resolved
from fluxless.kustomize.generate import kustomization_file
from fluxless.kustomize.problems import BuildProblem

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


LONGEST = 4000
"""Characters of a path; Linux knows none that is longer."""
_ELSEWHERE = re.compile(r"^(?:[a-z+]+://|git@|git::|[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}[:/])|\?ref=", re.IGNORECASE)
"""What kustomize would look for on the network when there is no such file."""


REMOTE = "copy it into the source, or allow remote bases by the app setting FLUXLESS_REMOTE_BASES"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An entry of a kustomization file that is no path of the artifact; `shown` is the file's name in the artifact."""

    field: str
    entry: str
    file: Path
    shown: str


def check(files: Files, folder: Path) -> None:
    """Follow the kustomization of `folder`. Raises `BuildProblem` naming the file and the path that leaves the root."""
    for found in elsewhere(files, folder):
        raise BuildProblem(f"{found.field}: remote base '{found.entry}' is not allowed", REMOTE, found.shown)


def elsewhere(files: Files, folder: Path) -> list[Elsewhere]:
    """The entries that lead to the network. Raises `BuildProblem` for a path that leaves the root."""
    walk = _Walk(files)
    walk.enter(folder)
    return walk.found


@dataclass(slots=True)
class _Walk:
    files: Files
    seen: set[Path] = field(default_factory=set)
    found: list[Elsewhere] = field(default_factory=list)
    followed: set[tuple[str, Path, Path, str]] = field(default_factory=set)
    bytes: int = 0

    def enter(self, folder: Path) -> None:
        """A folder with a kustomization file; anything else is kustomize's to complain about."""
        file = kustomization_file(self.files, folder)
        if file is None or file in self.seen:
            return
        self.seen.add(file)
        self.read(file, folder)

    def read(self, file: Path, folder: Path) -> None:
        name = self.files.shown(file)
        data = self.files.read(file)
        self.bytes += len(data)
        if self.bytes > limits.KUSTOMIZATION_BYTES:
            size = f"{limits.KUSTOMIZATION_BYTES >> 20} MiB"
            raise BuildProblem(f"kustomizations are larger than {size} together", "split the path", name)
        for document in load_all(data, name):
            if isinstance(document, dict):
                for where, path in _paths(document):
                    self.follow(where, path, folder, file, name)

    def follow(self, where: str, path: str, folder: Path, file: Path, name: str) -> None:
        if "\n" in path or (where, folder, file, path) in self.followed:
            return  # in-line content, or said before
        self.followed.add((where, folder, file, path))
        if len(self.followed) > limits.KUSTOMIZATION_ENTRIES:
            raise BuildProblem(f"more than {limits.KUSTOMIZATION_ENTRIES} paths", "split the path", name)
        if "\0" in path or len(path) > LONGEST:
            raise BuildProblem(f"{where}: {path[:200]!r} is no path", "use a path inside the source", name)
        target = resolved(folder / path)
        # Judged before anybody looks whether it exists: what exists on this machine is nobody's affair.
        inside = target is not None and not Path(path).is_absolute() and target.is_relative_to(self.files.root)
        if _ELSEWHERE.search(path) and ("://" in path or target is None or not inside or not target.exists()):
            self.found.append(Elsewhere(where, path, file, name))
            return
        if target is None or not inside:
            raise BuildProblem(f"{where}: path {path!r} leaves the artifact", "use a path inside the source", name)
        if target.is_dir():
            self.enter(target)
        elif where in _CONFIGURED and target.is_file() and target not in self.seen:
            self.seen.add(target)
            self.read(target, target.parent)


def _paths(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(field, path) for every path in a kustomization file or in the configuration of a generator or transformer."""
    for name in _LISTS:
        yield from ((name, entry) for entry in _strings(document.get(name)))
    for name in _WITH_PATH:
        yield from ((f"{name}.path", entry["path"]) for entry in _mappings(document.get(name)) if _text(entry, "path"))
    for holder in (document, *(item for name in _GENERATORS for item in _mappings(document.get(name)))):
        for name in ("files", "envs"):
            yield from ((name, entry.rpartition("=")[2]) for entry in _strings(holder.get(name)))
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

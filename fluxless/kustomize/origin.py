"""Where an object was written: from kustomize's origin annotation to `path/in/artifact.yaml:line`. Best effort."""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Any

from fluxless.api.failure import Problem
from fluxless.go_yaml import load
from fluxless.kustomize.beneath import Files

ANNOTATION = "config.kubernetes.io/origin"
_LINE = re.compile(r"^(?:(---)|kind:\s*[\"']?([\w.-]+)|  name:\s*[\"']?([^\"'\s#]+)|(metadata|[a-zA-Z]\w*):)")


class Origins:
    """Looks objects up in the files of one tree; each file is read once."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._lines: dict[str, list[tuple[int, str, str]]] = {}

    def of(self, obj: dict[str, Any]) -> str:
        """The place of an object that carries the annotation; empty when it does not say."""
        text = ((obj.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION)
        if not isinstance(text, str):
            return ""
        said = load(text, ANNOTATION)
        if not isinstance(said, dict) or said.get("repo"):
            return str(said.get("repo", "")) if isinstance(said, dict) else ""
        relative = str(said.get("path") or said.get("configuredIn") or "")
        path = os.path.normpath(self._folder.relative_to(self._files.root) / relative)
        line = self._line(path, str(obj.get("kind")), str(obj["metadata"].get("name")))
        return f"{path}:{line}" if line else path

    def _line(self, path: str, kind: str, name: str) -> int:
        if path not in self._lines:
            self._lines[path] = _documents(self._files, path)
        same = [entry for entry in self._lines[path] if entry[1] == kind]
        exact = [line for line, _, written in same if written == name]
        inside = [line for line, _, written in same if written and written in name]  # a prefix or suffix was added
        return next(iter([*exact, *inside, *(line for line, _, _ in same)]), 0)


def _documents(files: Files, path: str) -> list[tuple[int, str, str]]:
    """(line, kind, name) of every document of a file, by its indentation."""
    try:
        lines = files.text(files.root / path).splitlines()
    except (OSError, Problem):
        return []
    found: list[tuple[int, str, str]] = []
    start, kind, name, in_metadata = 0, "", "", False
    for number, line in enumerate([*lines, "---"], 1):
        if line.startswith("---"):
            if kind:
                found.append((start, kind, name))
            start, kind, name, in_metadata = 0, "", "", False
        elif match := _LINE.match(line):
            start = start or number
            if match[2]:
                kind = match[2]
                in_metadata = False
            elif match[3]:
                name = name or (match[3] if in_metadata else "")
            else:
                in_metadata = match[4] == "metadata"
    return found

"""The files of a commit as paths to objects in a repository of libgit2, without a checkout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fluxless.git.errors import GitProblem

MAX_FILES = 250_000
MAX_FILE = 128 * 1024 * 1024
"""Bytes of one file in an artifact."""
_FOLDER, _LINK, _FILES, _EXECUTABLE = 0o040000, 0o160000, (0o100644, 0o100755, 0o100664), 0o100755


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of the commit."""

    path: str
    content: bytes
    executable: bool


class Tree:
    """`submodules` are the commits of submodules by their path. Only one thread at a time may use it."""

    def __init__(self, repository: Any, tree: Any, shown: str) -> None:
        self._shown = shown
        self._entries: dict[str, tuple[Any, Any, bool]] = {}
        self.submodules: dict[str, str] = {}
        stack: list[tuple[str, Any]] = [("", tree)]
        while stack:
            folder, current = stack.pop()
            for entry in current:
                path = f"{folder}/{entry.name}" if folder else str(entry.name)
                if entry.filemode == _FOLDER:
                    stack.append((path, repository[entry.id]))
                elif entry.filemode in _FILES:  # symbolic links are left out (SC-9)
                    self._entries[path] = (repository, entry.id, entry.filemode == _EXECUTABLE)
                elif entry.filemode == _LINK:
                    self.submodules[path] = str(entry.id)

    def mount(self, path: str, other: Tree) -> None:
        """Put all files of another tree below a path."""
        for name, entry in other._entries.items():
            self._entries[f"{path}/{name}"] = entry

    def keep(self, folders: Iterable[str]) -> None:
        """Leave out what is in none of the folders (GR-12). Raises `GitProblem` for one that is not there."""
        wanted = [folder.removeprefix("./").strip("/") for folder in folders]
        for folder in wanted:
            if folder not in self._entries and not any(path.startswith(f"{folder}/") for path in self._entries):
                message = f"failed to sparse checkout directories : sparse checkout dir '{folder}' does not exist"
                raise GitProblem(f"{message} in repository '{self._shown}'", "correct spec.sparseCheckout")
        below = tuple(f"{folder}/" for folder in wanted)
        self._entries = {
            path: entry for path, entry in self._entries.items() if path in wanted or path.startswith(below)
        }

    def text(self, path: str) -> str:
        """The content of a file; empty when there is none."""
        return self.read(path).decode(errors="replace") if path in self._entries else ""

    def texts(self, name: str) -> dict[str, str]:
        """The content of every file of that name, by its folder ("" is the root)."""
        found = [path for path in self._entries if path.rpartition("/")[2] == name]
        return {path.rpartition("/")[0]: self.text(path) for path in found}

    def files(self, leaves_out: Callable[[str], bool]) -> Iterator[File]:
        """In the order of their paths. Raises `GitProblem` for too many, or for one that is too large."""
        paths = [path for path in sorted(self._entries) if not leaves_out(path)]
        if len(paths) > MAX_FILES:
            message = f"'{self._shown}' has {len(paths)} files, more than {MAX_FILES}"
            raise GitProblem(message, "leave files out by spec.ignore or .sourceignore")
        for path in paths:
            yield File(path, self.read(path), self._entries[path][2])

    def read(self, path: str) -> bytes:
        """The content of a file that is there."""
        repository, identifier, _ = self._entries[path]
        blob = repository[identifier]
        if blob.size > MAX_FILE:
            message = f"file '{path}' of '{self._shown}' has {blob.size >> 20} MiB, more than {MAX_FILE >> 20}"
            raise GitProblem(message, "leave it out by spec.ignore or .sourceignore")
        return bytes(blob.data)

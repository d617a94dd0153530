"""The files of a commit as paths to objects in a repository of libgit2, without a checkout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fluxless.git.errors import GitProblem
from fluxless.limits import (
    ARCHIVE_BYTES,
    ARCHIVE_FILE,
    ARCHIVE_FILES,
    GIT_OBJECT,
    IGNORE_SIZE,
    TREE_DEPTH,
    TREE_ENTRIES,
    TREE_NAMES,
)

_FOLDER, _LINK, _FILES, _EXECUTABLE = 0o040000, 0o160000, (0o100644, 0o100755, 0o100664), 0o100755


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of the commit."""

    path: str
    content: bytes
    executable: bool


class Tree:
    """`submodules` are the commits of submodules by their path. Only one thread at a time may use it.

    A commit may name one folder over and over, so that a few objects stand for any number of files: what a tree
    amounts to is bounded while it is walked, and no object is read before its size is known. Raises `GitProblem`.
    """

    def __init__(self, repository: Any, tree: Any, shown: str) -> None:
        self._shown = shown
        self._entries: dict[str, tuple[Any, Any, bool]] = {}
        self._names = 0
        self.submodules: dict[str, str] = {}
        folders = self._measured(repository, tree.id)
        stack: list[tuple[str, Any]] = [("", tree.id)]
        while stack:
            folder, identifier = stack.pop()
            for entry in folders[identifier]:
                path = f"{folder}/{entry.name}" if folder else str(entry.name)
                if entry.filemode == _FOLDER:
                    stack.append((path, entry.id))
                elif entry.filemode in _FILES:  # symbolic links are left out (SC-9)
                    self._entries[path] = (repository, entry.id, entry.filemode == _EXECUTABLE)
                elif entry.filemode == _LINK:
                    self.submodules[path] = str(entry.id)

    def _measured(self, repository: Any, root: Any) -> dict[Any, list[Any]]:
        """The entries of each folder that there is, once it is known what all of them amount to: each is looked at
        once, however often it is named.
        """
        folders: dict[Any, list[Any]] = {}
        size: dict[Any, tuple[int, int]] = {}
        """Of all that is below a folder: the entries, and the bytes of their paths."""
        seen = 0

        def entered(identifier: Any) -> tuple[Any, Iterator[Any]]:
            nonlocal seen
            entries = folders[identifier] = list(small_object(repository, identifier, self._shown))
            seen += len(entries)
            self._check(seen)
            return identifier, iter([entry for entry in entries if entry.filemode == _FOLDER])

        way = [entered(root)]
        while way:
            identifier, inner = way[-1]
            if (folder := next((entry for entry in inner if entry.id not in size), None)) is not None:
                way.append(entered(folder.id))
                if len(way) > TREE_DEPTH:
                    raise self._too_large(f"folders are deeper than {TREE_DEPTH}")
                continue
            way.pop()
            count, self._names = len(folders[identifier]), 0
            for entry in folders[identifier]:
                below = size.get(entry.id, (0, 0)) if entry.filemode == _FOLDER else (0, 0)
                count += below[0]
                self._names += len(entry.name) + below[1] + below[0] * (len(entry.name) + 1)
            size[identifier] = count, self._names
            self._check(count)
        return folders

    def _check(self, entries: int) -> None:
        if entries > TREE_ENTRIES:
            raise self._too_large(f"it has more than {TREE_ENTRIES} files and folders")
        if self._names > TREE_NAMES:
            raise self._too_large(f"its paths have more than {TREE_NAMES >> 20} MiB")

    def _too_large(self, words: str) -> GitProblem:
        return GitProblem(f"'{self._shown}' is too large: {words}", "split the repository")

    def mount(self, path: str, other: Tree) -> None:
        """Put all files of another tree below a path."""
        self._names += other._names + len(path) * len(other._entries)
        self._check(len(self._entries) + len(other._entries))
        for name, entry in other._entries.items():
            self._entries[f"{path}/{name}"] = entry

    def keep(self, folders: Iterable[str]) -> None:
        """Leave out what is in none of the folders (GR-12); blocking. Raises `GitProblem` for one that is not there."""
        wanted = dict.fromkeys(folder.removeprefix("./").strip("/") for folder in folders)
        kept = {path: found for path in self._entries if (found := _above(path, wanted))}
        present = {name for names in kept.values() for name in names}
        for folder in wanted:
            if folder not in present:
                message = f"failed to sparse checkout directories : sparse checkout dir '{folder}' does not exist"
                raise GitProblem(f"{message} in repository '{self._shown}'", "correct spec.sparseCheckout")
        self._entries = {path: self._entries[path] for path in kept}

    def text(self, path: str) -> str:
        """The content of a small file; empty when there is none. Raises `GitProblem`."""
        return self.read(path, IGNORE_SIZE).decode(errors="replace") if path in self._entries else ""

    def texts(self, name: str) -> dict[str, str]:
        """The content of every file of that name, by its folder ("" is the root). Raises `GitProblem` for too much."""
        found = [path for path in self._entries if path.rpartition("/")[2] == name]
        texts: dict[str, str] = {}
        size = 0
        for path in found:
            texts[path.rpartition("/")[0]] = self.text(path)
            size += len(texts[path.rpartition("/")[0]])
            if size > IGNORE_SIZE:
                words = f"the files '{name}' of '{self._shown}' have more than {IGNORE_SIZE >> 10} KiB"
                raise GitProblem(words, "write fewer lines into them")
        return texts

    def files(self, leaves_out: Callable[[str], bool]) -> Iterator[File]:
        """In the order of their paths. Raises `GitProblem` for too many or too much, before any is read."""
        paths = [path for path in sorted(self._entries) if not leaves_out(path)]
        step = "leave files out by spec.ignore or .sourceignore"
        if len(paths) > ARCHIVE_FILES:
            message = f"'{self._shown}' has {len(paths)} files, more than {ARCHIVE_FILES}"
            raise GitProblem(message, step)
        total = 0
        for path in paths:
            total += self._size(path, ARCHIVE_FILE)
            if total > ARCHIVE_BYTES:
                raise GitProblem(f"'{self._shown}' has files of more than {ARCHIVE_BYTES >> 20} MiB", step)
        for path in paths:
            yield File(path, self.read(path), self._entries[path][2])

    def read(self, path: str, limit: int = ARCHIVE_FILE) -> bytes:
        """The content of a file that is there. Raises `GitProblem` when it has more than `limit` bytes."""
        self._size(path, limit)
        repository, identifier, _ = self._entries[path]
        return bytes(repository[identifier].data)

    def _size(self, path: str, limit: int) -> int:
        repository, identifier, _ = self._entries[path]
        size = int(repository.odb.read_header(identifier)[1])
        if size > limit:
            shown, bound = (f"{size >> 20} MiB", f"{limit >> 20}") if limit >> 20 else (f"{size} bytes", f"{limit}")
            message = f"file '{path}' of '{self._shown}' has {shown}, more than {bound}"
            raise GitProblem(message, "leave it out by spec.ignore or .sourceignore")
        return size


def small_object(repository: Any, identifier: Any, shown: str) -> Any:
    """A commit, tag or folder. Raises `GitProblem` for one that is too large, before it is in memory."""
    size = int(repository.odb.read_header(identifier)[1])
    if size > GIT_OBJECT:
        words = f"'{shown}' is too large: its object {identifier} has {size >> 20} MiB, more than {GIT_OBJECT >> 20}"
        raise GitProblem(words, "split the repository")
    return repository[identifier]


def _above(path: str, wanted: Mapping[str, None]) -> tuple[str, ...]:
    """Which of the folders a path is in, or is."""
    parts = path.split("/")
    return tuple(name for end in range(len(parts) + 1) if (name := "/".join(parts[:end])) in wanted)

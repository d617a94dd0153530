"""The files of a commit as paths to objects that libgit2 reads in its own process, without a checkout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from fluxless.git.errors import GitProblem
from fluxless.limits import (
    ARCHIVE_BYTES,
    ARCHIVE_FILE,
    ARCHIVE_FILES,
    IGNORE_SIZE,
    TREE_ENTRIES,
    TREE_NAMES,
)


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of the commit."""

    path: str
    content: bytes
    executable: bool


class Contents(Protocol):
    """Where the contents of files are read; blocking."""

    def read(self, files: Sequence[tuple[str, int]]) -> Iterator[bytes]:
        """Of objects, given by id and size in bytes. Raises `GitProblem`."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a commit: `size` in bytes, -1 when the remote has left it out."""

    contents: Contents
    id: str
    executable: bool
    size: int


class Tree:
    """`submodules` are the commits of submodules by their path. Only one thread at a time may use it.

    A commit may name one folder over and over, so that a few objects stand for any number of files: what a tree
    amounts to is bounded while it is walked, and no file is read before its size is known. Raises `GitProblem`.
    """

    def __init__(self, contents: Contents, entries: Iterable[Sequence[Any]], shown: str) -> None:
        """Entries are path, id, whether executable, and size; of a submodule path and commit."""
        self._shown = shown
        self._entries: dict[str, Entry] = {}
        self.submodules: dict[str, str] = {}
        for path, identifier, *rest in entries:
            if rest:
                self._entries[path] = Entry(contents, identifier, *rest)
            else:
                self.submodules[path] = identifier
        self._names = sum(map(len, self._entries))

    def mount(self, path: str, other: Tree) -> None:
        """Put all files of another tree below a path."""
        self._names += other._names + len(path) * len(other._entries)
        check(len(self._entries) + len(other._entries), self._names, self._shown)
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
        for contents, group in groupby(paths, key=lambda path: self._entries[path].contents):
            names = list(group)
            entries = [self._entries[path] for path in names]
            read = contents.read([(entry.id, entry.size) for entry in entries])
            for path, entry, content in zip(names, entries, read, strict=True):
                yield File(path, content, entry.executable)

    def read(self, path: str, limit: int = ARCHIVE_FILE) -> bytes:
        """The content of a file that is there. Raises `GitProblem` when it has more than `limit` bytes."""
        size, entry = self._size(path, limit), self._entries[path]
        return next(iter(entry.contents.read([(entry.id, size)])))

    def _size(self, path: str, limit: int) -> int:
        size = self._entries[path].size
        if size < 0:
            words = f"the remote has sent a broken commit: '{path}' of '{self._shown}' is missing"
            raise GitProblem(words, "run `git fsck` on the repository")
        if size > limit:
            shown, bound = (f"{size >> 20} MiB", f"{limit >> 20}") if limit >> 20 else (f"{size} bytes", f"{limit}")
            message = f"file '{path}' of '{self._shown}' has {shown}, more than {bound}"
            raise GitProblem(message, "leave it out by spec.ignore or .sourceignore")
        return size


def check(entries: int, names: int, shown: str) -> None:
    """Raises `GitProblem` for more entries, or bytes of their paths, than a commit may have."""
    if entries > TREE_ENTRIES:
        raise too_large(shown, f"it has more than {TREE_ENTRIES} files and folders")
    if names > TREE_NAMES:
        raise too_large(shown, f"its paths have more than {TREE_NAMES >> 20} MiB")


def too_large(shown: str, words: str) -> GitProblem:
    """What to do about a commit that stands for too much."""
    return GitProblem(f"'{shown}' is too large: {words}", "split the repository")


def _above(path: str, wanted: Mapping[str, None]) -> tuple[str, ...]:
    """Which of the folders a path is in, or is."""
    parts = path.split("/")
    return tuple(name for end in range(len(parts) + 1) if (name := "/".join(parts[:end])) in wanted)

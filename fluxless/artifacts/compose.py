"""Copies files of several artifacts into one, with the meaning of cp (AG-3). Blocking."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluxless import limits
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.artifacts.unpack import unpack
from fluxless.disk import written
from fluxless.go_yaml import ManifestProblem, dump, load_all
from fluxless.patterns import InvalidPattern, glob

TARBALLS = (".tar.gz", ".tgz")


class CopyProblem(Problem):
    """What cannot be copied, by its `from` and `to`."""

    def __init__(self, message: str, next_step: str = "correct spec.artifacts[].copy") -> None:
        super().__init__(Failure(FailureClass.BUILD, message, next_step=next_step))


@dataclass(slots=True)
class Budget:
    """What all copies of one artifact may write together, as much as an archive may hold."""

    bytes: int = limits.ARCHIVE_BYTES
    files: int = limits.ARCHIVE_FILES

    def take(self, size: int) -> None:
        """One file more. Raises `CopyProblem`."""
        self.bytes -= size
        self.files -= 1
        if self.bytes < 0 or self.files < 0:
            most = f"{limits.ARCHIVE_BYTES >> 20} MiB or {limits.ARCHIVE_FILES} files"
            raise CopyProblem(f"all copies together are more than {most}", "copy less into one artifact")


@dataclass(frozen=True, slots=True)
class Copy:
    """One operation; `source` is `@alias/pattern`, `target` `@artifact/path`. `budget` is shared by the operations of
    one artifact.
    """

    source: str
    target: str
    exclude: tuple[str, ...] = ()
    strategy: str = "Overwrite"
    budget: Budget = field(default_factory=Budget)

    def into(self, staging: Path, sources: Mapping[str, Path]) -> None:
        """Raises `CopyProblem`."""
        try:
            self._copy(staging, sources)
        except CopyProblem as problem:
            words = f"failed to apply copy operation from '{self.source}' to '{self.target}'"
            raise CopyProblem(f"{words}: {problem.failures[0].message}") from problem
        except InvalidPattern as problem:
            words = f"failed to apply copy operation from '{self.source}' to '{self.target}'"
            raise CopyProblem(f"{words}: {problem}") from None
        except OSError as error:
            raise CopyProblem(f"failed to copy '{self.source}' to '{self.target}': {error.strerror}") from error

    def _copy(self, staging: Path, sources: Mapping[str, Path]) -> None:
        alias, _, pattern = self.source.removeprefix("@").partition("/")
        if alias not in sources:
            raise CopyProblem(f"source alias '{alias}' not found")
        root = sources[alias]
        below = self.target.removeprefix("@artifact/")
        if not any(char in pattern for char in "*?[]"):
            self._single(root, _clean(pattern), staging, below)
            return
        matches = [path for path in self._matches(root, pattern) if path not in {".", ".."}]
        if not matches:
            raise CopyProblem(f"no files match pattern '{pattern}' in source '{alias}'")
        base = _literal(pattern)
        kept = [path for path in matches if not self._excluded(path, base)]
        if not kept:
            raise CopyProblem(f"all files matching pattern '{pattern}' in source '{alias}' were excluded")
        prefix = f"{pattern.removesuffix('/**')}/" if pattern.endswith("/**") else ""
        for path in kept:
            shown = path.removeprefix(prefix) if prefix and path.startswith(prefix) else path
            if self.strategy != "Extract":
                self._put(root, path, staging, posixpath.join(below, shown), base)
            elif path.lower().endswith(TARBALLS):
                self._extract(root / path, staging, below)

    def _single(self, root: Path, path: str, staging: Path, below: str) -> None:
        place = _inside(root, path)
        if not place.exists():
            raise CopyProblem(f"source '{path}' does not exist")
        if place.is_dir():
            if self.strategy == "Extract":
                raise CopyProblem(f"extract strategy is not supported for directories, got '{path}'")
            self._put(root, path, staging, posixpath.join(below, posixpath.basename(path)), path)
            return
        if self._excluded(path, "."):
            return
        if self.strategy == "Extract":
            if not path.lower().endswith(TARBALLS):
                raise CopyProblem(f"extract strategy requires tarball file (.tar.gz or .tgz), got '{path}'")
            self._extract(place, staging, below)
            return
        folder = self.target.endswith("/") or (staging / _clean(below)).is_dir()
        self._put(root, path, staging, posixpath.join(below, posixpath.basename(path)) if folder else below, ".")

    def _matches(self, root: Path, pattern: str) -> list[str]:
        """Without extraction there is no recursion: `**` is no more than `*`."""
        return glob(_clean(pattern), stars=self.strategy == "Extract").among(sorted(_everything(root)), whole=True)

    def _put(self, root: Path, path: str, staging: Path, target: str, base: str) -> None:
        place = _inside(root, path)
        if not place.is_dir():
            self._file(place, staging / _clean(target))
            return
        (staging / _clean(target)).mkdir(parents=True, exist_ok=True)
        for file in _walk(place):
            relative = file.relative_to(place).as_posix()
            whole = posixpath.join(path, relative)
            parents = [posixpath.join(path, str(parent)) for parent in Path(relative).parents if str(parent) != "."]
            if not any(self._excluded(each, base) for each in (whole, *parents)):
                self._file(file, staging / _clean(posixpath.join(target, relative)), merge=False)

    def _file(self, source: Path, target: Path, *, merge: bool = True) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if merge and self.strategy == "Merge" and target.is_file():
            together = _merged(_documents(target), _documents(source))
            text = dump(together)
            self.budget.take(len(text))
            target.write_text(text)
            return
        self.budget.take(source.stat().st_size)
        with source.open("rb") as content, written(target, f"a copy of {source.name}") as file:
            shutil.copyfileobj(content, file)
        target.chmod(source.stat().st_mode & 0o777)

    def _extract(self, archive: Path, staging: Path, below: str) -> None:
        target = staging / _clean(below)
        target.mkdir(parents=True, exist_ok=True)
        try:
            unpack(archive, target, links=False, take=self.budget.take)
        except Problem as problem:
            raise CopyProblem(f"failed to extract tarball '{archive.name}': {problem.failures[0].message}") from problem

    def _excluded(self, path: str, base: str) -> bool:
        shown = [path]
        if base not in {".", ""} and path.startswith(f"{base}/"):
            shown.append(path.removeprefix(f"{base}/"))
        return any(_matches_any(each, self.exclude) for each in shown)


def _matches_any(path: str, patterns: Sequence[str]) -> bool:
    """A pattern without a separator is looked for in the last part as well."""
    return any(
        glob(pattern, stars=True).matches(path)
        or ("/" not in pattern and glob(pattern, stars=True).matches(posixpath.basename(path)))
        for pattern in patterns
    )


def _everything(root: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(root):
        below = Path(parent).relative_to(root)
        yield from ((below / name).as_posix() for name in (*folders, *names))


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent) / name for name in sorted(names) if (Path(parent) / name).is_file())


def _literal(pattern: str) -> str:
    """What stands before the first part with a wildcard."""
    parts: list[str] = []
    for part in _clean(pattern).split("/"):
        if any(char in part for char in "*?[]"):
            break
        parts.append(part)
    return "/".join(parts) or "."


def _clean(path: str) -> str:
    """`..` stops at the root."""
    return posixpath.normpath(f"/{path}").lstrip("/") or "."


def _inside(root: Path, path: str) -> Path:
    place = root / _clean(path)
    if not place.resolve().is_relative_to(root.resolve()):
        raise CopyProblem(f"'{path}' leads out of its source")
    return place


def _documents(file: Path) -> dict[str, Any]:
    result: dict[str, Any] = {}
    try:
        for document in load_all(file.read_bytes(), file.name):
            if not isinstance(document, dict):
                raise CopyProblem(f"cannot merge '{file.name}': a document is no YAML mapping")
            result = _merged(result, document)
    except ManifestProblem as problem:
        first = problem.failures[0]
        raise CopyProblem(f"cannot merge '{file.name}': {first.message} ({first.origin})", first.next_step) from None
    return result


def _merged(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in overlay.items():
        mine = result.get(key)
        result[key] = _merged(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return result

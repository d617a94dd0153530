"""The content of one chart: loaded from an archive or a folder, changed, and given back as files (CH-4, CH-24)."""

from __future__ import annotations

import contextlib
import os
import posixpath
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fluxless.charts.errors import ChartProblem
from fluxless.go_yaml import ManifestProblem, dump, load, text_of
from fluxless.limits import CHART_BYTES, CHART_DEPENDENCIES, CHART_FILES, IGNORE_SIZE
from fluxless.patterns import IgnoreRules
from fluxless.tarballs import CHUNK, entries

MAX_ARCHIVE = 10 * 1024 * 1024
"""Bytes of a packed chart (Flux's `--helm-chart-max-size`)."""
MAX_FILE = 5 * 1024 * 1024
"""Bytes of one file (`--helm-chart-file-max-size`)."""
METADATA, VALUES, LOCK, IGNORE = "Chart.yaml", "values.yaml", "Chart.lock", ".helmignore"


@dataclass(frozen=True, slots=True)
class File:
    """A file to be packed."""

    path: str
    content: bytes
    executable: bool = False


class Chart:
    """`files` are by their path below the chart's own folder. Raises `ChartProblem` when Chart.yaml is not usable."""

    def __init__(self, files: dict[str, bytes], shown: str) -> None:
        self.files = files
        self.shown = shown
        if METADATA not in files:
            raise ChartProblem(f"{shown} has no {METADATA}", "give the folder of a chart, or a packed chart")
        self.metadata = self._mapping(METADATA)
        for field in ("apiVersion", "name", "version"):
            self.metadata[field] = text_of(self.metadata.get(field))
            if not self.metadata[field]:
                raise ChartProblem(
                    f"validation: chart.metadata.{field} is required in {shown}", f"set it in {METADATA}"
                )
        if "/" in self.name or self.name in {".", ".."}:
            raise ChartProblem(f"validation: chart.metadata.name '{self.name}' is invalid", f"correct it in {METADATA}")

    @property
    def name(self) -> str:
        """The chart's name."""
        return str(self.metadata["name"])

    @property
    def version(self) -> str:
        """The chart's version."""
        return str(self.metadata["version"])

    def rename(self, *, name: str = "", version: str = "") -> None:
        """Another name or version in Chart.yaml."""
        changes = {key: value for key, value in (("name", name), ("version", version)) if value}
        if any(self.metadata.get(key) != value for key, value in changes.items()):
            self.metadata |= changes
            self.files[METADATA] = dump(self.metadata).encode()

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Other default values."""
        self.files[VALUES] = dump(values).encode()

    def values_in(self, path: str) -> dict[str, Any] | None:
        """The values of a file of the chart, or None when there is none."""
        clean = posixpath.normpath(path)
        return self._mapping(clean) if clean in self.files else {} if clean == VALUES else None

    def requirements(self) -> list[dict[str, Any]]:
        """What it depends on; the lock file wins. Raises `ChartProblem` for too many."""
        declared = self._dependencies(self.metadata, METADATA)
        if LOCK not in self.files:
            return declared
        locked = [dict(entry) for entry in self._dependencies(self._mapping(LOCK), LOCK)]
        named: dict[str, list[dict[str, Any]]] = {}
        for one in declared:
            named.setdefault(str(one.get("name")), []).append(one)
        for entry in locked:  # a lock file knows no aliases
            same = named.get(str(entry.get("name")), [])
            if len(same) == 1 and same[0].get("alias"):
                entry["alias"] = same[0]["alias"]
        return locked

    def missing(self) -> list[dict[str, Any]]:
        """The requirements that its `charts/` does not hold."""
        have = self._vendored()
        wanted = self.requirements()
        if len(have) == len(wanted):
            return []
        return [entry for entry in wanted if str(entry.get("alias") or entry.get("name")) not in have]

    def add(self, other: Chart) -> None:
        """Vendor another chart. Raises `ChartProblem` when both are more than one chart may be."""
        more = {f"charts/{other.name}/{path}": content for path, content in other.files.items()}
        size = sum(map(len, self.files.values())) + sum(map(len, more.values()))
        if size > CHART_BYTES or len(self.files) + len(more) > CHART_FILES:
            step = "leave files out by .helmignore, or depend on fewer charts"
            raise ChartProblem(f"{self.shown} is too large with its dependencies", step)
        self.files |= more

    def packed(self) -> list[File]:
        """The files as they stand in an archive, below a folder of the chart's name."""
        return [File(f"{self.name}/{path}", self.files[path]) for path in sorted(self.files)]

    def _vendored(self) -> set[str]:
        """Names of the charts in `charts/`, folders and archives."""
        names: set[str] = set()
        for path in self.files:
            parts = path.split("/")
            if parts[0] != "charts" or len(parts) < 2 or parts[1].startswith(("_", ".")):
                continue
            if len(parts) == 3 and parts[2] == METADATA:
                names.add(str(self._mapping(path).get("name") or parts[1]))
            elif len(parts) == 2 and parts[1].endswith(".tgz"):
                names.add(parts[1].removesuffix(".tgz").rpartition("-")[0] or parts[1])
        return names

    def _dependencies(self, found: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
        entries = _mappings(found.get("dependencies"))
        if len(entries) > CHART_DEPENDENCIES:
            words = f"{path} of {self.shown} has more than {CHART_DEPENDENCIES} dependencies"
            raise ChartProblem(words, "depend on fewer charts")
        return entries

    def _mapping(self, path: str) -> dict[str, Any]:
        try:
            found = load(self.files[path], path)
        except ManifestProblem as problem:
            first = problem.failures[0]
            words = f"{path} of {self.shown} cannot be read: {first.message} ({first.origin})"
            raise ChartProblem(words, first.next_step) from None
        if found is not None and not isinstance(found, dict):
            raise ChartProblem(f"{path} of {self.shown} is no YAML mapping", "correct it")
        return found or {}


def _mappings(found: Any) -> list[dict[str, Any]]:
    """What a list holds of mappings; nothing else is a list of dependencies."""
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def load_archive(archive: Path, shown: str) -> Chart:
    """A packed chart; blocking. Raises `ChartProblem`."""
    if archive.stat().st_size > MAX_ARCHIVE:
        raise ChartProblem(f"{shown} has more than {MAX_ARCHIVE >> 20} MiB", "make the chart smaller")
    with archive.open("rb") as file:
        return Chart(read_archive(file, shown), shown)


def read_archive(
    file: IO[bytes], shown: str, *, most: int = CHART_BYTES, files_left: int = CHART_FILES
) -> dict[str, bytes]:
    """The files of a packed chart by their path below its folder, `most` bytes; blocking. Raises `ChartProblem`."""
    files: dict[str, bytes] = {}
    total = 0
    try:
        with contextlib.closing(entries(file, max_bytes=2 * CHART_BYTES)) as found:
            for entry, content in found:
                if content is None:
                    continue
                path = posixpath.normpath(entry.name.lstrip("/")).partition("/")[2]
                if not path or path.startswith("../") or "\0" in path:
                    raise ChartProblem(f"{shown} has an illegal entry {entry.name!r}", "pack the chart again")
                total += entry.size
                if entry.size > MAX_FILE or total > most or len(files) >= files_left:
                    raise ChartProblem(f"{shown} is too large at {entry.name!r}", "make the chart smaller")
                files[path] = b"".join(iter(lambda content=content: content.read(CHUNK), b""))  # type: ignore[misc]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ChartProblem(f"{shown} is no packed chart: {error}", "pack it with `helm package`") from None
    return files


def load_folder(root: Path, path: str, shown: str) -> Chart:
    """The chart in a folder below `root`, without what its `.helmignore` names; blocking. Raises `ChartProblem`."""
    place = inside(root, path)
    ignore = place / IGNORE
    lines = _small(ignore).splitlines() if ignore.is_file() else []
    rules = IgnoreRules([*lines, "templates/.?*"])
    files: dict[str, bytes] = {}
    total = 0
    for parent, _, names in os.walk(place):
        for name in names:
            file = Path(parent) / name
            below = file.relative_to(place).as_posix()
            if rules.match(below) or not file.is_file() or not file.resolve().is_relative_to(root.resolve()):
                continue
            size = file.stat().st_size
            total += size
            if size > MAX_FILE or total > CHART_BYTES or len(files) >= CHART_FILES:
                raise ChartProblem(f"{shown} is too large at '{below}'", "leave it out by .helmignore")
            files[below] = file.read_bytes()
    return Chart(files, shown)


def _small(file: Path) -> str:
    """One byte more than the rules take, so that they refuse what is longer."""
    with file.open("rb") as content:
        return content.read(IGNORE_SIZE + 1).decode(errors="replace")


def inside(root: Path, path: str) -> Path:
    """A path below the root, however it is written: `..` stops at the root."""
    return root / posixpath.normpath(f"/{path}").lstrip("/")


def merged(values: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Mappings into mappings, anything else replaced, the later ones win."""
    result: dict[str, Any] = {}
    for each in values:
        for key, value in each.items():
            mine = result.get(key)
            both = isinstance(mine, dict) and isinstance(value, Mapping)
            result[key] = merged([mine, value]) if both and isinstance(mine, dict) else value
    return result

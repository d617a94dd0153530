"""A few kilobytes that stand for gigabytes: trees of Git, archives, charts. Each is refused by name, in little
memory.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import resource
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxless.api.failure import Problem
from fluxless.artifacts.ignore import Ignore
from fluxless.artifacts.repack import repack
from fluxless.artifacts.unpack import ArchiveProblem, unpack
from fluxless.charts.chart import load_archive
from fluxless.charts.errors import ChartProblem
from fluxless.git.auth import Auth
from fluxless.git.errors import GitProblem
from fluxless.git.fetch import fetched, in_thread
from tests.support.repositories import Repo

MIB = 1 << 20


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """What is read of a bomb must not stay in memory, or come there: the process gets 150 MiB more, and no more."""
    used = int(re.findall(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) << 10
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + 150 * MIB, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _tree(repo: Repo, *entries: str) -> str:
    """A tree object of the entries, as `git ls-tree` prints them."""
    listed = repo.work / ".entries"
    listed.write_text("".join(f"{entry}\n" for entry in entries))
    return repo.git("-c", "alias.made=!git mktree < .entries", "made").strip()


def _push(repo: Repo, tree: str) -> str:
    commit = repo.git("commit-tree", tree, "-m", "bomb").strip()
    repo.git("push", "-q", "-f", str(repo.bare), f"{commit}:refs/heads/main")
    return commit


async def _read(repo: Repo, commit: str) -> int:
    with little_memory():
        async with fetched(repo.url, Auth(), ref="refs/heads/main", commit=commit, timeout=60) as found:
            return await in_thread(lambda: sum(len(file.content) for file in found.tree.files(Ignore({}).leaves_out)))


async def test_a_folder_that_holds_itself_again_and_again_is_refused(repo: Repo) -> None:
    repo.push({"a.yaml": "a: 1\n"})
    tree = repo.git("rev-parse", "HEAD^{tree}").strip()
    for _ in range(20):
        tree = _tree(repo, *(f"040000 tree {tree}\td{number}" for number in range(10)))
    began = time.process_time()
    with pytest.raises(GitProblem, match="more than 500000 files and folders"):
        await _read(repo, _push(repo, tree))
    assert time.process_time() - began < 20


async def test_folders_without_end_are_refused(repo: Repo) -> None:
    repo.push({"a.yaml": "a: 1\n"})
    tree = repo.git("rev-parse", "HEAD^{tree}").strip()
    for _ in range(120):
        tree = _tree(repo, f"040000 tree {tree}\td")
    with pytest.raises(GitProblem, match="folders are deeper than 100"):
        await _read(repo, _push(repo, tree))


async def test_a_blob_that_is_named_over_and_over_is_refused_before_it_is_read(repo: Repo) -> None:
    repo.push({"a.yaml": "a" * MIB})
    blob = repo.git("rev-parse", "HEAD:a.yaml").strip()
    folder = _tree(repo, *(f"100644 blob {blob}\tf{number}" for number in range(200)))
    tree = _tree(repo, *(f"040000 tree {folder}\td{number}" for number in range(200)))
    began = time.process_time()
    with pytest.raises(GitProblem, match="files of more than 1024 MiB"):
        await _read(repo, _push(repo, tree))
    assert time.process_time() - began < 10


def _extended(name: bytes, kind: bytes, size: int) -> Iterator[bytes]:
    """The header of an entry that says something of the next one, and its content."""
    entry = tarfile.TarInfo(name.decode())
    entry.type, entry.size = kind, size
    yield entry.tobuf(tarfile.GNU_FORMAT)
    for _ in range(0, size, MIB):
        yield b"a" * MIB


def _zipped(path: Path, parts: Iterator[bytes]) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for part in parts:
            file.write(part)
    return path


def _many() -> Iterator[bytes]:
    """Entries that are no files, with long names, for ever so long."""
    entry = tarfile.TarInfo("d")
    entry.type, entry.pax_headers = tarfile.DIRTYPE, {"comment": "x" * 100_000}
    one = entry.tobuf(tarfile.PAX_FORMAT)
    return (one for _ in range(2000))


ARCHIVES = {
    "a PAX header of a gigabyte": lambda: _extended(b"x", tarfile.XHDTYPE, 1024 * MIB),
    "a name of a gigabyte": lambda: _extended(b"././@LongLink", tarfile.GNUTYPE_LONGNAME, 1024 * MIB),
    "headers that are remembered": _many,
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_is_refused_in_little_memory(case: str, tmp_path: Path) -> None:
    archive = _zipped(tmp_path / "a.tar.gz", ARCHIVES[case]())
    target = tmp_path / "tree"
    target.mkdir()
    if case == "headers that are remembered":
        with little_memory():
            assert unpack(archive, target) == 2000
        return
    with little_memory(), pytest.raises(ArchiveProblem, match="header of more than"):
        unpack(archive, target)
    with little_memory(), pytest.raises(ArchiveProblem, match="header of more than"):
        repack(archive, tmp_path, Ignore)
    with little_memory(), pytest.raises(ChartProblem, match="header of more than"):
        load_archive(archive, "chart")


def test_what_is_between_the_files_of_an_archive_counts_as_well(tmp_path: Path) -> None:
    pax = tarfile.TarInfo("d")
    pax.type, pax.pax_headers = tarfile.DIRTYPE, {"comment": "x" * 900_000}
    one = pax.tobuf(tarfile.PAX_FORMAT)
    archive = _zipped(tmp_path / "a.tgz", (one for _ in range(250)))
    with pytest.raises(ChartProblem, match="unpacks to more than 200 MiB"):
        load_archive(archive, "chart")


def test_an_ignore_file_of_a_gigabyte_is_not_read_whole(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        entry = tarfile.TarInfo(".sourceignore")
        entry.size = 200 * MIB
        tar.addfile(entry, io.BufferedReader(_Zeros(entry.size)))  # type: ignore[type-var]
    with little_memory(), pytest.raises(Problem, match="ignore patterns"):
        repack(archive, tmp_path, Ignore)


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        count = min(len(buffer), self._left)
        buffer[:count] = b"\n" * count
        self._left -= count
        return count


# -- entries of archives that stand for more than they hold -----------------------------------------------------------


def _archive(path: Path, name: str, content: bytes = b"", **headers: str) -> Path:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.pax_headers = len(content), {key.replace("_", "."): text for key, text in headers.items()}
        tar.addfile(entry, io.BytesIO(content))
    path.write_bytes(gzip.compress(made.getvalue()))
    return path


SPARSE = {
    "1.0": {"GNU_sparse_major": "1", "GNU_sparse_minor": "0", "GNU_sparse_realsize": "0"},
    "0.1": {"GNU_sparse_map": "0,0", "GNU_sparse_size": "0"},
    "0.0": {"GNU_sparse_size": "0", "GNU_sparse_numblocks": "0"},
}


@pytest.mark.parametrize("version", SPARSE)
def test_a_sparse_file_is_refused_before_its_map_is_read(version: str, tmp_path: Path) -> None:
    pairs = (b"1000\n" + b"0\n" * 2000).ljust(4096, b"\0")
    made = _archive(tmp_path / "a.tgz", "web/x", pairs, **SPARSE[version])
    (tmp_path / "out").mkdir()
    with pytest.raises(ArchiveProblem, match="sparse"):
        unpack(made, tmp_path / "out")
    with pytest.raises(ChartProblem, match="sparse"):
        load_archive(made, "chart 'web'")


@pytest.mark.parametrize("name", ["a/" * 1900 + "f", "a" * 5000])
def test_a_path_without_end_is_refused(name: str, tmp_path: Path) -> None:
    made = _archive(tmp_path / "a.tgz", name)
    (tmp_path / "out").mkdir()
    with pytest.raises(ArchiveProblem, match="too long or too deep"):
        unpack(made, tmp_path / "out")

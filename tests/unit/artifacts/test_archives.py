"""Packing is deterministic (SC-9); unpacking refuses what would do harm."""

import io
import tarfile
from pathlib import Path

import pytest

from fluxless.artifacts.ignore import Ignore
from fluxless.artifacts.pack import pack
from fluxless.artifacts.unpack import ArchiveProblem, unpack
from fluxless.git.tree import File

FILES = [File("a.yaml", b"a", False), File("deep/er/run.sh", b"#!/bin/sh", True)]


def test_the_same_files_give_the_same_bytes_and_come_back(tmp_path: Path) -> None:
    one, two = pack(FILES, tmp_path / "1.tar.gz"), pack(FILES, tmp_path / "2.tar.gz")
    assert one.digest == two.digest
    assert one.size == (tmp_path / "1.tar.gz").stat().st_size
    target = tmp_path / "tree"
    target.mkdir()
    unpack(one.path, target)
    assert (target / "a.yaml").read_text() == "a"
    assert (target / "deep/er/run.sh").stat().st_mode & 0o100


def _archive(path: Path, *entries: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return path


def _entry(name: str, type_: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = type_, link, size
    return entry


HARMFUL = {
    "absolute": [_entry("/etc/passwd")],
    "parent": [_entry("a/../../b")],
    "link-out": [_entry("l", tarfile.SYMTYPE, "../../etc")],
    "link-absolute": [_entry("l", tarfile.SYMTYPE, "/etc")],
    "through-a-link": [_entry("l", tarfile.SYMTYPE, "d"), _entry("l/x")],
    "hard-link": [_entry("l", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [_entry("d", tarfile.CHRTYPE)],
    "pipe": [_entry("f", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("name", HARMFUL)
def test_an_entry_that_would_do_harm_is_refused_by_name(tmp_path: Path, name: str) -> None:
    target = tmp_path / "tree"
    target.mkdir()
    with pytest.raises(ArchiveProblem) as caught:
        unpack(_archive(tmp_path / "a.tar.gz", *HARMFUL[name]), target)
    assert HARMFUL[name][-1].name in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_a_bomb_is_stopped_by_bytes_and_by_entries(tmp_path: Path) -> None:
    target = tmp_path / "tree"
    target.mkdir()
    zeros = _archive(tmp_path / "bytes.tar.gz", _entry("big", size=2_000_000))
    with pytest.raises(ArchiveProblem, match="grows beyond"):
        unpack(zeros, target, max_bytes=1_000_000)
    many = _archive(tmp_path / "many.tar.gz", *(_entry(f"f{n}") for n in range(200)))
    with pytest.raises(ArchiveProblem, match="more than 100 entries"):
        unpack(many, target, max_files=100)


def test_what_is_no_archive_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    with pytest.raises(ArchiveProblem, match="cannot be read"):
        unpack(tmp_path / "a.tar.gz", tmp_path)


@pytest.mark.parametrize(
    ("files", "spec", "path", "out"),
    [
        pytest.param({}, None, "a.yaml", False, id="SC-10-kept"),
        pytest.param({}, None, "pictures/a.png", True, id="SC-10-extension"),
        pytest.param({}, None, ".github/workflows/x.yaml", True, id="SC-10-ci"),
        pytest.param({}, None, "deep/.sops.yaml", True, id="SC-10-tools"),
        pytest.param({}, None, "deep/.gitignore", True, id="SC-10-version-control"),
        pytest.param({}, "x", "a.png", False, id="SC-11-spec-drops-the-defaults"),
        pytest.param({"": "x"}, None, "a.png", False, id="SC-11-file-drops-the-defaults"),
        pytest.param({}, "x", ".gitmodules", True, id="SC-11-version-control-stays-out"),
        pytest.param({}, "/*\n!/deploy", "deploy/a.yaml", False, id="only-one-folder"),
        pytest.param({}, "/*\n!/deploy", "other/a.yaml", True, id="not-the-others"),
        pytest.param({"sub": "x.yaml"}, None, "sub/deep/x.yaml", True, id="SC-11-recursive"),
        pytest.param({"sub": "x.yaml"}, None, "x.yaml", False, id="SC-11-in-its-folder-only"),
        pytest.param({"sub": "/x.yaml"}, None, "sub/deep/x.yaml", False, id="SC-11-anchored"),
        pytest.param({"": "*.md"}, "!keep.md", "keep.md", False, id="SC-11-spec-wins"),
    ],
)
def test_ignoring_follows_flux(files: dict[str, str], spec: str | None, path: str, out: bool) -> None:
    assert Ignore(files, spec).leaves_out(path) == out


def test_an_archive_that_is_cut_off_or_damaged_is_called_so(tmp_path: Path) -> None:
    whole = pack([File("a.yaml", b"abc" * 5000, False)], tmp_path / "1.tar.gz").path.read_bytes()
    for broken in (whole[:-20], whole[:40] + b"\xff" * 30 + whole[70:]):
        (tmp_path / "b.tar.gz").write_bytes(broken)
        target = tmp_path / f"tree{len(broken)}"
        target.mkdir()
        with pytest.raises(ArchiveProblem, match="cannot be read"):
            unpack(tmp_path / "b.tar.gz", target)

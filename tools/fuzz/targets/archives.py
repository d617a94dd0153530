"""Tarballs of registries, buckets and other controllers: `artifacts.unpack`, `artifacts.repack`, charts."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from random import Random

from fluxless.api.failure import Problem
from fluxless.artifacts.ignore import Ignore
from fluxless.artifacts.repack import repack
from fluxless.artifacts.unpack import unpack
from fluxless.charts.chart import load_archive
from fluxless.charts.subcharts import definitions, for_helm
from tools.fuzz import odd

_NAMES = [
    *(
        "a",
        "a/b",
        "web/Chart.yaml",
        "web/values.yaml",
        "web/charts/x.tgz",
        "../canary",
        "/etc/passwd",
        "a/../../canary",
    ),
    *("./a", "a//b", "a/", "..", ".", "", "\0", "x" * 300, "é", ".sourceignore", "web/.helmignore", "l", "l/a", "d/l"),
]
_PLAIN = ["web/Chart.yaml", "web/values.yaml", "web/templates/a.yaml", "web/d/e", "web/.sourceignore"]
_LINKS = [
    "..",
    "../canary",
    "../../canary",
    "/etc/passwd",
    ".",
    "a",
    "l",
    "d/l",
    "l/../..",
    "d/l/../../canary",
    "a/../..",
    "",
]
_TYPES = [tarfile.REGTYPE] * 6 + [
    *(tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE),
    *(tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, b"Z"),
]
_CONTENT = [b"", b"apiVersion: v2\nname: web\nversion: 1.0.0\n", b"name: [", b"\0" * 100_000, b"*\n!a\n", b"a: &a [*a]"]


def inputs(random: Random) -> bytes:
    """An archive with odd entries, packed soundly or not."""
    return packed(random, 2)


def packed(random: Random, levels: int) -> bytes:
    """With archives in it, as many levels deep."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=random.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))) as tar:
        odds = random.choice((0.02, 0.3, 1.0))
        for number in range(random.randint(1, 12)):
            strange = random.random() < odds
            entry = tarfile.TarInfo(
                random.choice(_NAMES) if strange else random.choice(_PLAIN) if number else _PLAIN[0]
            )
            entry.type = random.choice(_TYPES) if strange else tarfile.REGTYPE
            entry.linkname = random.choice(_LINKS)
            entry.mode, entry.mtime = random.choice((0o644, 0o755, 0o4777)), random.choice((0, 1, 1 << 33))
            content = packed(random, levels - 1) if levels and random.random() < 0.2 else random.choice(_CONTENT)
            if not strange and entry.name == _PLAIN[0]:
                content = _CONTENT[1]
            entry.size = len(content) if entry.type == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(content))
    raw = buffer.getvalue()
    if random.random() < 0.4:
        raw = odd.bent(random, raw)
    made = gzip.compress(raw, compresslevel=1, mtime=0)
    return odd.bent(random, made) if random.random() < 0.3 else made


def judge(data: bytes, folder: Path) -> object:
    """Every reader; what lands outside is told by what lies there."""
    archive = folder / "a.tar.gz"
    archive.write_bytes(data)
    (folder / "tree").mkdir()
    (folder / "work").mkdir()
    beside = sorted(os.listdir(folder.parent))
    said = []
    for read in (_unpack, _repack, _chart):
        try:
            said.append(read(archive, folder))
        except Problem as problem:
            said.append(str(problem))
    if sorted(os.listdir(folder.parent)) != beside or sorted(os.listdir(folder)) != ["a.tar.gz", "tree", "work"]:
        raise AssertionError(f"something landed outside: {os.listdir(folder)} {os.listdir(folder.parent)}")
    return said


def _unpack(archive: Path, folder: Path) -> object:
    tree = folder / "tree"
    unpack(archive, tree, max_bytes=10 << 20)
    return [path.read_bytes()[:200] for path in tree.rglob("*") if path.is_file()]


def _repack(archive: Path, folder: Path) -> object:
    made = repack(archive, folder / "work", Ignore)
    return made.files


def _chart(archive: Path, folder: Path) -> object:
    chart = load_archive(archive, "the chart")
    return [chart.missing(), len(for_helm(chart, schemas=True)), len(list(definitions(chart)))]

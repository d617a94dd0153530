"""Unpacks a tarball that may come from anybody: nothing lands outside of its folder, and nothing grows without end."""

from __future__ import annotations

import contextlib
import os.path
import shutil
import tarfile
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import IO

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.disk import Room, Roomy
from fluxless.limits import ARCHIVE_BYTES, ARCHIVE_FILES
from fluxless.tarballs import CHUNK, entries


class ArchiveProblem(Problem):
    """An archive that is broken or would do harm; the message names the entry."""

    def __init__(self, message: str, next_step: str = "make the archive again without this entry") -> None:
        super().__init__(Failure(FailureClass.BUILD, message, next_step=next_step))


def unpack(
    archive: Path,
    target: Path,
    *,
    max_bytes: int = ARCHIVE_BYTES,
    max_files: int = ARCHIVE_FILES,
    links: bool = True,
    take: Callable[[int], None] = lambda size: None,
) -> int:
    """Unpack into `target`, which must exist, and return the number of files; blocking. Without `links`, symbolic links
    are dropped. `take` hears the size of each file before it is written, and may refuse it. Raises `ArchiveProblem`.
    """
    total, files, room = 0, 0, Room(target, f"what is in {archive.name}")
    try:
        with contextlib.closing(entries(archive)) as found:
            for entry, content in found:
                files += 1
                if files > max_files:
                    raise ArchiveProblem(f"archive has more than {max_files} entries", "leave files out by spec.ignore")
                path = _inside(entry.name)
                if path in {"", "."}:
                    continue
                place = target / path
                _no_link_on_the_way(target, path)
                if entry.isdir():
                    place.mkdir(parents=True, exist_ok=True)
                elif entry.issym() and not links:
                    continue
                elif entry.issym():
                    _link(target, path, entry.linkname)
                elif content is not None:
                    take(entry.size)
                    total += entry.size
                    if total > max_bytes:
                        limit = max_bytes // 1024 // 1024
                        raise ArchiveProblem(
                            f"archive grows beyond {limit} MiB at {entry.name!r}",
                            "leave large files out by spec.ignore",
                        )
                    _write(content, entry, place, room)
                else:
                    raise ArchiveProblem(f"archive entry {entry.name!r} is neither file, folder nor symbolic link")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveProblem(f"archive cannot be read: {error}", "make the archive again") from error
    return files


def _inside(name: str) -> str:
    path = os.path.normpath(name)
    if path.startswith(("/", "../")) or path == ".." or "\0" in name:
        raise ArchiveProblem(f"archive entry {name!r} would land outside of its folder")
    return path


def _no_link_on_the_way(target: Path, path: str) -> None:
    place = target
    for part in Path(path).parts[:-1]:
        place = place / part
        if place.is_symlink():
            raise ArchiveProblem(f"archive entry {path!r} goes through a symbolic link")


def _link(target: Path, path: str, link: str) -> None:
    """Links that stay inside are kept. `..` behind a name would climb from where another link leads to, which no text
    tells: only leading ones are understood, since the folders above a link are folders.
    """
    resolved = os.path.normpath(Path(path).parent / link)
    names = link.split("/")
    climbs = ".." in names[len(list(takewhile(lambda name: name in {"..", "."}, names))) :]
    if Path(link).is_absolute() or climbs or resolved.startswith("../") or resolved == "..":
        raise ArchiveProblem(f"archive entry {path!r} is a symbolic link out of its folder ({link!r})")
    place = target / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(link)


def _write(content: IO[bytes], entry: tarfile.TarInfo, place: Path, room: Room) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    with place.open("wb") as file:
        shutil.copyfileobj(content, Roomy(file, room), CHUNK)
    place.chmod(0o755 if entry.mode & 0o100 else 0o644)

"""A folder on this machine in the place of an artifact: a private copy of what a source would pack (SC-10, SC-11).

The copy is what the build reads, so the user's own folder is never written to.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fluxless.artifacts.ignore import FILE, Ignore


def split_root(path: Path, spec_path: str) -> tuple[Path, str]:
    """The root of the source that `path` lies in, and `path` from there.

    A path that ends like `spec.path` tells the root; else the Git work tree does; else the path is the root.
    """
    path = path.resolve()
    wanted = tuple(part for part in PurePosixPath(spec_path).parts if part not in {".", "/"})
    if wanted and path.parts[-len(wanted) :] == wanted:
        return path.parents[len(wanted) - 1], "/".join(wanted)
    if wanted:
        for folder in (path, *path.parents):
            if (folder / ".git").exists():
                return folder, path.relative_to(folder).as_posix()
    return path, "."


def copy_source(root: Path, target: Path, ignore: str | None) -> None:
    """Copy what an artifact of `root` would hold; blocking. `ignore` are patterns as in `spec.ignore`.

    Links are left out, as they are of every artifact (SC-9).
    """
    files = list(_files(root))
    texts = {_folder(root, file): file.read_text(errors="replace") for file in files if file.name == FILE}
    rules = Ignore(texts, ignore)
    for file in files:
        relative = file.relative_to(root)
        if not rules.leaves_out(relative.as_posix()):
            place = target / relative
            place.parent.mkdir(parents=True, exist_ok=True)
            _copy(file, place)


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        if ".git" in folders:
            folders.remove(".git")  # it may be large, and no artifact holds it
        paths = (Path(folder) / name for name in names)
        yield from (path for path in paths if path.is_file() and not path.is_symlink())


def _folder(root: Path, file: Path) -> str:
    relative = file.parent.relative_to(root).as_posix()
    return "" if relative == "." else relative


def _copy(file: Path, place: Path) -> None:
    try:
        os.link(file, place)  # the build replaces files and never writes into them
    except OSError:  # another file system
        shutil.copyfile(file, place)

"""Makes an artifact of a tarball that somebody else packed: without links, owners, times and what is ignored (SC-9).

An archive that is already as we would make it is kept as it is: unpacking and packing 50 MB takes seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fluxless.artifacts.ignore import FILE, Ignore
from fluxless.artifacts.pack import Packed, pack
from fluxless.artifacts.unpack import ArchiveProblem, unpack
from fluxless.limits import ARCHIVE_BYTES, ARCHIVE_FILES, IGNORE_SIZE
from fluxless.tarballs import entries

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A file at `place`; read when it is packed."""

    place: Path
    path: str

    @property
    def content(self) -> bytes:
        """All of it."""
        return self.place.read_bytes()

    @property
    def executable(self) -> bool:
        """Whether its owner may execute it."""
        return bool(self.place.stat().st_mode & 0o100)


def hash_file(path: Path) -> Packed:
    """A file as it is; blocking."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Packed(path, f"sha256:{digest}", path.stat().st_size, 1)


def repack(archive: Path, folder: Path, ignore: Callable[[dict[str, str]], Ignore]) -> Packed:
    """The artifact, in `folder`; blocking. `ignore` makes the rules from the `.sourceignore` files, by their folder.
    Raises `ArchiveProblem`.
    """
    files = _clean(archive, ignore)
    if files is not None:
        packed = hash_file(archive)
        return Packed(archive, packed.digest, packed.size, files)
    with tempfile.TemporaryDirectory(prefix="tree-", dir=folder) as name:
        root = Path(name)
        unpack(archive, root, links=False)
        return pack_folder(root, folder / "artifact.tar.gz", ignore)


def pack_folder(root: Path, target: Path, ignore: Callable[[dict[str, str]], Ignore]) -> Packed:
    """An artifact of the regular files below a folder; blocking. Raises `ArchiveProblem` when there are too many."""
    paths = regular_files(root)
    rules = ignore({path.rpartition("/")[0]: _small(root / path) for path in paths if path.rpartition("/")[2] == FILE})
    kept = [path for path in paths if not rules.leaves_out(path)]
    if len(kept) > ARCHIVE_FILES:
        words = f"there are {len(kept)} files, more than {ARCHIVE_FILES}"
        raise ArchiveProblem(words, "leave files out by spec.ignore")
    return pack((OnDisk(root / path, path) for path in kept), target)


def _small(file: Path) -> str:
    """One byte more than the rules take, so that they refuse what is longer."""
    with file.open("rb") as content:
        return content.read(IGNORE_SIZE + 1).decode(errors="replace")


def regular_files(root: Path) -> list[str]:
    """The paths of the regular files below a folder, sorted; blocking."""
    paths: list[str] = []
    for parent, _, names in os.walk(root):
        below = Path(parent).relative_to(root)
        for name in names:
            if (Path(parent) / name).is_file() and not (Path(parent) / name).is_symlink():
                paths.append((below / name).as_posix())
    return sorted(paths)


def _clean(archive: Path, ignore: Callable[[dict[str, str]], Ignore]) -> int | None:
    """The number of files when every entry is a plain file or folder with a plain name and nothing is ignored."""
    total = count = 0
    texts: dict[str, str] = {}
    names: list[str] = []
    try:
        with contextlib.closing(entries(archive)) as found:
            for entry, content in found:
                count += 1
                total += entry.size
                plain = (entry.isreg() or entry.isdir()) and os.path.normpath(entry.name) == entry.name.rstrip("/")
                owner = entry.uid or entry.gid or entry.uname or entry.gname or entry.mtime
                if not plain or owner or entry.name.startswith(("/", "..")):
                    return None
                if count > ARCHIVE_FILES or total > ARCHIVE_BYTES:
                    return None
                if content is not None:
                    names.append(entry.name)
                    folder, _, name = entry.name.rpartition("/")
                    if name == FILE:
                        texts[folder] = content.read(IGNORE_SIZE + 1).decode(errors="replace")
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError):
        return None  # unpacking says what is wrong
    rules = ignore(texts)
    return None if len(set(names)) != len(names) or any(rules.leaves_out(name) for name in names) else len(names)

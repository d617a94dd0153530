"""Brings remote bases into a private copy of the artifact, by our own Git and HTTP clients (KC-66, where allowed).

kustomize would run git, which a function app has not. So every entry that leads elsewhere is fetched, without
credentials, and replaced by the path of what was fetched; kustomize itself never sees the network.
"""

from __future__ import annotations

import asyncio
import os.path
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fluxless import limits
from fluxless.git.auth import Auth, session
from fluxless.git.errors import ReferenceNotFound
from fluxless.git.fetch import fetched, in_thread
from fluxless.git.ls_remote import ls_remote
from fluxless.git.tree import Tree
from fluxless.kustomize.beneath import Files
from fluxless.kustomize.jail import Elsewhere, elsewhere
from fluxless.kustomize.problems import BuildProblem
from fluxless.transport import read, words

FOLDER = ".remote"
"""Folder of the private copy that holds what was fetched."""
AT_MOST = 50
"""Remote entries of one build, those of fetched bases included."""
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_HOST = re.compile(r"^[\w.-]+(:[0-9]+)?$")
_FILE = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Base:
    """A repository with a path and a reference, or a file by its address when `repository` is empty."""

    repository: str = ""
    path: str = ""
    ref: str = ""
    file: str = ""

    @property
    def folder(self) -> str:
        """A name for the copy that people recognise in messages."""
        name = self.repository or self.file
        return re.sub(r"[^\w.-]+", "_", f"{name.split('://', 1)[-1]}@{self.ref or 'HEAD'}")


def parse(entry: str) -> Base | None:
    """What an entry means, by kustomize's rules for addresses; None for protocols that need credentials."""
    text = entry.removeprefix("git::")
    if "://" not in text:
        text = f"https://{text}"
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc or not _HOST.match(parts.netloc):
        return None
    query = parse_qs(parts.query)
    ref = next(iter(query.get("ref") or query.get("version") or [""]))
    path = parts.path
    if path.endswith(_FILE) and not ref and "//" not in path and ".git/" not in path:
        return Base(file=text)
    if ".git" in path:
        repository, inner = path[: path.index(".git") + 4], path[path.index(".git") + 4 :]
    elif "//" in path:
        repository, _, inner = path.partition("//")
    elif "/_git/" in path:
        before, _, after = path.partition("/_git/")
        name, _, inner = after.partition("/")
        repository = f"{before}/_git/{name}"
    else:
        segments = path.strip("/").split("/")
        repository, inner = "/" + "/".join(segments[:2]), "/".join(segments[2:])
    return Base(f"{parts.scheme}://{parts.netloc}{repository}", inner.strip("/"), ref)


async def bring(files: Files, folder: Path, *, timeout: float) -> None:
    """Fetch all that the kustomization of `folder` names elsewhere, again and again until nothing is left.

    The files are a private copy. Raises `BuildProblem` or `GitProblem`.
    """
    seen: dict[Base, Path] = {}
    root = files.root
    count = 0
    while found := await asyncio.to_thread(elsewhere, files, folder):
        count += len(found)
        if count > AT_MOST:
            raise BuildProblem(f"more than {AT_MOST} remote bases", "copy them into the source", found[0].shown)
        if not seen:
            await asyncio.to_thread(_make_room, root)
        for one in found:
            base = parse(one.entry)
            if base is None:
                step = "name it by https, or copy it into the source: remote bases are fetched without credentials"
                raise BuildProblem(f"{one.field}: remote base '{one.entry}' is not supported", step, one.shown)
            if base not in seen:
                seen[base] = await _fetch(root, base, one, timeout)
            await asyncio.to_thread(_replace, files, one, seen[base])


def _make_room(root: Path) -> None:
    try:
        (root / FOLDER).mkdir()
    except FileExistsError:  # it might be a link to anywhere
        raise BuildProblem(f"the source has a '{FOLDER}' of its own", "rename it: remote bases are put there") from None


async def _fetch(root: Path, base: Base, one: Elsewhere, timeout: float) -> Path:
    place = root / FOLDER / base.folder
    if base.file:
        target = place.with_suffix(Path(base.file).suffix)
        data = await _download(base.file, one, timeout)
        await asyncio.to_thread(_write, target, data)
        return target
    if not place.exists():
        ref, commit = await _resolve(base, timeout)
        async with fetched(base.repository, Auth(), ref=ref, commit=commit, timeout=timeout) as found:
            await in_thread(lambda: _unpack(found.tree, place))
    target = place / base.path
    if ".." in target.parts or not await asyncio.to_thread(target.exists):
        step = "correct the path behind the repository"
        raise BuildProblem(f"remote base '{one.entry}' has no path '{base.path}'", step, one.shown)
    return target


async def _resolve(base: Base, timeout: float) -> tuple[str, str]:
    """(reference, commit); HEAD when none is given."""
    if _COMMIT.match(base.ref):
        return "", base.ref
    refs = await ls_remote(base.repository, Auth(), timeout=timeout, also=base.ref)
    names = [f"refs/heads/{base.ref}", f"refs/tags/{base.ref}", base.ref] if base.ref else [refs.head, "HEAD"]
    for name in names:
        if name and (commit := refs.commit(name)):
            return (name if name.startswith("refs/") else ""), commit
    step = "correct ?ref= of the remote base"
    raise ReferenceNotFound(f"remote base '{base.repository}' has no reference '{base.ref or 'HEAD'}'", step)


def _unpack(tree: Tree, place: Path) -> None:
    for file in tree.files(lambda path: False):
        if ".." not in Path(file.path).parts:  # no honest Git writes one
            _write(place / file.path, file.content)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


async def _download(url: str, one: Elsewhere, timeout: float) -> bytes:
    import aiohttp

    try:
        async with session(Auth(), timeout) as http, http.get(url) as answer:
            answer.raise_for_status()
            return await read(answer, limits.REMOTE_FILE)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        said, step = words(error, timeout)
        raise BuildProblem(f"remote file '{url}' cannot be had: {said}", step, one.shown) from error


def _replace(files: Files, one: Elsewhere, target: Path) -> None:
    """Put the entry's new path in its place; lines stay, so that messages name the right ones."""
    relative = os.path.relpath(target, one.file.parent.resolve())
    files.write(one.file, files.text(one.file).replace(one.entry, relative).encode())

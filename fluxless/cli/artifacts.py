"""`fluxless push|pull|list|tag|diff artifact`: Flux's artifacts in registries."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fluxless import patterns
from fluxless.api.semver import Constraint, Version
from fluxless.api.timestamps import format_timestamp
from fluxless.artifacts.ignore import VERSION_CONTROL, Ignore
from fluxless.artifacts.pack import Packed
from fluxless.artifacts.repack import pack_folder
from fluxless.artifacts.unpack import unpack
from fluxless.cli.session import wrong
from fluxless.go_yaml import dump
from fluxless.oci import media
from fluxless.oci.auth import ANONYMOUS, Credentials, of_docker_config
from fluxless.oci.client import Registry
from fluxless.oci.push import push as upload
from fluxless.oci.reference import DEFAULT_TAG, Repository, checked_tag, parse

IGNORED = (*VERSION_CONTROL, "*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip")
"""What Flux leaves out of what it pushes."""
_COSIGN = re.compile(r"^sha256-[0-9a-f]{64}(\.(sig|att|sbom))?$")
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the registry: `creds` as `<username>[:<password>]`, `provider` generic or azure."""

    creds: str = ""
    provider: str = "generic"
    insecure: bool = False

    @contextlib.asynccontextmanager
    async def open(self, repository: Repository, out: Console, *, push: bool = False) -> AsyncIterator[Registry]:
        """The repository. Raises `Problem`."""
        async with Registry(repository, self._who(repository, out), insecure=self.insecure, push=push) as registry:
            yield registry

    def _who(self, repository: Repository, out: Console) -> Credentials:
        if self.provider == "azure":
            from fluxless.auth.identity import credential

            out.print("► logging in to registry with provider credentials")
            return Credentials(identity=credential())
        if self.provider != "generic":
            raise wrong(f"provider '{self.provider}' is not supported", "use generic or azure")
        if self.creds:
            out.print("► logging in to registry with credentials")
            username, _, password = self.creds.partition(":")
            return Credentials(username, password)
        return _of_docker(repository)


def _of_docker(repository: Repository) -> Credentials:
    """What `docker login` has left, unless it keeps it in a helper of its own."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        found = of_docker_config({".dockerconfigjson": (folder / "config.json").read_bytes()}, repository)
    except (OSError, ValueError):
        return ANONYMOUS
    return found or ANONYMOUS


async def push(
    url: str,
    path: Path,
    access: Access,
    out: Console,
    *,
    source: str,
    revision: str,
    annotations: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    reproducible: bool = False,
    links: bool = False,
    output: str = "",
) -> str:
    """Push a folder or file; what to print instead of words when `output` is json or yaml. Raises `Problem`."""
    repository, tag = _tagged(url)
    notes = {media.SOURCE: source, media.REVISION: revision, **_annotations(annotations)}
    created = notes.pop(media.CREATED, "") or format_timestamp(0.0 if reproducible else time.time())
    if not output:
        out.print(f"► pushing artifact to {repository}:{tag}")
    with tempfile.TemporaryDirectory(prefix="fluxless-push-") as name:
        packed = await asyncio.to_thread(_pack, path, Path(name), ignore or IGNORED, links=links)
        async with access.open(repository, out, push=True) as registry:
            digest = await upload(registry, packed.path, tag, notes, created=created)
    info = {
        "url": f"oci://{repository}@{digest}",
        "repository": str(repository),
        "tag": tag,
        "digest": digest,
    }
    if output == "json":
        return json.dumps(info, indent=2) + "\n"
    if output == "yaml":
        return dump(info)
    out.print(f"[green]✔[/green] artifact successfully pushed to {repository}@{digest}")
    return ""


async def pull(url: str, target: Path, access: Access, out: Console) -> None:
    """Unpack an artifact into a folder that is there. Raises `Problem`."""
    if not await asyncio.to_thread(target.is_dir):
        raise wrong(f"invalid output path '{target}'", "make the folder first, and name it with --output")
    repository, reference = parse(url)
    out.print(f"► pulling artifact from {url.removeprefix('oci://')}")
    async with access.open(repository, out) as registry:
        digest, notes = await _download(registry, reference, target)
    for key, word in ((media.SOURCE, "source"), (media.REVISION, "revision")):
        if notes.get(key):
            out.print(f"[green]✔[/green] {word} {notes[key]}")
    out.print(f"[green]✔[/green] digest {repository}@{digest}")
    out.print(f"[green]✔[/green] artifact content extracted to {target}")


async def _download(registry: Registry, reference: str, target: Path) -> tuple[str, Mapping[str, str]]:
    manifest = await registry.manifest(reference.removeprefix("@") or DEFAULT_TAG)
    if not manifest.layers:
        raise wrong("no layers found in artifact", "push it with `fluxless push artifact`")
    with tempfile.TemporaryDirectory(prefix="fluxless-pull-") as name:
        archive = Path(name) / "layer"
        await registry.download(manifest.layers[0], archive)
        await asyncio.to_thread(unpack, archive, target)
    return manifest.digest, manifest.annotations


async def show(url: str, access: Access, out: Console, *, semver: str = "", regex: str = "") -> None:
    """A table of the artifacts of a repository. Raises `Problem`."""
    repository = Repository.parse(url)
    try:
        constraint, pattern = Constraint.parse(semver) if semver else None, patterns.regex(regex)
    except patterns.InvalidPattern as error:
        raise wrong(f"regex '{regex}' parse error: {error}") from None
    except ValueError:
        raise wrong(f"semver '{semver}' parse error", "write it like >=1.0.0 or 1.x") from None
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in ("ARTIFACT", "DIGEST", "SOURCE", "REVISION"):
        table.add_column(column, no_wrap=True)
    async with access.open(repository, out) as registry:
        tags = sorted((tag for tag in await registry.tags() if not _COSIGN.match(tag)), reverse=True)
        wanted = [tag for tag in tags if _in_range(tag, constraint) and pattern.found_in(tag)]
        slots = asyncio.Semaphore(_AT_ONCE)

        async def row(tag: str) -> tuple[str, str, str, str]:
            async with slots:
                digest = await registry.digest(tag)
                notes = (await registry.manifest(digest)).annotations
                return f"{repository}:{tag}", digest, notes.get(media.SOURCE, ""), notes.get(media.REVISION, "")

        for cells in await asyncio.gather(*(row(tag) for tag in wanted)):
            table.add_row(*cells)
    out.print(table)


def _in_range(tag: str, constraint: Constraint | None) -> bool:
    if constraint is None:
        return True
    version = Version.parse(tag)
    return version is not None and tag.count(".") >= 2 and constraint.matches(version)


async def tag(url: str, tags: tuple[str, ...], access: Access, out: Console) -> None:
    """Give an artifact further tags. Raises `Problem`."""
    if not tags:
        raise wrong("--tag is required", "name at least one tag")
    repository, reference = parse(url)
    out.print("► tagging artifact")
    async with access.open(repository, out, push=True) as registry:
        raw, kind = await registry.raw_manifest(reference.removeprefix("@") or DEFAULT_TAG)
        for name in tags:
            await registry.push_manifest(raw, kind, checked_tag(name))
            out.print(f"[green]✔[/green] artifact tagged as {repository}:{name}")


async def diff(url: str, path: Path, access: Access, out: Console, *, ignore: tuple[str, ...] = ()) -> None:
    """Compare an artifact with a folder, file by file. Raises `Problem` that names what differs."""
    repository, reference = parse(url)
    with tempfile.TemporaryDirectory(prefix="fluxless-diff-") as name:
        theirs, ours = Path(name) / "remote", Path(name) / "local"
        theirs.mkdir()
        ours.mkdir()
        async with access.open(repository, out) as registry:
            await _download(registry, reference, theirs)
        packed = await asyncio.to_thread(_pack, path, Path(name), ignore or IGNORED)
        await asyncio.to_thread(unpack, packed.path, ours)
        different = await asyncio.to_thread(_different, theirs, ours)
    if different:
        shown = ", ".join(different[:10]) + (f" and {len(different) - 10} more" if len(different) > 10 else "")
        raise wrong(f"the remote artifact contents differs from the local one: {shown}", "push it again")
    out.print("[green]✔[/green] no changes detected")


def _different(theirs: Path, ours: Path) -> list[str]:
    """`+` for what only the folder has, `-` for what only the artifact has, `~` for what both have and differs."""
    left, right = ({file.relative_to(root).as_posix(): file for file in root.rglob("*") if file.is_file()}
                   for root in (theirs, ours))  # fmt: skip
    changed = [path for path in left.keys() & right.keys() if left[path].read_bytes() != right[path].read_bytes()]
    marks = {"~": changed, "-": left.keys() - right.keys(), "+": right.keys() - left.keys()}
    return sorted((mark + path for mark, paths in marks.items() for path in paths), key=lambda text: text[1:])


def _pack(path: Path, folder: Path, ignore: tuple[str, ...], *, links: bool = False) -> Packed:
    if not path.exists():
        raise wrong(f"invalid path '{path}', must point to an existing directory or file", "correct --path")
    root = path
    if path.is_file() or links:  # `links`: what links point to is packed in their place
        root = folder / "staged"
        if path.is_file():
            root.mkdir()
            shutil.copyfile(path, root / path.name)
        else:
            shutil.copytree(path, root, symlinks=False)
    rules = Ignore({}, "\n".join(ignore))
    return pack_folder(root, folder / "artifact.tgz", lambda _: rules)


def _tagged(url: str) -> tuple[Repository, str]:
    repository, reference = parse(url)
    if reference.startswith("@"):
        raise wrong(f"'{url}' names a digest", "push to a tag")
    return repository, reference or DEFAULT_TAG


def _annotations(entries: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        key, sign, value = entry.partition("=")
        if not sign or not key:
            raise wrong(f"invalid annotation {entry}", "write it like key=value")
        found[key.strip()] = value.strip()
    return found

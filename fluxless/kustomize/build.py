"""From a tree to objects: generate, jail, kustomize, substitute (KC-63..74). The reconciler calls `build`.

What kustomize makes of a path is kept by the digest of everything that goes in, so that a thousand Kustomizations over
one path run it once; only the substitution is everybody's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fluxless import limits
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.go_yaml import ManifestProblem, load, load_all, split
from fluxless.kustomize.bases import bring
from fluxless.kustomize.beneath import Files
from fluxless.kustomize.decryption import Decryption, FieldPath, encrypted
from fluxless.kustomize.generate import generate
from fluxless.kustomize.jail import REMOTE, check, elsewhere
from fluxless.kustomize.origin import ANNOTATION, Origins
from fluxless.kustomize.problems import BuildProblem, PathProblem
from fluxless.kustomize.substitute import SubstitutionProblem, substitute
from fluxless.render.cache import SharedCache
from fluxless.render.kustomize import KustomizeFailed, OverLimits, kustomize

GENERATOR_FIELDS = (
    "path",
    "targetNamespace",
    "namePrefix",
    "nameSuffix",
    "patches",
    "patchesStrategicMerge",
    "patchesJson6902",
    "images",
    "components",
    "ignoreMissingComponents",
    "buildMetadata",
)
"""Fields of the spec that change what kustomize makes."""
SUBSTITUTE = "kustomize.toolkit.fluxcd.io/substitute"
OFF_LOOP = 40
"""Documents above which parsing moves to a thread, lest the event loop stand still."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An object and where it was written, as `path/in/artifact.yaml:line` or empty.

    `hidden` are the paths of fields that were encrypted: their values are shown to nobody.
    """

    object: dict[str, Any]
    origin: str
    hidden: frozenset[FieldPath] = frozenset()


@dataclass(frozen=True, slots=True)
class Built:
    """One document of kustomize's output: its text for the substitution, and what it says without one."""

    text: str
    rendered: Rendered


@dataclass(frozen=True, slots=True)
class Build:
    """The objects; `floating` when they depend on more than the inputs, because a remote base may have changed."""

    objects: list[Rendered]
    floating: bool = False


@dataclass(frozen=True, slots=True)
class _Output:
    built: list[Built]
    floating: bool


_builds: SharedCache[_Output] = SharedCache(
    size=lambda output: sum(len(item.text) for item in output.built) * 4, keeps=lambda output: not output.floating
)


async def build(
    tree: Path,
    digest: str,
    spec: Mapping[str, Any],
    variables: Mapping[str, str],
    *,
    decryption: Decryption | None = None,
    remote_bases: bool = False,
    strict: bool = True,
    timeout: float = 60.0,
) -> Build:
    """The objects that the spec describes, over the artifact of that digest. Raises `Problem`.

    Variables that are not set are an error when `strict` (KC-71), else empty. `timeout` bounds how long this caller
    waits, his turn included; others may wait for the same build for longer.
    """
    inputs = {name: spec[name] for name in GENERATOR_FIELDS if spec.get(name)}
    # Whoever holds other keys must not get what these keys have opened.
    who = decryption.keys.fingerprint if decryption is not None else ""
    key = hashlib.sha256(json.dumps([digest, inputs, who], sort_keys=True).encode()).hexdigest()
    try:
        async with asyncio.timeout(timeout):
            output = await _builds.get(key, lambda: _kustomize(tree, spec, decryption, remote_bases))
    except TimeoutError:
        raise OverLimits(f"it took longer than {timeout:.0f} s") from None
    built = output.built
    if decryption is not None:
        built = [await _decrypted(item, decryption) for item in built]
    always = (spec.get("postBuild") or {}).get("substituteStrategy") == "Always"
    if not variables and not always:
        return Build([item.rendered for item in built], output.floating)
    if variables or len(built) > OFF_LOOP:  # a variable may be long, or a bomb that fits Go's limits
        return Build(await asyncio.to_thread(_substitute_all, built, variables, strict), output.floating)
    return Build(_substitute_all(built, variables, strict), output.floating)


async def _decrypted(item: Built, decryption: Decryption) -> Built:
    """Never kept: the next step decrypts again."""
    obj = item.rendered.object
    plain = await decryption.object(obj, _subject(obj))
    return item if plain is obj else Built(json.dumps(plain), Rendered(plain, item.rendered.origin, encrypted(obj)))


async def _kustomize(tree: Path, spec: Mapping[str, Any], decryption: Decryption | None, remote_bases: bool) -> _Output:
    async with contextlib.AsyncExitStack() as private:
        began = time.monotonic()
        try:
            async with asyncio.timeout(limits.BUILD_SECONDS):
                files, folder, shown = await asyncio.to_thread(_prepared, tree, spec)
                floating = remote_bases and bool(await asyncio.to_thread(elsewhere, files, folder))
                if floating:
                    place = await private.enter_async_context(_place())
                    inner = folder.relative_to(files.root)
                    files = await asyncio.to_thread(files.copied, place)
                    folder = files.root / inner
                    await bring(files, folder, timeout=limits.BUILD_SECONDS)
                await asyncio.to_thread(check, files, folder)
                sealed = dict(files.changed)
                opened = decryption is not None and await decryption.inputs(files, folder)
        except TimeoutError:
            raise OverLimits(f"what goes before it took longer than {limits.BUILD_SECONDS} s") from None
        left = max(1.0, limits.BUILD_SECONDS - (time.monotonic() - began))
        try:
            output = await kustomize(files.root, folder, files.changed, timeout=left)
        except KustomizeFailed as failed:
            if opened and not await _fails_without_plain_text(files, folder, sealed, failed.words, left):
                raise _kept_back(failed.words) from None
            raise await asyncio.to_thread(_explain, Files(files.root, sealed), folder, failed.words) from None
        return _Output(await asyncio.to_thread(_read, output, files, folder, shown), floating)


async def _fails_without_plain_text(
    files: Files, folder: Path, sealed: Mapping[str, bytes], words: str, timeout: float
) -> bool:
    """Whether kustomize says the very same without what was decrypted: then the words cannot hold any of it."""
    try:
        await kustomize(files.root, folder, sealed, timeout=timeout)
    except KustomizeFailed as failed:
        return failed.words == words
    except Problem:
        return False
    return False


def _kept_back(words: str) -> BuildProblem:
    """For words that may hold plain text, which has no place in a status, an event or a log."""
    known = next((text for text in (_LEAVES, *_CLOSED) if text in words), "")
    said = f": {known}" if known else ""
    step = "decrypt the files that secretGenerator and patches read, and run `kustomize build` on the path"
    message = f"kustomize build failed with decrypted files{said}; its words are not shown, since they may hold secrets"
    return BuildProblem(message, step)


@contextlib.asynccontextmanager
async def _place() -> AsyncIterator[Path]:
    """Where a folder can be made, and is removed in the end."""
    holder = await asyncio.to_thread(tempfile.mkdtemp, prefix="fluxless-build-")
    try:
        yield Path(holder) / "artifact"
    finally:
        await asyncio.to_thread(shutil.rmtree, holder, ignore_errors=True)


def _prepared(tree: Path, spec: Mapping[str, Any]) -> tuple[Files, Path, bool]:
    """The files with the kustomization in place, the folder to build, and whether origins are shown."""
    files = Files(tree)
    asked = str(spec.get("path") or "")
    try:
        folder = (files.root / asked.lstrip("/")).resolve()
        folder.exists()
    except (OSError, ValueError, RuntimeError):  # no name of a file system, or links in a circle
        raise PathProblem(f"kustomization path {asked[:200]!r} is no path") from None
    if not folder.is_relative_to(files.root):
        raise PathProblem(f"kustomization path {asked!r} leaves the artifact")
    if not folder.exists():
        raise PathProblem(f"kustomization path not found: {asked!r} is no directory of the artifact")
    if not folder.is_dir():
        raise BuildProblem(f"kustomization path {asked!r} is a file", "spec.path must name a directory")
    return files, folder, generate(files, folder, spec)


_LEAVES = "path leaves the artifact"
_CLOSED = ("no network", "no 'git' program")
"""Words that mean: kustomize looked for a base on the network."""


def _explain(files: Files, folder: Path, words: str) -> Problem:
    """The first unreadable file of those that kustomize names, else kustomize's own words without our paths."""
    for data, name in _named_files(files, folder, words):
        try:
            for _ in load_all(data, name, strict=True):
                pass
        except ManifestProblem as problem:
            failure = problem.failures[0]
            return BuildProblem(f"kustomize build failed: {failure.message}", failure.next_step, failure.origin)
    words = words.strip().replace(f"{files.root}/", "").replace(str(files.root), ".")
    step = "run `kustomize build` on the path to see the same error"
    if _LEAVES in words:
        step = "use paths inside the source, and no links that lead out of it"
    elif any(text in words for text in _CLOSED):
        step = REMOTE
    return BuildProblem(f"kustomize build failed: {words}", step)


def _named_files(files: Files, folder: Path, words: str) -> Iterator[tuple[bytes, str]]:
    """What stands in the files whose name is in the words, and their names: a few of them, and not much."""
    budget = limits.EXPLAINED_BYTES
    found = (
        file
        for file in folder.rglob("*")
        if file.suffix in {".yaml", ".yml"} and file.name in words and file.is_file() and not file.is_symlink()
    )
    named = sorted(found, key=lambda file: (files.shown(file) not in words, file))  # many have the same name
    for file in named[: limits.EXPLAINED_FILES]:
        data = files.read(file)
        budget -= len(data)
        if budget < 0:
            return
        yield data, files.shown(file)


def _read(output: str, files: Files, folder: Path, shown: bool) -> list[Built]:
    origins = Origins(files, folder)
    built: list[Built] = []
    for text in split(output):
        obj = load(text, "kustomize's output")
        if not isinstance(obj, dict):
            raise BuildProblem("kustomize build failed: its output holds something that is no object")
        origin = origins.of(obj)
        if not shown:
            _drop_annotation(obj)
        built.append(Built(text, Rendered(obj, origin)))
    return built


def _drop_annotation(obj: dict[str, Any]) -> None:
    metadata = obj.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    annotations.pop(ANNOTATION, None)
    if not annotations:
        metadata.pop("annotations", None)


def _substitute_all(built: list[Built], variables: Mapping[str, str], strict: bool) -> list[Rendered]:
    """Every document with its variables; all that cannot be substituted are named at once."""
    rendered: list[Rendered] = []
    failures: list[Failure] = []
    for item in built:
        try:
            rendered.append(_substitute(item, variables, strict))
        except Problem as problem:
            failures.append(_named(problem.failures[0], item.rendered))
    if failures:
        raise Problem(failures)
    return rendered


def _named(failure: Failure, item: Rendered) -> Failure:
    subject = _subject(item.object)
    message = f"{subject}: {failure.message}"
    return Failure(FailureClass.SUBSTITUTION, message, subject, item.origin, failure.next_step)


def _subject(obj: Mapping[str, Any]) -> str:
    metadata = obj.get("metadata") or {}
    parts = (obj.get("kind"), metadata.get("namespace"), metadata.get("name"))
    return "/".join(str(part) for part in parts if part)


def _substitute(item: Built, variables: Mapping[str, str], strict: bool) -> Rendered:
    obj = item.rendered.object
    metadata = obj.get("metadata") or {}
    for place in ("labels", "annotations"):
        if (metadata.get(place) or {}).get(SUBSTITUTE) == "disabled":
            return item.rendered
    if "$" not in item.text:
        return item.rendered
    changed = load(substitute(item.text, variables, strict=strict), "the substituted manifest")
    if not isinstance(changed, dict):
        raise SubstitutionProblem("the result is no object")
    kept = (metadata.get("annotations") or {}).get(ANNOTATION)
    if kept is None:
        _drop_annotation(changed)
    return replace(item.rendered, object=changed)

"""`fluxless build` and `diff kustomization`: which Kustomization, over which folder, and those below it.

Whatever is built is built by the engine's own phases, with the rights of whoever types; nothing is written anywhere.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluxless.api.kinds import KUSTOMIZATION, by_name
from fluxless.apply.objects import KubeObject, Manifest, group_of
from fluxless.cli.local import copy_source, split_root
from fluxless.cli.session import wrong
from fluxless.go_yaml import load_all
from fluxless.kube.client import Cluster
from fluxless.kube.errors import ApiProblem
from fluxless.kustomize.preview import Ahead, look_ahead, render_ahead, render_offline
from fluxless.kustomize.run import KustomizationRun
from fluxless.reconcile.dependencies import source_of
from fluxless.reconcile.services import Services, Settings
from fluxless.reconcile.survey import Survey
from fluxless.reconcile.world import Ref, World


@dataclass(frozen=True, slots=True)
class Asked:
    """The flags of both commands. `folders` are the roots of sources by `Kind/namespace/name`."""

    name: str
    namespace: str
    path: Path
    file: Path | None = None
    ignore: tuple[str, ...] = ()
    folders: Mapping[str, Path] = field(default_factory=dict)
    recursive: bool = False
    strict: bool = True
    missing_is_fine: bool = False
    remote_bases: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A Kustomization and the copy of the source that it is built from."""

    obj: KubeObject
    tree: Path
    root: Path

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref.of(self.obj)


class Outlook:
    """Looks at local folders on behalf of one command; without a cluster only what needs none."""

    def __init__(self, asked: Asked, cluster: Cluster | None, folder: Path) -> None:
        from fluxless.artifacts.cache import ArtifactCache
        from fluxless.artifacts.directory import DirectoryStore

        self._asked = asked
        self._cluster = cluster
        self._folder = folder
        store = DirectoryStore(folder / "store")
        settings = Settings(remote_bases=asked.remote_bases)
        self._services = Services(store, ArtifactCache(store, folder / "cache"), settings)
        self._trees: dict[Path, Path] = {}

    async def first(self) -> Place:
        """The Kustomization that was asked for. Raises `Problem`."""
        asked = self._asked
        live = await self._live(asked.namespace, asked.name)
        if asked.file is not None:
            obj = await asyncio.to_thread(_from_file, asked.file, asked.namespace, asked.name)
            if live is None and self._cluster is not None and not asked.missing_is_fine:
                raise wrong(f"Kustomization {asked.namespace}/{asked.name} is not in the cluster", "--ignore-not-found")
            obj = _over(obj, live)
        elif live is not None:
            obj = live
        else:
            step = "give the namespace with -n, or a file with --kustomization-file"
            raise wrong(f"Kustomization {asked.name} not found in namespace {asked.namespace}", step)
        root, inner = await asyncio.to_thread(split_root, asked.path, str(obj["spec"].get("path") or ""))
        return await self._place(obj, root, inner)

    async def below(self, place: Place, manifests: Iterable[Manifest], seen: set[Ref]) -> AsyncIterator[Place]:
        """The Kustomizations among the objects, each over its own folder, if the flags ask for them.

        Raises `Problem` for a source whose folder is not known.
        """
        if not self._asked.recursive:
            return
        for obj in (manifest.object for manifest in manifests):
            if not _is_kustomization(obj) or Ref.of(obj) in seen:
                continue
            seen.add(Ref.of(obj))
            root = self._root_of(obj, place)
            live = await self._live(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            yield await self._place(_over(obj, live), root, str(obj["spec"].get("path") or "."))

    async def manifests(self, place: Place) -> list[Manifest]:
        """What is built, with marks for what is encrypted. Raises `Problem`."""
        asked, digest = self._asked, str(place.root)
        if self._cluster is None:
            return await render_offline(
                place.obj, place.tree, digest, remote_bases=asked.remote_bases, strict=asked.strict
            )
        return await render_ahead(self._run(place, self._cluster), place.tree, digest)

    async def ahead(self, place: Place, cluster: Cluster) -> Ahead:
        """What would happen in the cluster. Raises `Problem`."""
        return await look_ahead(self._run(place, cluster), place.tree, str(place.root))

    def _run(self, place: Place, cluster: Cluster) -> KustomizationRun:
        return KustomizationRun(KUSTOMIZATION, place.obj, Survey(cluster, World({}, 0.0)), self._services)

    async def _live(self, namespace: str, name: str) -> KubeObject | None:
        if self._cluster is None:
            return None
        resource = await self._cluster.resource(KUSTOMIZATION.api_version, KUSTOMIZATION.kind)
        return await self._cluster.get(resource, name, namespace)

    def _root_of(self, obj: KubeObject, place: Place) -> Path:
        source = source_of(obj)
        given = self._asked.folders.get(str(source))
        if given is not None:
            return given.resolve()
        if source == source_of(place.obj):
            return place.root
        name = f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"
        raise wrong(f"cannot get local path for {source} of kustomization {name}", f"--local-sources {source}=<folder>")

    async def _place(self, obj: KubeObject, root: Path, inner: str) -> Place:
        if root not in self._trees:
            target = self._folder / f"source-{len(self._trees)}"
            target.mkdir()
            await asyncio.to_thread(copy_source, root, target, await self._ignore(obj))
            self._trees[root] = target
        metadata = {"uid": "", "generation": 0, **obj["metadata"]}
        # with the rights of whoever types: an account of a tenant is not impersonated
        spec = {key: value for key, value in obj["spec"].items() if key != "serviceAccountName"} | {"path": inner}
        return Place(obj | {"metadata": metadata, "spec": spec}, self._trees[root], root)

    async def _ignore(self, obj: KubeObject) -> str | None:
        """`spec.ignore` of the source, if it can be read, and what the flags leave out besides."""
        lines: list[str] = list(self._asked.ignore)
        source = source_of(obj)
        if source is not None and self._cluster is not None:
            kind = by_name(source.kind)
            try:
                resource = await self._cluster.resource(kind.api_version, kind.kind)
                found = await self._cluster.get(resource, source.name, source.namespace)
                known = ((found or {}).get("spec") or {}).get("ignore")
                lines = [*str(known).splitlines(), *lines] if known is not None else lines
            except ApiProblem:
                pass
        return "\n".join(lines) if lines else None


@asynccontextmanager
async def outlook(asked: Asked, cluster: Cluster | None) -> AsyncIterator[Outlook]:
    """An outlook with a private folder, which is gone afterwards."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="fluxless-ahead-"))
    try:
        yield Outlook(asked, cluster, folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _over(obj: KubeObject, live: KubeObject | None) -> KubeObject:
    """The object as it would be, with what the cluster knows of it."""
    known: dict[str, Any] = live or {}
    metadata = {**known.get("metadata", {}), **obj["metadata"]}
    return {**obj, "metadata": metadata, "status": known.get("status") or {}}


def _is_kustomization(obj: KubeObject) -> bool:
    return group_of(obj["apiVersion"]) == KUSTOMIZATION.group and obj["kind"] == KUSTOMIZATION.kind


def _from_file(file: Path, namespace: str, name: str) -> KubeObject:
    try:
        text = file.read_text()
    except OSError as error:
        raise wrong(f"{file} cannot be read ({error.strerror})", "correct --kustomization-file") from None
    for document in _objects(text, file.name):
        metadata = document.get("metadata") or {}
        if _is_kustomization(document) and metadata.get("name") == name:
            where = metadata.get("namespace") or namespace
            if where == namespace:
                return document | {"metadata": {**metadata, "namespace": where}, "spec": document.get("spec") or {}}
    raise wrong(f"{file} holds no Kustomization {namespace}/{name}", "correct the name, -n or --kustomization-file")


def _objects(text: str, name: str) -> Iterator[KubeObject]:
    for document in load_all(text, name):
        if isinstance(document, dict) and document.get("apiVersion") and document.get("kind"):
            yield document

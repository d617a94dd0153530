"""Where a chart comes from: a repository with an index, a registry, or a folder of a source (CH-1, CH-24)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluxless.api.failure import FailureClass, Problem
from fluxless.api.kinds import HELM_REPOSITORY
from fluxless.artifacts import verified
from fluxless.artifacts.unpack import ArchiveProblem
from fluxless.charts import versions
from fluxless.charts.chart import Chart, load_archive
from fluxless.charts.errors import ChartProblem
from fluxless.charts.index import lookup, reencode
from fluxless.oci import media
from fluxless.oci.client import Registry
from fluxless.oci.errors import RegistryProblem, RegistryRefused
from fluxless.oci.reference import Repository
from fluxless.source import credentials
from fluxless.source.base import SourceRun
from fluxless.source.helm_repository import HelmRepositoryRun
from fluxless.source.oci_access import who_asks


@dataclass(frozen=True, slots=True)
class Found:
    """A chart that is there: `reference` and `digest` are the repository's, `digest` empty when it says none."""

    name: str
    version: str
    reference: str
    digest: str = ""


class Origin:
    """A HelmRepository, or one that nobody has declared: `repository` is then made up, and asked anonymously."""

    def __init__(self, repository: HelmRepositoryRun) -> None:
        self._repository = repository

    @property
    def oci(self) -> bool:
        """Whether it is a registry."""
        return self._repository.oci

    async def find(self, chart: str, version: str, folder: Path) -> Found:
        """The version that is meant. Raises `ChartProblem`."""
        if self._repository.oci:
            async with self._registry(chart) as registry:
                found = versions.choose_tag(chart, await registry.tags(), version)
                tag = found.replace("+", "_")
                return Found(chart.rpartition("/")[2], found, tag, await registry.digest(tag))
        entries = await self._entries(chart, folder)
        entry = versions.choose(chart, entries, version)
        urls = entry.get("urls") or []
        if not urls:
            raise ChartProblem(f"chart '{chart}' has no downloadable URLs", "correct the repository's index")
        return Found(chart, str(entry["version"]), str(urls[0]), str(entry.get("digest") or "").removeprefix("sha256:"))

    async def download(self, found: Found, chart: str, target: Path) -> None:
        """The packed chart. Raises `ChartProblem`."""
        if not self._repository.oci:
            async with self._repository.server() as server:
                await server.chart(found.reference, target, found.digest)
            return
        async with self._registry(chart) as registry:
            manifest = await registry.manifest(found.digest)
            for layer in manifest.layers:
                if layer.media_type == media.HELM_CHART:
                    await registry.download(layer, target)
                    return
        words = f"'{registry.repository}:{found.reference}' is no Helm chart"
        raise ChartProblem(words, "push it with `helm push`")

    async def verify(self, run: SourceRun, found: Found, chart: str, told: str) -> None:
        """Look at the signatures of the chart's manifest (CH-5). Raises `Transient` with SourceVerified=False."""
        from fluxless.source.oci_verify import verify

        async with self._registry(chart) as registry:
            await verify(run, registry, found.digest, told)

    @contextlib.asynccontextmanager
    async def _registry(self, chart: str) -> Any:
        run = self._repository
        try:
            repository = Repository.parse(f"{run.url.rstrip('/')}/{chart}")
            insecure = bool(run.spec.get("insecure"))
            tls = await credentials.tls(run, insecure=insecure)
            async with contextlib.AsyncExitStack() as stack:
                who = await who_asks(run, repository, stack, basic=True)
                yield await stack.enter_async_context(
                    Registry(repository, who, tls=tls, insecure=insecure, timeout=run.timeout)
                )
        except RegistryProblem as problem:
            first = problem.failures[0]
            cls = FailureClass.SOURCE_AUTH if isinstance(problem, RegistryRefused) else first.cls
            raise ChartProblem(first.message, first.next_step, cls) from problem

    async def _entries(self, chart: str, folder: Path) -> list[dict[str, Any]] | None:
        """Of the artifact where there is one, else of the index as it is now."""
        run, place = self._repository, folder / "index.json"
        artifact = run.artifact
        if artifact:
            try:
                there = await verified.fetch(run.services.store, artifact, place)
            except ArchiveProblem as problem:
                first = problem.failures[0]
                raise ChartProblem(first.message, first.next_step) from problem
            if not there:
                raise ChartProblem(f"the index of '{run.ref.name}' is gone", "reconcile the HelmRepository")
        else:
            async with run.server() as server:
                await server.index(folder / "index.yaml")
            await asyncio.to_thread(reencode, folder / "index.yaml", place)
        return await asyncio.to_thread(lookup, place, chart)


def declared(run: SourceRun, obj: dict[str, Any]) -> Origin:
    """A HelmRepository of the cluster."""
    return Origin(HelmRepositoryRun(HELM_REPOSITORY, obj, run.survey, run.services))


def by_url(run: SourceRun, url: str) -> Origin:
    """The HelmRepository of the namespace with this URL, else an anonymous one (CH-24)."""
    wanted = _normal(url)
    for ref, obj in run.survey.world.objects.items():
        same = ref.kind == "HelmRepository" and ref.namespace == run.ref.namespace
        if same and _normal(str(obj["spec"].get("url", ""))) == wanted:
            return declared(run, obj)
    spec = {"url": url, "type": "oci" if url.startswith("oci://") else "default"}
    metadata = {"name": "anonymous", "namespace": run.ref.namespace}
    return declared(run, {"kind": "HelmRepository", "metadata": metadata, "spec": spec})


def _normal(url: str) -> str:
    return url.rstrip("/")


async def build_dependencies(run: SourceRun, made: Chart, root: Path, path: str, folder: Path) -> int:
    """Vendor what a chart from a folder requires and does not hold; how many that were. Raises `ChartProblem`."""
    missing = await asyncio.to_thread(made.missing)
    for number, entry in enumerate(missing):
        name = str(entry.get("alias") or entry.get("name") or "")
        place = folder / f"dependency-{number}"
        place.mkdir()
        try:
            made.add(await _dependency(run, entry, root, path, place))
        except ChartProblem as problem:
            first = problem.failures[0]
            words = f"failed to add dependency '{name}': {first.message}"
            raise ChartProblem(words, first.next_step, first.cls) from problem
        except Problem as problem:  # credentials of its repository
            raise ChartProblem(f"failed to add dependency '{name}': {problem.failures[0].message}") from problem
    return len(missing)


async def _dependency(run: SourceRun, entry: Mapping[str, Any], root: Path, path: str, folder: Path) -> Chart:
    from fluxless.charts.chart import inside, load_folder

    name, version = str(entry.get("name") or ""), str(entry.get("version") or "")
    repository, alias = str(entry.get("repository") or ""), str(entry.get("alias") or "")
    if not repository or repository.startswith("file://"):
        below = repository.removeprefix("file://") or f"charts/{name}"
        place = f"{path}/{below}"
        if not await asyncio.to_thread(inside(root, place).exists):
            raise ChartProblem(f"no chart found at '{place}' (reference '{repository}')", "correct the repository")
        found = await asyncio.to_thread(load_folder, root, place, f"chart '{name}'")
        if version and not versions.satisfies(found.version, version):
            raise ChartProblem(f"can't get a valid version for constraint '{version}'", "correct the version")
    elif repository.startswith(("https://", "http://", "oci://")):
        origin = by_url(run, repository)
        chosen = await origin.find(name, version, folder)
        await origin.download(chosen, name, folder / "chart.tgz")
        found = await asyncio.to_thread(load_archive, folder / "chart.tgz", f"chart '{name}'")
    else:
        words = f"repository '{repository}' is no http, https, oci or file URL"
        raise ChartProblem(words, "write the URL in place of an alias")
    await asyncio.to_thread(found.rename, name=alias)
    return found

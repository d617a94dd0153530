"""N HelmReleases of one chart in one OCIRepository, to Ready, through a forced no-op and an interval pass.

The chart has the four objects of the other benchmarks, named after the release.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from fluxless.kube.client import Cluster
from fluxless.oci import media
from tools.bench.meter import Meter
from tools.bench.work import NAMESPACE, OBJECTS, SOURCE, Objects, prepare
from tools.charts import push_chart

RELEASE = "helm.toolkit.fluxcd.io/v2"
SETTLED = 4.0
VERSION = "1.0.0"
CHART = {
    "values.yaml": "{}\n",
    "templates/objects.yaml": OBJECTS.replace("podinfo-${INDEX}", "{{ .Release.Name }}"),
}


class Releases:
    """The chart on a registry, and the objects in one cluster."""

    def __init__(self, cluster: Cluster, folder: Path, registry: str) -> None:
        self._cluster = cluster
        self._folder = folder
        self._registry = registry
        self._objects = Objects(cluster, RELEASE, "HelmRelease", "app")
        self._sources = Objects(cluster, SOURCE, "OCIRepository", "chart")

    async def prepare(self) -> None:
        """The chart, as `helm push` leaves it, and its source."""
        await prepare(self._cluster)
        await push_chart(self._registry, "bench/podinfo", VERSION, CHART, self._folder)
        selector = {"mediaType": media.HELM_CHART, "operation": "copy"}
        spec = {"interval": "60m", "url": f"oci://{self._registry}/bench/podinfo", "insecure": True}
        await self._sources.apply("chart-0", {**spec, "ref": {"tag": VERSION}, "layerSelector": selector})
        await self._sources.all_ready(1)

    async def create(self, count: int) -> None:
        """The objects; until all are ready."""
        spec = {
            "interval": "60m",
            "chartRef": {"kind": "OCIRepository", "name": "chart-0"},
            "targetNamespace": NAMESPACE,
        }
        for number in range(count):
            await self._objects.apply(f"app-{number}", {**spec, "releaseName": f"podinfo-{number}"})
        await self._objects.all_ready(count)

    async def sizes(
        self, meter: Meter, sizes: list[int], interval: Callable[[], Awaitable[None]] | None = None
    ) -> dict[tuple[str, int], tuple[float, int]]:
        """(seconds, requests) by measurement and size; `interval` lets every interval pass."""
        found: dict[tuple[str, int], tuple[float, int]] = {}
        for size in sizes:
            name = "HelmRelease, create"
            found[name, size] = await meter.measure(name, size, lambda n=size: self.create(n))  # type: ignore[misc]
            await asyncio.sleep(SETTLED)
            name = "HelmRelease, no-op"
            found[name, size] = await meter.measure(name, size, lambda n=size: self._objects.request(n))  # type: ignore[misc]
            await asyncio.sleep(SETTLED)
            if interval is not None:
                name = "HelmRelease, interval pass"
                found[name, size] = await meter.measure(name, size, interval)
            await self._objects.delete_all()
            await asyncio.sleep(SETTLED)
        return found

"""What Prometheus reads at `/api/metrics` (MT rows), for all clusters of the app at once, with the label `cluster`.

Counters and histograms come from what all workers have counted (`metering.py`). What is true at this moment comes from
the clusters themselves: a recent survey of this worker, or one LIST per Flux kind. A cluster that is away is told as
such, and keeps nobody waiting.

`gotk_resource_info` has the labels that Flux's own configuration of kube-state-metrics gives it, so that Flux's
dashboards work unmodified (MT-5).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fluxless import metrics
from fluxless.api import conditions
from fluxless.api.kinds import by_name
from fluxless.engine.metering import Total
from fluxless.engine.schedule import Schedule
from fluxless.reconcile import suspension
from fluxless.reconcile.dependencies import is_static
from fluxless.reconcile.world import Ref, World

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

KIND = "text/plain; version=0.0.4; charset=utf-8"
WITHIN = 8.0
"""Seconds for what the clusters say: Prometheus gives up after ten."""
_STATUSES = ("True", "False", "Unknown", "Deleted")
_INFO: dict[str, dict[str, str]] = {
    "Kustomization": {"revision": "status.lastAppliedRevision", "source_name": "spec.sourceRef.name"},
    "HelmRelease": {
        "revision": "status.history.0.chartVersion",
        "chart_name": "status.history.0.chartName",
        "chart_app_version": "status.history.0.appVersion",
        "chart_ref_name": "spec.chartRef.name",
        "chart_source_name": "spec.chart.spec.sourceRef.name",
    },
    "GitRepository": {"revision": "status.artifact.revision", "url": "spec.url"},
    "OCIRepository": {"revision": "status.artifact.revision", "url": "spec.url"},
    "HelmRepository": {"revision": "status.artifact.revision", "url": "spec.url"},
    "Bucket": {
        "revision": "status.artifact.revision",
        "endpoint": "spec.endpoint",
        "bucket_name": "spec.bucketName",
    },
    "HelmChart": {
        "revision": "status.artifact.revision",
        "chart_name": "spec.chart",
        "chart_version": "spec.version",
    },
    "ImageRepository": {"image": "spec.image"},
    "ImagePolicy": {"source_name": "spec.imageRepositoryRef.name"},
    "ImageUpdateAutomation": {"source_name": "spec.sourceRef.name"},
}
"""By kind: labels, and the field that each is taken from. Flux's has the path of a Receiver as well: it is a secret."""
_USER = re.compile(r"//[^/@]*@")
"""Of a URL: a name and a password that somebody has put there."""


async def read(
    clusters: Iterable[str],
    world: Callable[[str], Awaitable[World | None]],
    schedule: Callable[[str], Awaitable[Schedule]],
    total: Awaitable[Total],
    silence: Awaitable[float],
) -> str:
    """The whole text. `world` gives None for a cluster that does not answer. Raises `StoreUnavailable`."""
    names = list(clusters)

    async def within(name: str) -> World | None:
        try:
            async with asyncio.timeout(WITHIN):
                return await world(name)
        except TimeoutError:
            return None

    counted, silent, worlds, schedules = await asyncio.gather(
        total,
        silence,
        asyncio.gather(*(within(name) for name in names)),
        asyncio.gather(*(schedule(name) for name in names)),
    )
    return text(counted, dict(zip(names, worlds, strict=True)), dict(zip(names, schedules, strict=True)), silent)


def text(total: Total, worlds: Mapping[str, World | None], schedules: Mapping[str, Schedule], silence: float) -> str:
    """The exposition format, version 0.0.4. Pure."""
    from prometheus_client.exposition import generate_latest

    class Known:
        """What `generate_latest` asks of a registry."""

        def collect(self) -> Iterator[Metric]:
            yield from _counted(total, worlds)
            yield from _objects(worlds)
            yield from _queues(schedules)
            yield from _app(total, worlds, silence)

    return generate_latest(Known()).decode()


def _counted(total: Total, worlds: Mapping[str, World | None]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

    for name, series in sorted(total.counted.items()):
        known = metrics.ALL[name]
        if not known.bounds:
            counter = CounterMetricFamily(name, known.meaning, labels=known.labels)
            for labels, numbers in sorted(series.items()):
                counter.add_metric(labels, numbers[0])
            yield counter
            continue
        histogram = HistogramMetricFamily(name, known.meaning, labels=known.labels)
        for labels, (seconds, *counts) in sorted(series.items()):
            if known.labels == metrics.OBJECT and _deleted(labels, worlds):
                continue
            buckets, so_far = [], 0.0
            for bound, count in zip([*map(str, known.bounds), "+Inf"], counts, strict=True):
                so_far += count
                buckets.append((bound, so_far))
            histogram.add_metric(labels, buckets, seconds)
        yield histogram


def _deleted(labels: metrics.Labels, worlds: Mapping[str, World | None]) -> bool:
    """Whether the object is gone, and its series with it (MT-1). Of a cluster that is away nobody knows."""
    cluster, kind, name, namespace = labels
    if cluster not in worlds:
        return True
    world = worlds[cluster]
    return world is not None and Ref(kind, namespace, name) not in world.objects


def _objects(worlds: Mapping[str, World | None]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily, Metric

    names = ("cluster", "kind", "name", "namespace")
    ready = GaugeMetricFamily(
        "gotk_reconcile_condition", "The Ready condition of a Flux object.", labels=(*names, "type", "status")
    )
    suspended = GaugeMetricFamily("gotk_suspend_status", "Whether a Flux object is suspended.", labels=names)
    info = Metric("gotk_resource_info", "The current state of a Flux object.", "gauge")
    for cluster, world in worlds.items():
        for ref, obj in sorted(world.objects.items()) if world is not None else ():
            labels = (cluster, ref.kind, ref.name, ref.namespace)
            suspended.add_metric(labels, float(suspension.is_suspended(obj)))
            info.add_sample("gotk_resource_info", _info(cluster, obj), 1.0)
            if is_static(obj):
                continue
            status = str((conditions.get(obj, "Ready") or {}).get("status") or "Unknown")
            status = "Deleted" if obj["metadata"].get("deletionTimestamp") else status
            for one in _STATUSES:
                ready.add_metric((*labels, "Ready", one), float(one == status))
    yield ready
    yield suspended
    yield info


def _info(cluster: str, obj: dict[str, Any]) -> dict[str, str]:
    kind = by_name(obj["kind"])
    group, _, version = kind.api_version.partition("/")
    metadata = obj["metadata"]
    found = {
        "cluster": cluster,
        "customresource_group": group,
        "customresource_version": version,
        "customresource_kind": kind.kind,
        "exported_namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "suspended": str(suspension.is_suspended(obj)).lower() if "suspend" in (obj.get("spec") or {}) else "",
        "ready": str((conditions.get(obj, "Ready") or {}).get("status") or ""),
        **{label: _field(obj, path) for label, path in _INFO.get(kind.kind, {}).items()},
    }
    return {label: value for label, value in found.items() if value}


def _field(obj: Any, path: str) -> str:
    for step in path.split("."):
        known = obj or {}
        obj = known.get(step) if isinstance(known, dict) else dict(enumerate(known)).get(int(step))
    return "" if obj is None else _USER.sub("//", str(obj))


def _queues(schedules: Mapping[str, Schedule]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    depth = GaugeMetricFamily(
        "workqueue_depth", "Flux objects that are worked on or held back for others.", labels=("cluster", "name")
    )
    for cluster, schedule in schedules.items():
        kinds: dict[str, int] = {}
        for ref, entry in schedule.entries.items():
            name = ref.kind.lower()
            kinds[name] = kinds.get(name, 0) + bool(entry.batch or entry.held)
        for name, count in sorted(kinds.items()):
            depth.add_metric((cluster, name), count)
    yield depth


def _app(total: Total, worlds: Mapping[str, World | None], silence: float) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    up = GaugeMetricFamily("fluxless_cluster_up", "Whether the cluster answers.", labels=("cluster",))
    for cluster, world in worlds.items():
        up.add_metric((cluster,), float(world is not None))
    yield up
    yield GaugeMetricFamily("fluxless_heartbeat_age_seconds", "Seconds since the timer last ran.", value=silence)
    for name in sorted({name for gauges in total.workers.values() for name in gauges}):
        gauge = GaugeMetricFamily(name, "Of each worker of the app.", labels=("worker",))
        for worker, gauges in sorted(total.workers.items()):
            if name in gauges:
                gauge.add_metric((worker,), gauges[name])
        yield gauge

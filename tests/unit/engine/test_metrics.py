"""What workers count is added up once, survives them, and is shown as Prometheus and Flux's dashboards read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fluxless import metrics
from fluxless.artifacts.directory import DirectoryStore
from fluxless.engine import exposition, metering
from fluxless.engine.metering import Meter, Total
from fluxless.engine.schedule import Entry, Schedule
from fluxless.reconcile.world import Ref, World

WEB = ("prod", "Kustomization", "web", "apps")
OLD = ("prod", "Kustomization", "old", "apps")


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    metrics.reset()
    yield
    metrics.reset()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def kustomization(name: str = "web", ready: str = "True", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": name, "namespace": "apps"},
        "spec": {"sourceRef": {"kind": "GitRepository", "name": "repo"}, **spec},
        "status": {
            "lastAppliedRevision": "main@sha1:abc",
            "conditions": [{"type": "Ready", "status": ready, "reason": "X", "message": ""}],
        },
    }


def world(*objects: dict[str, Any]) -> World:
    return World({Ref.of(obj): obj for obj in objects}, 0.0)


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_buckets_are_those_of_flux() -> None:
    assert (metrics.SECONDS[0], metrics.SECONDS[-1], len(metrics.SECONDS)) == (0.01, 1800, 10)
    factors = {round(later / sooner, 3) for sooner, later in zip(metrics.SECONDS, metrics.SECONDS[1:], strict=False)}
    assert len(factors) == 1


@pytest.mark.parametrize(("seconds", "bucket"), [(0.001, 0), (0.01, 0), (0.0101, 1), (1800, 9), (1801, 10)])
def test_a_value_goes_into_the_first_bucket_that_holds_it(seconds: float, bucket: int) -> None:
    metrics.RECONCILE_DURATION.observe(seconds, *WEB)
    (numbers,) = metrics.RECONCILE_DURATION.series.values()
    assert numbers[0] == seconds
    assert [place for place, count in enumerate(numbers[1:]) if count] == [bucket]


async def test_workers_are_added_up(tmp_path: Path) -> None:
    store, clock = DirectoryStore(tmp_path), Clock()
    for seconds in (0.5, 2.0):
        worker = Meter(store, clock)
        metrics.reset()
        metrics.RECONCILE_DURATION.observe(seconds, *WEB)
        metrics.RECONCILES.add("prod", "kustomization", "success")
        await worker.flush()
        await worker.flush()
    found = await Meter(store, clock).total()
    assert found.counted["controller_runtime_reconcile_total"] == {("prod", "kustomization", "success"): [2.0]}
    assert found.counted["gotk_reconcile_duration_seconds"][WEB][0] == 2.5
    assert sum(found.counted["gotk_reconcile_duration_seconds"][WEB][1:]) == 2
    assert len(found.workers) == 2
    assert all(gauges["process_cpu_seconds_total"] > 0 for gauges in found.workers.values())


async def test_what_a_worker_counted_outlives_it(tmp_path: Path) -> None:
    store, clock = DirectoryStore(tmp_path), Clock()
    metrics.RECONCILE_DURATION.observe(1.0, *WEB)
    metrics.RECONCILE_DURATION.observe(1.0, *OLD)
    metrics.RECONCILES.add("prod", "kustomization", "success")
    await Meter(store, clock).flush()
    clock.now += metering.RETIRED_AFTER + 1
    metrics.reset()
    metrics.RECONCILES.add("prod", "kustomization", "success")
    alive = Meter(store, clock)
    await alive.flush()
    for _ in range(2):
        await alive.retire({WEB})
        found = await alive.total()
        assert found.counted["controller_runtime_reconcile_total"] == {("prod", "kustomization", "success"): [2.0]}
        assert set(found.counted["gotk_reconcile_duration_seconds"]) == {WEB}
    (left,) = [blob.name async for blob in store.list(metering.FOLDER)]
    assert left == f"{metering.FOLDER}{next(iter(found.workers))}.json"


async def test_numbers_that_were_added_and_not_yet_deleted_count_once(tmp_path: Path) -> None:
    class Keeping(DirectoryStore):
        async def delete(self, name: str) -> None:
            """As when the worker dies between the two."""

    store, clock = Keeping(tmp_path), Clock()
    metrics.RECONCILES.add("prod", "kustomization", "success")
    await Meter(store, clock).flush()
    clock.now += metering.RETIRED_AFTER + 1
    for _ in range(2):
        await Meter(store, clock).retire(set())
        found = await Meter(store, clock).total()
        assert found.counted["controller_runtime_reconcile_total"] == {("prod", "kustomization", "success"): [1.0]}


async def test_a_closed_meter_writes_what_is_left_and_nothing_after(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    worker = Meter(store, Clock())
    metrics.RECONCILES.add("prod", "kustomization", "success")
    worker.touch()
    await worker.close()
    (kept,) = [blob async for blob in store.list(metering.FOLDER)]
    worker.touch()
    await worker.close()
    assert [blob async for blob in store.list(metering.FOLDER)] == [kept]


async def test_a_worker_that_was_silent_for_long_counts_anew(tmp_path: Path) -> None:
    store, clock = DirectoryStore(tmp_path), Clock()
    worker = Meter(store, clock)
    metrics.RECONCILES.add("prod", "kustomization", "success")
    await worker.flush()
    clock.now += metering.RETIRED_AFTER + 1
    await worker.retire(set())
    metrics.RECONCILES.add("prod", "kustomization", "success")
    await worker.flush()
    found = await worker.total()
    assert found.counted["controller_runtime_reconcile_total"] == {("prod", "kustomization", "success"): [2.0]}


def test_objects_are_told_as_flux_and_kube_state_metrics_tell_them() -> None:
    text = exposition.text(
        Total({}, {}), {"prod": world(kustomization(suspend=True), kustomization("db", "False"))}, {}, 3.0
    )
    found = samples(text)
    of_web = {"cluster": "prod", "kind": "Kustomization", "name": "web", "namespace": "apps"}
    ready = {
        (labels["name"], labels["status"])
        for labels, value in found["gotk_reconcile_condition"]
        if value == 1 and labels["type"] == "Ready"
    }
    assert ready == {("web", "True"), ("db", "False")}
    assert len(found["gotk_reconcile_condition"]) == 8
    assert (of_web, 1.0) in found["gotk_suspend_status"]
    (info,) = (labels for labels, _ in found["gotk_resource_info"] if labels["name"] == "web")
    assert info == {
        "cluster": "prod",
        "customresource_group": "kustomize.toolkit.fluxcd.io",
        "customresource_version": "v1",
        "customresource_kind": "Kustomization",
        "exported_namespace": "apps",
        "name": "web",
        "ready": "True",
        "suspended": "true",
        "revision": "main@sha1:abc",
        "source_name": "repo",
    }
    assert found["fluxless_heartbeat_age_seconds"] == [({}, 3.0)]


def test_nothing_secret_is_shown() -> None:
    repository = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": "repo", "namespace": "apps"},
        "spec": {"url": "https://me:hunter2@example.com/org/repo"},
    }
    receiver = {
        "apiVersion": "notification.toolkit.fluxcd.io/v1",
        "kind": "Receiver",
        "metadata": {"name": "push", "namespace": "apps"},
        "spec": {},
        "status": {"webhookPath": "/hook/1234"},
    }
    text = exposition.text(Total({}, {}), {"prod": world(repository, receiver)}, {}, 0.0)
    assert 'url="https://example.com/org/repo"' in text
    assert "hunter2" not in text
    assert "/hook/" not in text


def test_series_go_with_their_object_and_stay_while_nobody_knows() -> None:
    metrics.RECONCILE_DURATION.observe(0.2, *WEB)
    metrics.RECONCILE_DURATION.observe(0.2, *OLD)
    counted = Total(metrics.total([metrics.from_json(metrics.snapshot())]), {})

    def shown(*worlds: World | None) -> set[str]:
        text = exposition.text(counted, dict(zip(["prod"], worlds, strict=False)), {}, 0.0)
        return {labels["name"] for labels, _ in samples(text).get("gotk_reconcile_duration_seconds_count", [])}

    assert shown(world(kustomization())) == {"web"}
    assert shown(None) == {"web", "old"}
    assert shown() == set()


def test_buckets_are_shown_cumulated() -> None:
    for seconds in (0.001, 0.02, 5000.0):
        metrics.RECONCILE_DURATION.observe(seconds, *WEB)
    text = exposition.text(Total(metrics.total([metrics.from_json(metrics.snapshot())]), {}), {"prod": None}, {}, 0.0)
    found = samples(text)
    counts = [value for _, value in found["gotk_reconcile_duration_seconds_bucket"]]
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (1, 2, 2, 3)
    assert found["gotk_reconcile_duration_seconds_count"][0][1] == 3
    assert found["fluxless_cluster_up"] == [({"cluster": "prod"}, 0.0)]


def test_what_waits_is_counted_by_kind() -> None:
    entries = {
        Ref("Kustomization", "apps", "a"): Entry(batch="1-1"),
        Ref("Kustomization", "apps", "b"): Entry(held=True),
        Ref("GitRepository", "apps", "c"): Entry(),
    }
    found = samples(exposition.text(Total({}, {}), {"prod": None}, {"prod": Schedule(entries)}, 0.0))
    depth = {labels["name"]: value for labels, value in found["workqueue_depth"]}
    assert depth == {"kustomization": 2.0, "gitrepository": 0.0}


async def test_a_cluster_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(exposition, "WITHIN", 0.05)

    async def look(name: str) -> World | None:
        if name == "hangs":
            await asyncio.sleep(60)
        return world(kustomization())

    async def none(_: str) -> Schedule:
        return Schedule()

    async def total() -> Total:
        return Total({}, {})

    async def silence() -> float:
        return 1.0

    text = await exposition.read(["hangs", "prod"], look, none, total(), silence())
    up = {labels["cluster"]: value for labels, value in samples(text)["fluxless_cluster_up"]}
    assert up == {"hangs": 0.0, "prod": 1.0}

"""Old records go, recent ones stay, and the heartbeat tidies once an hour."""

import os
from pathlib import Path

from fluxless.artifacts.cache import ArtifactCache
from fluxless.artifacts.directory import DirectoryStore
from fluxless.engine.engine import Engine
from fluxless.engine.housekeeping import tidy
from fluxless.kube.connect import ClusterConfig
from fluxless.reconcile.services import Services

DAY = 86400.0
OLD = "runs/dev/2026-01-01/000000.000-a.jsonl"


async def _fill(root: Path, now: float) -> DirectoryStore:
    store = DirectoryStore(root)
    for name, days in {
        OLD: 20,
        "runs/dev/2026-01-20/000000.000-b.jsonl": 1,
        "runs/other/2026-01-01/000000.000-c.jsonl": 20,
    }.items():
        await store.put(name, b"x")
        os.utime(root / "data" / name, (now - days * DAY,) * 2)
    return store


async def test_old_records_go_and_recent_ones_stay(tmp_path: Path) -> None:
    store = await _fill(tmp_path, 100 * DAY)
    assert await tidy(store, ["dev"], 100 * DAY) == 1
    assert [blob.name async for blob in store.list("")] == [
        "runs/dev/2026-01-20/000000.000-b.jsonl",
        "runs/other/2026-01-01/000000.000-c.jsonl",
    ]


async def test_the_heartbeat_tidies_once_an_hour(tmp_path: Path) -> None:
    now = [100 * DAY]
    store = await _fill(tmp_path, now[0])
    services = Services(store, ArtifactCache(store, tmp_path / "cache"), clock=lambda: now[0])
    engine = Engine({"dev": ClusterConfig("dev")}, services)
    await engine.heartbeat()
    assert await store.stat(OLD) is None
    await store.put(OLD, b"x")
    os.utime(tmp_path / "data" / OLD, (0, 0))
    now[0] += 60
    await engine.heartbeat()
    assert await store.stat(OLD) is not None
    assert await engine.silence() == 0
    now[0] += 3600
    await engine.heartbeat()
    assert await store.stat(OLD) is None

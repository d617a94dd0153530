"""A step that blocks the event loop is told, with the line where it stands; what is only much is not."""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from fluxless import loop_lag, metrics

STEP = "cluster=dev object=Kustomization/apps/web phase=build"
TOLD = rf"alert=loop-blocked {STEP} seconds=(0\.[5-9]|[1-9])\.?\d* at=fluxless/step.py:\d+ in=work"


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A watch of this test alone, and nothing counted yet."""
    metrics.reset()
    monkeypatch.setattr(loop_lag, "EVERY", 0.01)
    loop_lag._untold.clear()
    stops: list[Callable[[], None]] = []
    monkeypatch.setattr(loop_lag, "watch", lambda begin=loop_lag.watch: stops.append(begin().set))
    yield
    for stop in stops:
        stop()
    metrics.reset()


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of ours that blocks, in a folder that stands for the app's."""
    folder = tmp_path / "fluxless"
    folder.mkdir()
    source = "import time\nasync def work(seconds):\n    time.sleep(seconds)\nasync def spin(seconds):\n"
    source += "    end = time.monotonic() + seconds\n    while time.monotonic() < end: pass\n"
    (folder / "step.py").write_text(source)
    monkeypatch.setattr(loop_lag, "HERE", tmp_path)
    monkeypatch.setattr(loop_lag, "_OURS", (f"{folder}/",))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "step", raising=False)
    return importlib.import_module("step")


async def _after(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is told once the loop has answered."""
    await asyncio.sleep(0.2)
    with caplog.at_level(logging.WARNING, "fluxless.loop"):
        loop_lag.tell()
    return [record.getMessage() for record in caplog.records if record.name == "fluxless.loop"]


async def _blocked(step: ModuleType, seconds: float = 1.0) -> None:
    async def one() -> None:
        loop_lag.entered(STEP)
        await step.work(seconds)

    await asyncio.sleep(0.05)
    await asyncio.create_task(one())


async def test_a_step_that_blocks_is_told_with_its_object_phase_and_line(
    step: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    loop_lag.watch()
    await _blocked(step)
    (line,) = await _after(caplog)
    assert re.fullmatch(TOLD, line), line
    assert loop_lag._untold == type(loop_lag._untold)()


async def test_one_that_computes_is_told_as_well(step: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    loop_lag.watch()
    await asyncio.sleep(0.05)
    await asyncio.create_task(step.spin(1.0))
    (line,) = await _after(caplog)
    assert " in=spin" in line


async def test_the_same_file_is_told_of_once_in_a_while(
    step: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop_lag.watch()
    for _ in range(2):
        await _blocked(step)
        assert len(await _after(caplog)) == 1
    monkeypatch.setattr(loop_lag, "QUIET", 0.0)
    await _blocked(step)
    assert len(await _after(caplog)) == 2


def _later_than(seconds: float, counts: list[float]) -> float:
    return sum(counts[metrics.LOOP_LAG.bounds.index(seconds) + 1 :])


async def test_how_late_the_loop_was_is_counted(step: ModuleType) -> None:
    loop_lag.watch()
    await _blocked(step, 0.4)
    await asyncio.sleep(0.2)
    seconds, *counts = metrics.LOOP_LAG.series[()]
    assert _later_than(0.25, counts) >= 1
    assert sum(counts) > 5
    assert seconds > 0.3


async def test_much_work_in_short_steps_is_not_told(step: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    """The loop is late, but none of them holds it up: two hundred of ten milliseconds each."""
    loop_lag.watch()
    await asyncio.sleep(0.05)
    await asyncio.gather(*(step.work(0.01) for _ in range(200)))
    assert await _after(caplog) == []
    assert _later_than(1.0, metrics.LOOP_LAG.series[()][1:]) >= 1


async def test_threads_and_a_loop_that_waits_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    loop_lag.watch()
    await asyncio.gather(asyncio.sleep(1.0), asyncio.to_thread(time.sleep, 1.0))
    assert await _after(caplog) == []


async def test_loading_a_module_is_the_cold_start(step: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    Path(str(step.__file__)).with_name("slow_module.py").write_text("import time\ntime.sleep(1.0)\n")
    loop_lag.watch()

    async def one() -> None:
        importlib.import_module("slow_module")

    await asyncio.sleep(0.05)
    await asyncio.create_task(one())
    assert await _after(caplog) == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 shows no context of a task")
async def test_a_task_that_a_step_has_started_is_its_own(step: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    loop_lag.watch()

    async def one() -> None:
        loop_lag.entered(STEP)
        await asyncio.gather(step.work(1.0))

    await asyncio.sleep(0.05)
    await asyncio.create_task(one())
    (line,) = await _after(caplog)
    assert re.fullmatch(TOLD, line), line

"""The processes that build: what is started, kept and refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxless.api.failure import Problem
from fluxless.process import ProcessProblem
from fluxless.process_pool import ProcessPools
from fluxless.render import binaries
from fluxless.render import kustomize as rendering
from fluxless.render.kustomize import KustomizeFailed, kustomize
from tests.support.repositories import config_map

pytestmark = pytest.mark.binaries


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processes of this test only."""
    monkeypatch.setattr(rendering, "_pool", ProcessPools(rendering.AT_ONCE, rendering._started).here)
    binaries._find.cache_clear()
    yield
    binaries._find.cache_clear()


def _tree(folder: Path, kustomization: str = "resources: [a.yaml]\n") -> Path:
    (folder / "kustomization.yaml").write_text(kustomization)
    (folder / "a.yaml").write_text(config_map("a"))
    return folder


async def test_one_process_makes_one_build_after_the_other(tmp_path: Path) -> None:
    for number in range(5):
        assert f"name: x{number}-a" in await kustomize(
            tmp_path, _tree(tmp_path, f"resources: [a.yaml]\nnamePrefix: x{number}-\n")
        )
    assert len(rendering._pool()._idle) == 1


async def test_builds_at_once_share_few_processes(tmp_path: Path) -> None:
    _tree(tmp_path)
    results = await asyncio.gather(*(kustomize(tmp_path, tmp_path) for _ in range(30)))
    assert len(set(results)) == 1
    assert len(rendering._pool()._idle) <= rendering.AT_ONCE


async def test_files_in_memory_stand_in_the_place_of_files(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    _tree(base)
    (tmp_path / "link").symlink_to("base")
    changed = {
        "kustomization.yaml": b"resources: [link]\nnamePrefix: x-\n",
        "base/a.yaml": config_map("changed").encode(),
    }
    assert "name: x-changed" in await kustomize(tmp_path, tmp_path, changed)
    assert not (tmp_path / "kustomization.yaml").exists()


async def test_words_of_kustomize_are_told_and_the_process_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KustomizeFailed, match="missing"):
        await kustomize(tmp_path, _tree(tmp_path, "resources: [missing.yaml]\n"))
    (_, process) = rendering._pool()._idle[0]
    await kustomize(tmp_path, _tree(tmp_path))
    assert [kept for _, kept in rendering._pool()._idle] == [process]


async def test_a_process_that_has_died_is_replaced(tmp_path: Path) -> None:
    _tree(tmp_path)
    await kustomize(tmp_path, tmp_path)
    (_, process) = rendering._pool()._idle[0]
    process._process.kill()
    process._process.wait()
    assert "kind: ConfigMap" in await kustomize(tmp_path, tmp_path)


async def test_processes_without_work_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluxless.process_pool.IDLE", 0.0)
    await kustomize(tmp_path, _tree(tmp_path))
    (_, process) = rendering._pool()._idle[0]
    rendering._pool()._end_idle()
    assert rendering._pool()._idle == []
    assert await asyncio.to_thread(process._process.wait, 10) != 0


async def test_the_kustomize_command_is_not_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "kustomize"
    command.write_text("#!/bin/sh\necho 'unknown command \"serve\"' >&2\nexit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("FLUXLESS_KUSTOMIZE", str(command))
    with pytest.raises(ProcessProblem) as caught:
        await kustomize(tmp_path, _tree(tmp_path))
    assert "FLUXLESS_KUSTOMIZE" in str(caught.value)


async def test_a_file_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    import os

    tree = _tree(tmp_path, "configMapGenerator: [{name: x, files: [pipe]}]\n")
    os.mkfifo(tree / "pipe")
    async with asyncio.timeout(5):
        with pytest.raises(Problem, match="not a file"):
            await kustomize(tree, tree)

"""The program beside the local host: it ends with it, however that ends."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import psutil

from tests.durable.playing import Stage


def test_the_program_ends_with_a_host_that_is_killed(
    program: str, scripted: Path, azurite: str, tmp_path: Path
) -> None:
    extra = {"AzureWebJobsStorage": azurite, "FLUXLESS_TASK_HUB": f"test{uuid4().hex[:8]}"}
    with Stage.open(scripted, tmp_path, "--durable-host", program, env=extra) as stage:
        children = psutil.Process(stage.host.process.pid).children()
        assert [Path(child.exe()) for child in children] == [Path(program).resolve()]
        stage.host.kill()
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive

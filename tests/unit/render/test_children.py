"""What a worker has started ends with the worker, however that ends: real programs that would go on for long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from fluxless.process import ProcessProblem, run
from fluxless.render.binaries import PROGRAM, binary
from tests.attacks.test_sops_addresses import document, vault
from tests.support.charts import packed
from tests.support.command import BINARIES
from tests.support.hosted import until
from tests.support.repositories import config_map
from tools.places import ROOT

pytestmark = [
    pytest.mark.binaries,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent"),
]

WORKER = """
import asyncio, json, sys
from pathlib import Path
from fluxless import addresses
from fluxless.git.auth import Auth
from fluxless.git.fetch import fetched
from fluxless.render.helm import helm
from fluxless.render.keys import Keys
from fluxless.render.kustomize import kustomize
from fluxless.render.sops import decrypt

async def fetch(url):
    async with fetched(url, Auth(), ref="refs/heads/main", commit="a" * 40, timeout=600):
        pass

async def main(folder, server, encrypted):
    addresses.use(addresses.AddressPolicy.of("127.0.0.0/8", {}))
    token = Keys.of_secret({"sops.vault-token": b"token"}, "n/s")
    patches = [{"patch": "- {op: add, path: /data/p%d, value: x}" % n, "target": {"kind": "ConfigMap"}}
               for n in range(5000)]
    wanted = {"kustomize": [{"patches": patches}], "strategy": "combined", "labels": {}, "annotations": {}}
    chart = folder / "web.tgz"
    await asyncio.gather(
        helm("upgrade", ["web", chart], server, "default", timeout=600, flags=["--install"]),
        helm("template", ["web", chart], server, "default", timeout=600, post_render=wanted),
        decrypt(encrypted.encode(), "json", token, "x.json"),
        kustomize(folder, folder),
        fetch(f"{server}/repo.git"),
    )

asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
"""
PYTHON = Path(sys.executable).name
STARTED = {
    ("helm", "upgrade"),
    ("helm", "template"),
    ("sops", "decrypt"),
    (PROGRAM, "serve"),
    (PROGRAM, "post-render"),
    (PYTHON, "-I"),
}
OURS = {PROGRAM, PYTHON}
WITHIN = 30.0


def _role(process: psutil.Process) -> tuple[str, str]:
    """Which program it is, and what it does."""
    words = [*process.cmdline(), "", ""]
    return Path(words[0]).name, words[1]


async def _started(worker: int) -> dict[tuple[str, str], psutil.Process]:
    """All of them at work; our own programs, which would end when their input does, stand still."""
    found: dict[tuple[str, str], psutil.Process] = {}
    async with asyncio.timeout(WITHIN):
        while found.keys() < STARTED:
            await asyncio.sleep(0.01)
            for process in psutil.Process(worker).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                    role = _role(process)
                    if role in STARTED - found.keys() and (role[0] not in OURS or _confined(process)):
                        found[role] = process
                        if role[0] in OURS:
                            process.suspend()
    return found


def _confined(process: psutil.Process) -> bool:
    """Whether it has got so far: what it gives up behind its life without its parent, be it memory or rights."""
    if Path(process.cmdline()[0]).name == PYTHON:
        return bool(process.rlimit(psutil.RLIMIT_AS)[0] != psutil.RLIM_INFINITY)
    return "NoNewPrivs:\t1" in Path(f"/proc/{process.pid}/status").read_text()


def _alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
async def test_children_end_with_the_worker(tmp_path: Path, by: signal.Signals) -> None:
    """helm and sops wait for somebody who never answers, helm's post-renderer and a build stand still."""
    (tmp_path / "web.tgz").write_bytes(packed("web", "1.0.0", {"templates/x.yaml": config_map("x")}))
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (tmp_path / "a.yaml").write_text(config_map("a"))
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, str(tmp_path), address, document(**vault(address)).decode()),
        cwd=ROOT,
        env={name: os.environ[name] for name in ("PATH", *BINARIES)},
    )
    found: dict[tuple[str, str], psutil.Process] = {}

    async def none_is_alive() -> bool:
        return not any(map(_alive, found.values()))

    try:
        found = await _started(worker.pid)
        worker.send_signal(by)
        assert await worker.wait() == -by
        await until(none_is_alive, "them to end", 5.0)
    finally:
        for process in found.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
        silent.close()


async def test_what_cannot_be_started_is_named(tmp_path: Path) -> None:
    (tmp_path / "helm").write_text("no program")
    with pytest.raises(ProcessProblem, match="helm cannot be started: permission denied"):
        await run([tmp_path / "helm"], timeout=5, launcher=await binary(PROGRAM))


async def test_nothing_is_started_for_a_worker_that_has_ended(tmp_path: Path) -> None:
    """Its launcher was not there yet when it ended."""
    ran = tmp_path / "ran"
    done = await run([await binary(PROGRAM), "exec", "1", "/usr/bin/touch", ran], timeout=5)
    assert done.code != 0
    assert not ran.exists()


async def test_a_child_has_the_environment_that_it_is_given() -> None:
    done = await run(["/usr/bin/env"], env={"A": "b"}, timeout=5, launcher=await binary(PROGRAM))
    assert done.stdout == b"A=b\n"

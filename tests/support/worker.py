"""Microsoft's own worker library, which wants Python 3.13.

CI gets such a Python from `FLUXLESS_PYTHON313`, from PATH or from pyenv; without one the test skips and says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.lock import locked
from tools.places import ROOT, cache

CHECK = ROOT / "tests" / "functions" / "worker_check.py"
RUNTIME = "azure-functions-runtime==1.3.0"
SETTINGS = {
    "FLUXLESS_TASK_HUB": "hub",
    "FLUXLESS_CLUSTERS": '[{"name": "dev", "kubeconfig": "/nowhere"}]',
    "FLUXLESS_BLOB_CONNECTION": "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;"
    "BlobEndpoint=http://127.0.0.1:9/a;",
    "FLUXLESS_GITHUB_WEBHOOK_SECRET": "secret",
}


def _python() -> str | None:
    if sys.version_info >= (3, 13):
        return sys.executable
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob("3.13*/bin/python"))
    for candidate in (os.environ.get("FLUXLESS_PYTHON313"), shutil.which("python3.13"), *map(str, pyenv)):
        if candidate and subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def _library() -> str:
    """A Python with the app's requirements and the worker library; made once per set of pins."""
    python = _python()
    if python is None:
        pytest.skip("no Python 3.13 on this machine: set FLUXLESS_PYTHON313 to the path of one")
    pins = (ROOT / "requirements.txt").read_bytes() + RUNTIME.encode()
    folder = cache() / f"worker-{hashlib.sha256(pins).hexdigest()[:16]}"
    with locked(cache() / "worker.lock"):
        if not (folder / "ready").is_file():
            subprocess.run([python, "-m", "venv", str(folder)], check=True, timeout=120)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "-r", str(ROOT / "requirements.txt"), RUNTIME], check=True, timeout=600)
            (folder / "ready").touch()
    return str(folder / "bin" / "python")


def ask(folder: Path) -> dict[str, Any]:
    """What the worker says of the app in that folder, and of three of its functions."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", ""), **SETTINGS}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [_library(), str(CHECK), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer

"""The app runs from its package, as a deployment leaves that."""

import asyncio
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxless.api.failure import Problem
from fluxless.cli import deploy
from tests.support import worker
from tests.support.packages import unpacked
from tools import binaries, package
from tools.places import ROOT

CHECK = """
import asyncio, hashlib, subprocess, sys
from pathlib import Path
import function_app, fluxless
from fluxless.render.binaries import binary

here = Path.cwd()
assert Path(fluxless.__file__).is_relative_to(here), fluxless.__file__
names = {function.get_function_name() for function in function_app.app.get_functions()}
assert {"tick", "sync", "plan", "reconcile", "github", "acr"} <= names, names
for name, words in {"fluxless-kustomize": ["version"], "helm": ["version", "--short"], "sops": ["--version"]}.items():
    found = asyncio.run(binary(name))
    assert not found.is_relative_to(here), found
    shipped = hashlib.sha256((here / "bin" / name).read_bytes()).hexdigest()
    assert hashlib.sha256(found.read_bytes()).hexdigest() == shipped
    done = subprocess.run([found, *words], capture_output=True, text=True, timeout=60, check=True)
    print(name, done.stdout.split()[0])
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package.build(tmp_path_factory.mktemp("package") / "fluxless.zip")


@pytest.fixture
def deployed(archive: Path, tmp_path: Path) -> Iterator[Path]:
    with unpacked(archive, tmp_path / "wwwroot") as folder:
        yield folder


def _run(folder: Path, temporary: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLUXLESS_")}
    environment |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(temporary)}
    settings = {"FLUXLESS_TASK_HUB": "hub", "FLUXLESS_CLUSTERS": "[]"}
    command = [sys.executable, "-c", CHECK]
    return subprocess.run(
        command, cwd=folder, env=environment | settings, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_app_runs_from_the_package(deployed: Path, tmp_path: Path) -> None:
    done = _run(deployed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 3


def test_a_copy_that_was_damaged_is_made_anew(deployed: Path, tmp_path: Path) -> None:
    assert _run(deployed, tmp_path).returncode == 0
    (copy,) = tmp_path.glob("fluxless-helm-*")
    copy.write_bytes(b"#!/bin/sh\nexit 1\n")
    done = _run(deployed, tmp_path)
    assert done.returncode == 0, done.stderr


def test_microsofts_worker_runs_the_package(deployed: Path) -> None:
    answer = worker.ask(deployed)
    assert {"tick", "sync", "plan", "reconcile", "github"} <= answer["functions"].keys()
    assert answer["from"] == str(deployed / "fluxless" / "__init__.py")
    assert answer["github"] == "401"
    assert answer["plan"]["ok"] is False


def test_nothing_of_tests_and_tools_is_in_it(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
    assert {name.partition("/")[0] for name in names} == {*package.FILES, *package.FOLDERS, "bin"}
    assert {f"bin/{binary.name}" for binary in binaries.SHIPPED} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_the_same_content_is_the_same_zip(archive: Path, tmp_path: Path) -> None:
    assert package.build(tmp_path / "again.zip").read_bytes() == archive.read_bytes()
    assert (ROOT / "host.json").is_file()


def test_a_checkout_makes_its_own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    made = asyncio.run(deploy.packed(None))
    with zipfile.ZipFile(ROOT / made) as archive:
        names = set(archive.namelist())
    assert {"function_app.py", "bin/fluxless-kustomize", "bin/helm", "bin/sops", "fluxless/engine/engine.py"} <= names
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Problem, match="no checkout"):
        asyncio.run(deploy.packed(None))

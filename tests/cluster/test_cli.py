"""`fluxless` against a real cluster: Flux's verbs, columns and exit codes."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.flux import Flux
from tests.support.repositories import Repo, config_map
from tools.places import ROOT

pytestmark = pytest.mark.cluster


def _run(kubeconfig: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fluxless.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "KUBECONFIG": str(kubeconfig), **environment},
    )


async def test_the_verbs_show_what_is_there(flux: Flux, repo: Repo, control_plane: Path, azurite: str) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    space = ["-n", flux.namespace]
    listed = _run(control_plane, "get", "kustomizations", *space)
    assert listed.returncode == 0, listed.stderr
    head, row = listed.stdout.splitlines()
    assert head.split() == ["NAME", "REVISION", "SUSPENDED", "READY", "MESSAGE"]
    assert row.split()[0] == "app"
    assert row.split()[2:4] == ["False", "True"]
    assert "gitrepository/repo" in _run(control_plane, "get", "all", *space).stdout
    assert _run(control_plane, "get", "sources", "git", "-A").stdout.startswith("NAMESPACE")
    tree = _run(control_plane, "tree", "kustomization", "app", *space).stdout
    assert tree.splitlines() == [f"Kustomization/{flux.namespace}/app", f"└── ConfigMap/{flux.namespace}/a"]
    assert "ReconciliationSucceeded" in _run(control_plane, "events", *space, "--for", "Kustomization/app").stdout
    logs = _run(
        control_plane, "logs", "--cluster", "test", BLOB_CONNECTION=azurite, FLUXLESS_BLOB_CONTAINER=flux.namespace
    )
    assert f"ConfigMap/{flux.namespace}/a created" in logs.stdout


async def test_suspend_and_resume_set_the_field(flux: Flux, repo: Repo, control_plane: Path) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    done = _run(control_plane, "suspend", "kustomization", "app", "-n", flux.namespace)
    assert "kustomization suspended" in done.stdout
    assert (await flux.ks("app"))["spec"]["suspend"] is True
    resuming = asyncio.create_task(
        asyncio.to_thread(_run, control_plane, "resume", "kustomization", "app", "-n", flux.namespace)
    )
    while not resuming.done():  # the command waits for the engine, which only runs when the test lets it
        await flux.run()
        await asyncio.sleep(0.2)
    assert "applied revision main@sha1:" in (await resuming).stdout
    assert (await flux.ks("app"))["spec"]["suspend"] is False


def test_install_export_prints_every_crd(control_plane: Path) -> None:
    done = _run(control_plane, "install", "--export")
    assert done.stdout.count("kind: CustomResourceDefinition") == 2
    assert _run(control_plane, "install").stdout.count("installed") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reconcile", "kustomization", "none", "-n", "default"], "Kustomization none not found in namespace default"),
        (["get", "all", "-n", "default"], "no objects found in default namespace"),
        (["logs"], "this needs the app's storage account"),
    ],
)
def test_what_is_missing_is_named(control_plane: Path, arguments: list[str], words: str) -> None:
    assert words in _run(control_plane, *arguments).stderr


def test_an_exec_plugin_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://x"}}],
        "users": [{"name": "u", "user": {"exec": {"command": "sh"}}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    config.write_text(json.dumps(document))
    done = _run(config, "get", "all")
    assert done.returncode == 1
    assert "exec plugin (sh), which is refused" in done.stderr


def test_check_looks_at_crds_and_invariants(control_plane: Path) -> None:
    done = _run(control_plane, "check")
    assert done.returncode == 0, done.stdout
    assert "CRDs are installed" in done.stdout
    assert "hold all invariants" in done.stdout


async def test_drift_lists_fields_and_who_changed_them(
    flux: Flux, repo: Repo, control_plane: Path, azurite: str
) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    known = {"BLOB_CONNECTION": azurite, "FLUXLESS_BLOB_CONTAINER": flux.namespace}
    none = _run(control_plane, "drift", "--cluster", "test", "-n", flux.namespace, **known)
    assert "no drift of cluster 'test' is known" in none.stderr
    await flux.patch("v1", "ConfigMap", "a", {"data": {"value": "other"}}, manager="portal")
    await flux.request("Kustomization", "app")
    await flux.run()
    told = _run(control_plane, "drift", "app", "--cluster", "test", "-n", flux.namespace, **known)
    head, row = told.stdout.splitlines()
    assert head.split() == ["LAST", "SEEN", "KUSTOMIZATION", "MODE", "OBJECT", "FIELD", "CHANGED", "BY"]
    owner, thing = f"{flux.namespace}/app", f"ConfigMap/{flux.namespace}/a"
    assert row.split()[1:] == [owner, "corrected", thing, ".data.value", "portal"]

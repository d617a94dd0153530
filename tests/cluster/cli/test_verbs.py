"""`fluxless` against a real cluster: Flux's verbs, columns and exit codes."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from fluxless.cli.install import texts
from tests.support.command import fluxless
from tests.support.flux import Flux
from tests.support.repositories import Repo, config_map, deployment


async def test_the_verbs_show_what_is_there(flux: Flux, repo: Repo, control_plane: Path, azurite: str) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    space = ["-n", flux.namespace]
    listed = fluxless(control_plane, "get", "kustomizations", *space)
    assert listed.returncode == 0, listed.stderr
    head, row = listed.stdout.splitlines()
    assert head.split() == ["NAME", "REVISION", "SUSPENDED", "READY", "MESSAGE"]
    assert row.split()[0] == "app"
    assert row.split()[2:4] == ["False", "True"]
    assert "gitrepository/repo" in fluxless(control_plane, "get", "all", *space).stdout
    assert fluxless(control_plane, "get", "sources", "git", "-A").stdout.startswith("NAMESPACE")
    tree = fluxless(control_plane, "tree", "kustomization", "app", *space).stdout
    assert tree.splitlines() == [f"Kustomization/{flux.namespace}/app", f"└── ConfigMap/{flux.namespace}/a"]
    assert "ReconciliationSucceeded" in fluxless(control_plane, "events", *space, "--for", "Kustomization/app").stdout
    logs = fluxless(
        control_plane, "logs", "--cluster", "test", BLOB_CONNECTION=azurite, FLUXLESS_BLOB_CONTAINER=flux.namespace
    )
    assert f"ConfigMap/{flux.namespace}/a created" in logs.stdout


async def test_suspend_and_resume_set_the_field(flux: Flux, repo: Repo, control_plane: Path) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    done = fluxless(control_plane, "suspend", "kustomization", "app", "-n", flux.namespace)
    assert "kustomization suspended" in done.stdout
    assert (await flux.ks("app"))["spec"]["suspend"] is True
    resuming = asyncio.create_task(
        asyncio.to_thread(fluxless, control_plane, "resume", "kustomization", "app", "-n", flux.namespace)
    )
    while not resuming.done():  # the command waits for the engine, which only runs when the test lets it
        await flux.run()
        await asyncio.sleep(0.2)
    assert "applied revision main@sha1:" in (await resuming).stdout
    assert (await flux.ks("app"))["spec"]["suspend"] is False


def test_install_export_prints_every_crd(control_plane: Path) -> None:
    done = fluxless(control_plane, "install", "--export")
    assert done.stdout.count("kind: CustomResourceDefinition") == len(texts())
    assert fluxless(control_plane, "install").stdout.count("installed") == len(texts())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reconcile", "kustomization", "none", "-n", "default"], "Kustomization none not found in namespace default"),
        (["get", "all", "-n", "default"], "no objects found in default namespace"),
        (["logs"], "this needs the app's storage account"),
    ],
)
def test_what_is_missing_is_named(control_plane: Path, arguments: list[str], words: str) -> None:
    assert words in fluxless(control_plane, *arguments).stderr


def test_an_exec_plugin_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://x"}}],
        "users": [{"name": "u", "user": {"exec": {"command": "sh"}}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    config.write_text(json.dumps(document))
    done = fluxless(config, "get", "all")
    assert done.returncode == 1
    assert "exec plugin (sh), which is refused" in done.stderr


def test_check_looks_at_crds_and_invariants(control_plane: Path) -> None:
    done = fluxless(control_plane, "check")
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
    none = fluxless(control_plane, "drift", "--cluster", "test", "-n", flux.namespace, **known)
    assert "no drift of cluster 'test' is known" in none.stderr
    await flux.patch("v1", "ConfigMap", "a", {"data": {"value": "other"}}, manager="portal")
    await flux.request("Kustomization", "app")
    await flux.run()
    told = fluxless(control_plane, "drift", "app", "--cluster", "test", "-n", flux.namespace, **known)
    head, row = told.stdout.splitlines()
    assert head.split() == ["LAST", "SEEN", "KUSTOMIZATION", "MODE", "OBJECT", "FIELD", "CHANGED", "BY"]
    owner, thing = f"{flux.namespace}/app", f"ConfigMap/{flux.namespace}/a"
    assert row.split()[1:] == [owner, "corrected", thing, ".data.value", "portal"]


async def test_export_prints_what_can_be_applied_elsewhere(flux: Flux, repo: Repo, control_plane: Path) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo, secretRef={"name": "creds"})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "creds", "namespace": flux.namespace}}
    await flux.cluster.create(secret | {"stringData": {"username": "u", "password": "p"}})
    await flux.kustomization("app")
    await flux.kustomization("other", suspend=True)
    await flux.run()
    space = ["-n", flux.namespace]
    one = yaml.safe_load(fluxless(control_plane, "export", "kustomization", "app", *space).stdout)
    assert one["metadata"] == {"name": "app", "namespace": flux.namespace}
    assert one["spec"] == (await flux.ks("app"))["spec"]
    assert "status" not in one
    await flux.cluster.apply(one, manager="again")
    every = fluxless(control_plane, "export", "ks", "--all", *space).stdout
    assert [each["metadata"]["name"] for each in yaml.safe_load_all(every)] == ["app", "other"]
    source = fluxless(control_plane, "export", "source", "git", "repo", *space).stdout
    assert [each["kind"] for each in yaml.safe_load_all(source)] == ["GitRepository"]
    both = fluxless(control_plane, "export", "source", "git", "repo", "--with-credentials", *space).stdout
    assert [each["kind"] for each in yaml.safe_load_all(both)] == ["GitRepository", "Secret"]
    assert "name is required" in fluxless(control_plane, "export", "kustomization", *space).stderr


async def test_delete_asks_before(flux: Flux, repo: Repo, control_plane: Path) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    space = ["-n", flux.namespace]
    unasked = fluxless(control_plane, "delete", "kustomization", "app", *space)
    assert unasked.returncode == 1
    assert (await flux.ks("app"))["metadata"].get("deletionTimestamp") is None
    done = fluxless(control_plane, "delete", "kustomization", "app", "-s", *space)
    assert "kustomization deleted" in done.stdout, done.stderr
    await flux.run()
    assert await flux.value("a") is None


async def test_create_makes_changes_and_waits(flux: Flux, repo: Repo, control_plane: Path) -> None:
    repo.push({"apps/a.yaml": config_map("a")})
    await flux.source(repo)
    arguments = ["create", "kustomization", "app", "--source", "repo", "--path", "./apps", "-n", flux.namespace]
    more = ["--prune", "--target-namespace", flux.namespace, "--label", "team=web", "--interval", "5m"]
    for extra in ([], ["--wait", "--health-check-timeout", "1m"]):
        typed = ("--timeout", "40s", *arguments, *more, *extra)
        making = asyncio.create_task(asyncio.to_thread(fluxless, control_plane, *typed))
        while not making.done():
            await flux.run()
            await asyncio.sleep(0.2)
        done = await making
        assert done.returncode == 0, done.stderr
        assert "applied revision main@sha1:" in done.stdout
    app = await flux.ks("app")
    assert app["metadata"]["labels"] == {"team": "web"}
    assert (app["spec"]["wait"], app["spec"]["timeout"], app["spec"]["interval"]) == (True, "1m", "5m")


async def test_trace_leads_from_a_pod_to_its_source(flux: Flux, repo: Repo, control_plane: Path) -> None:
    repo.push({"web.yaml": deployment("web")})
    await flux.source(repo)
    await flux.kustomization("app", wait=True)
    await flux.run(patience=10)
    pods = await flux.cluster.list(await flux.cluster.resource("v1", "Pod"), flux.namespace)
    pod = pods[0]["metadata"]["name"]
    space = ["-n", flux.namespace]
    done = fluxless(control_plane, "trace", "pod", pod, *space)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    assert said["Object"].strip() == f"Pod/{pod}"
    assert said["Kustomization"].strip() == "app"
    assert said["GitRepository"].strip() == "repo"
    assert said["URL"].strip() == repo.url
    assert said["Branch"].strip() == "main"
    several = fluxless(control_plane, "trace", f"po/{pod}", "deploy/web", *space)
    assert several.stdout.count("Managed by Flux") == 2
    by_flags = fluxless(control_plane, "trace", "web", "--kind", "Deployment", "--api-version", "apps/v1", *space)
    assert "Object:          Deployment/web" in by_flags.stdout
    nobodys = fluxless(control_plane, "trace", "cm/kube-root-ca.crt", *space)
    assert nobodys.returncode == 1
    assert "ConfigMap kube-root-ca.crt is not managed by Flux" in nobodys.stderr


async def test_debug_shows_variables_status_and_history(flux: Flux, repo: Repo, control_plane: Path) -> None:
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vars", "namespace": flux.namespace}}
    await flux.cluster.create(data | {"data": {"one": "1", "two": "from the map"}})
    repo.push({"a.yaml": config_map("a", "${one}")})
    await flux.source(repo)
    post_build = {"substitute": {"two": "2"}, "substituteFrom": [{"kind": "ConfigMap", "name": "vars"}]}
    await flux.kustomization("app", postBuild=post_build)
    await flux.run()
    arguments = ["debug", "kustomization", "app", "-n", flux.namespace]
    assert fluxless(control_plane, *arguments, "--show-vars").stdout == "one=1\ntwo=2\n"
    status = yaml.safe_load(fluxless(control_plane, *arguments, "--show-status").stdout)
    assert status == (await flux.ks("app"))["status"]
    history = yaml.safe_load(fluxless(control_plane, *arguments, "--show-history").stdout)
    assert history == status["history"]
    assert "exactly one of --show-status, --show-vars" in fluxless(control_plane, *arguments).stderr


async def test_stats_and_trees_count_and_draw(flux: Flux, repo: Repo, control_plane: Path) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.kustomization("bad", path="./none")
    await flux.kustomization("off", suspend=True)
    await flux.run(patience=1)
    space = ["-n", flux.namespace]
    rows = {line.split()[0]: line.split()[1:] for line in fluxless(control_plane, "stats", *space).stdout.splitlines()}
    assert rows["RECONCILERS"] == ["RUNNING", "FAILING", "SUSPENDED", "STORAGE"]
    assert rows["Kustomization"] == ["2", "1", "1", "-"]
    assert rows["GitRepository"][:3] == ["1", "0", "0"]
    assert rows["HelmRelease"] == ["0", "0", "0", "-"]
    tree = json.loads(fluxless(control_plane, "tree", "ks", "app", "-o", "json", *space).stdout)
    assert tree["resources"][0]["resource"]["Name"] == "a"
    assert fluxless(control_plane, "tree", "ks", "app", "--compact", *space).stdout.count("\n") == 1
    served = fluxless(control_plane, "version").stdout
    assert "Kustomization: v1, v1beta2, v1beta1" in served

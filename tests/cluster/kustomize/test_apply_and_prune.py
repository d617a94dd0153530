"""From a commit to objects, and back: apply, order, inventory, prune, deletion (KC-40..50, KC-75..92)."""

import json
from typing import Any

import pytest

from tests.support.flux import KUSTOMIZE, SOURCE, Flux, message, ready
from tests.support.hosted import until
from tests.support.repositories import Repo, config_map, deployment


async def test_a_commit_ends_up_applied_with_flux_compatible_statuses(flux: Flux, repo: Repo) -> None:
    commit = repo.push({"app/a.yaml": config_map("a", "1"), "app/b.yaml": config_map("b", "2")}, "First words\n\nmore")
    await flux.source(repo)
    await flux.kustomization("app", path="./app")
    await flux.run()
    source, app = await flux.repository(), await flux.ks("app")
    revision = f"main@sha1:{commit}"
    assert ready(source) == ("True", "Succeeded")
    assert message(source) == f"stored artifact for revision '{revision}'"
    artifact = source["status"]["artifact"]
    assert artifact["revision"] == revision
    stored = await flux.store.stat(artifact["path"])
    assert stored is not None
    assert (stored.digest, stored.size) == (artifact["digest"], artifact["size"])
    assert ready(app) == ("True", "ReconciliationSucceeded")
    status = app["status"]
    assert message(app) == f"Applied revision: {revision}"
    assert status["lastAppliedRevision"] == status["lastAttemptedRevision"] == revision
    assert status["observedGeneration"] == app["metadata"]["generation"]
    space = flux.namespace
    assert {(e["id"], e["v"]) for e in status["inventory"]["entries"]} == {
        (f"{space}_a__ConfigMap", "v1"),
        (f"{space}_b__ConfigMap", "v1"),
    }
    assert status["history"][0]["lastReconciledStatus"] == "ReconciliationSucceeded"
    assert app["metadata"]["finalizers"] == ["finalizers.fluxcd.io"]
    live = await flux.get("v1", "ConfigMap", "a")
    assert live is not None
    assert live["metadata"]["labels"] == {
        "kustomize.toolkit.fluxcd.io/name": "app",
        "kustomize.toolkit.fluxcd.io/namespace": space,
    }
    assert {e["manager"] for e in live["metadata"]["managedFields"]} == {"kustomize-controller"}


async def test_events_speak_flux_s_words_and_carry_the_revision(flux: Flux, repo: Repo) -> None:
    commit = repo.push({"a.yaml": config_map("a")}, "A subject that is rather long and goes on beyond fifty characters")
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    (stored,) = await flux.events("repo")
    assert stored["reason"] == "NewArtifact"
    assert stored["message"] == "stored artifact for commit 'A subject that is rather long and goes on beyond f'"
    assert stored["metadata"]["annotations"]["source.toolkit.fluxcd.io/revision"] == f"main@sha1:{commit}"
    told = {event["reason"]: event for event in await flux.events("app")}
    assert told["Progressing"]["message"] == f"ConfigMap/{flux.namespace}/a created"
    done = told["ReconciliationSucceeded"]
    assert done["message"].startswith("Reconciliation finished in ")
    assert done["message"].endswith(", next run in 10m0s")
    assert done["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/commit_status"] == "update"
    assert done["source"]["component"] == "kustomize-controller"


async def test_what_leaves_the_source_is_pruned_and_what_asks_to_stay_stays(flux: Flux, repo: Repo) -> None:
    keep = {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    repo.push({"a.yaml": config_map("a"), "b.yaml": config_map("b"), "c.yaml": config_map("c", **keep)})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    repo.push({"b.yaml": None, "c.yaml": None})
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert await flux.value("a") == "1"
    assert await flux.value("b") is None
    assert await flux.value("c") == "1"
    entries = (await flux.ks("app"))["status"]["inventory"]["entries"]
    assert [entry["id"] for entry in entries] == [f"{flux.namespace}_a__ConfigMap"]
    told = f"ConfigMap/{flux.namespace}/b deleted\nConfigMap/{flux.namespace}/c skipped"
    assert told in [event["message"] for event in await flux.events("app")]


@pytest.mark.parametrize(
    ("policy", "prune", "suspended", "left"),
    [
        pytest.param(None, True, False, False, id="KC-92-mirror-prune"),
        pytest.param(None, False, False, True, id="KC-92-mirror-no-prune"),
        pytest.param("Delete", False, False, False, id="KC-6-delete"),
        pytest.param("Orphan", True, False, True, id="KC-6-orphan"),
        pytest.param("WaitForTermination", True, False, False, id="KC-6-wait"),
        pytest.param("Delete", True, True, True, id="KC-92-suspended"),
    ],
)
async def test_deletion_follows_the_policy(
    flux: Flux, repo: Repo, policy: str | None, prune: bool, suspended: bool, left: bool
) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    spec: dict[str, Any] = {"prune": prune} | ({"deletionPolicy": policy} if policy else {})
    await flux.kustomization("app", **spec)
    await flux.run()
    if suspended:
        await flux.patch(KUSTOMIZE, "Kustomization", "app", {"spec": {"suspend": True}})
    await flux.delete(KUSTOMIZE, "Kustomization", "app")
    await flux.run()
    assert await flux.get(KUSTOMIZE, "Kustomization", "app") is None
    assert (await flux.value("a") is not None) == left


async def test_a_suspended_kustomization_does_nothing(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", suspend=True)
    await flux.run()
    app = await flux.ks("app")
    assert app["status"] == {"observedGeneration": -1}
    assert "finalizers" not in app["metadata"]


async def test_a_suspension_is_noted_so_that_nobody_waits_for_it(flux: Flux, repo: Repo) -> None:
    """Flux's controllers do so, whatever their documentation says: a parent with `wait` looks at the generation."""
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    await flux.kustomization("app", suspend=True)
    await flux.request("Kustomization", "app")
    repo.push({"a.yaml": config_map("a", "2")})
    await flux.request("GitRepository", "repo")
    await flux.run()
    app = await flux.ks("app")
    assert app["status"]["observedGeneration"] == app["metadata"]["generation"]
    assert app["status"]["lastHandledReconcileAt"] == app["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"]
    assert ready(app)[0] == "True"
    assert await flux.value("a") == "1"
    assert await flux.run() == 1, "and is noted only once"


async def test_a_parent_keeps_the_finalizers_of_its_children(flux: Flux, repo: Repo) -> None:
    """They are written under the manager of statuses: under the apply manager the parent would take them for its own
    leftovers, and remove them.
    """
    child = (
        f"apiVersion: {KUSTOMIZE}\nkind: Kustomization\nmetadata:\n  name: child\nspec:\n  interval: 10m\n"
        f"  prune: true\n  path: ./child\n  targetNamespace: {flux.namespace}\n"
        "  sourceRef: {kind: GitRepository, name: repo}\n"
    )
    repo.push({"parent/child.yaml": child, "child/a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", path="./parent")
    await flux.run()
    for number in range(2):
        repo.push({"parent/child.yaml": child.replace("10m", f"2{number}m")})
        await flux.request("GitRepository", "repo")
        await flux.run()
        await flux.request("Kustomization", "app")
        await flux.run()
    assert (await flux.ks("child"))["metadata"]["finalizers"] == ["finalizers.fluxcd.io"]
    assert not [event for event in await flux.events("app") if event["reason"] == "DriftCorrected"]


async def test_nothing_of_a_stage_is_written_when_one_object_is_refused(flux: Flux, repo: Repo) -> None:
    bad = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: bad\nspec:\n  replicas: many\n"
    repo.push({"a.yaml": config_map("a"), "bad.yaml": bad, "worse.yaml": bad.replace("name: bad", "name: worse")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run(patience=1)
    app = await flux.ks("app")
    assert ready(app) == ("False", "ReconciliationFailed")
    assert f"Deployment/{flux.namespace}/bad dry-run failed" in message(app)
    assert f"Deployment/{flux.namespace}/worse dry-run failed" in message(app)
    assert "(from bad.yaml:1)" in message(app)
    assert await flux.value("a") is None


async def test_kinds_of_the_custom_stage_come_before_the_rest(flux: Flux, repo: Repo) -> None:
    """KC-78: what is refused in the last stage keeps nothing of the custom one out of the cluster."""
    flux.configure(custom_stage_kinds=(("", "ConfigMap"),))
    bad = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: bad\nspec:\n  replicas: many\n"
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: late\n"
    repo.push({"a.yaml": config_map("a"), "late.yaml": account, "bad.yaml": bad})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run(patience=1)
    assert ready(await flux.ks("app")) == ("False", "ReconciliationFailed")
    assert await flux.value("a") == "1"
    assert await flux.get("v1", "ServiceAccount", "late") is None


async def test_the_revision_behind_that_of_the_artifact_is_told(flux: Flux, repo: Repo) -> None:
    """KC-42, CM-26: as an artifact that was made from a Git commit says it."""
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    assert "lastAppliedOriginRevision" not in (await flux.ks("app"))["status"]
    await flux.patch(SOURCE, "GitRepository", "repo", {"spec": {"suspend": True}})
    artifact = (await flux.repository())["status"]["artifact"]
    artifact |= {"revision": "latest@sha256:1", "metadata": {"org.opencontainers.image.revision": "main@sha1:1"}}
    resource = await flux.cluster.resource(SOURCE, "GitRepository")
    await flux.cluster.patch(
        resource, "repo", flux.namespace, body={"status": {"artifact": artifact}}, manager="test", subresource="status"
    )
    await flux.run()
    status = (await flux.ks("app"))["status"]
    assert status["lastAppliedRevision"] == "latest@sha256:1"
    assert status["lastAppliedOriginRevision"] == "main@sha1:1"
    assert status["history"][0]["metadata"] == {"revision": "latest@sha256:1", "originRevision": "main@sha1:1"}
    key = "kustomize.toolkit.fluxcd.io/originRevision"
    annotations = [event["metadata"].get("annotations") or {} for event in await flux.events("app")]
    assert [found[key] for found in annotations if key in found] == ["main@sha1:1"]
    await flux.delete(KUSTOMIZE, "Kustomization", "app")
    await flux.run()
    pruned = [event for event in await flux.events("app") if event["message"].endswith("deleted")]
    carried = {"originRevision": "main@sha1:1", "revision": "latest@sha256:1"}
    names = {f"kustomize.toolkit.fluxcd.io/{name}": value for name, value in carried.items()}
    assert [event["metadata"]["annotations"] for event in pruned] == [names]


async def test_a_kustomization_may_bring_a_crd_and_an_object_of_it(flux: Flux, repo: Repo) -> None:
    group = f"{flux.namespace}.example.com"
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Thing", "plural": "things"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
    thing = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "one"}, "size": 1}
    repo.push({"a.yaml": json.dumps(thing), "z.yaml": json.dumps(crd)})
    await flux.source(repo)
    await flux.kustomization("app", wait=True)
    await flux.run()
    assert ready(await flux.ks("app")) == ("True", "ReconciliationSucceeded"), message(await flux.ks("app"))
    await flux.delete(KUSTOMIZE, "Kustomization", "app")
    await flux.run()

    async def gone() -> bool:
        return await flux.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"things.{group}") is None

    await until(gone, "the API server to clean up after the definition", 20)


async def test_common_metadata_substitution_and_images_reach_the_cluster(flux: Flux, repo: Repo) -> None:
    repo.push({"web.yaml": deployment("web").replace("replicas: 1", "replicas: ${count}")})
    await flux.source(repo)
    names = {"name": "vars", "namespace": flux.namespace}
    await flux.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": names, "data": {"count": "2"}})
    await flux.kustomization(
        "app",
        commonMetadata={"labels": {"team": "shop"}, "annotations": {"note": "x"}},
        images=[{"name": "example/web", "newTag": "9"}],
        postBuild={"substituteFrom": [{"kind": "ConfigMap", "name": "vars"}]},
        namePrefix="my-",
    )
    await flux.run()
    live = await flux.get("apps/v1", "Deployment", "my-web")
    assert live is not None, message(await flux.ks("app"))
    assert live["spec"]["replicas"] == 2
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "example/web:9"
    assert live["metadata"]["labels"]["team"] == "shop"
    assert live["metadata"]["annotations"]["note"] == "x"

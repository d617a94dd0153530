"""dependsOn (KC-62): chains, trees, cycles, impossible references."""

import asyncio

from tests.support.flux import KUSTOMIZE, SOURCE, Flux, message, ready
from tests.support.repositories import Repo, config_map, deployment


async def test_a_chain_runs_in_order_in_one_go(flux: Flux, repo: Repo) -> None:
    repo.push({f"{name}/{name}.yaml": config_map(name) for name in "abcd"})
    await flux.source(repo)
    await flux.kustomization("d", path="d", dependsOn=[{"name": "c"}])
    await flux.kustomization("c", path="c", dependsOn=[{"name": "b"}])
    await flux.kustomization("b", path="b", dependsOn=[{"name": "a"}])
    await flux.kustomization("a", path="a", wait=True)
    await flux.run(patience=1)
    times = []
    for name in "abcd":
        assert ready(await flux.ks(name))[0] == "True"
        live = await flux.get("v1", "ConfigMap", name)
        assert live is not None
        times.append(int(live["metadata"]["resourceVersion"]))
    assert times == sorted(times)
    assert not [e for e in await flux.events("d") if e["reason"] == "DependencyNotReady"]


async def test_a_dependent_waits_until_its_dependency_is_healthy(flux: Flux, repo: Repo) -> None:
    repo.push({"a/web.yaml": deployment("web", fails=True), "b/b.yaml": config_map("b")})
    await flux.source(repo)
    await flux.kustomization("a", path="a", wait=True, timeout="1m")
    await flux.kustomization("b", path="b", dependsOn=[{"name": "a"}])

    async def waits() -> bool:
        return ready(await flux.ks("b")) == ("False", "DependencyNotReady")

    await flux.run_until(waits)
    assert await flux.value("b") is None
    b = await flux.ks("b")
    assert ready(b) == ("False", "DependencyNotReady")
    assert f"dependency '{flux.namespace}/a' is not ready" in message(b)


async def test_a_tree_of_clusters_production_works_in_one_go(flux: Flux, repo: Repo) -> None:
    def child(name: str, *needs: str) -> str:
        depends = "".join(f"\n    - name: {need}" for need in needs)
        return (
            f"apiVersion: {KUSTOMIZE}\nkind: Kustomization\nmetadata:\n  name: {name}\nspec:\n  interval: 10m\n"
            f"  path: ./{name}\n  prune: true\n  targetNamespace: {flux.namespace}\n"
            f"  sourceRef:\n    kind: GitRepository\n    name: repo\n" + (f"  dependsOn:{depends}\n" if needs else "")
        )

    repo.push(
        {
            "clusters/production/infra.yaml": child("infra"),
            "clusters/production/apps.yaml": child("apps", "infra"),
            "infra/i.yaml": config_map("i"),
            "apps/p.yaml": config_map("p"),
        }
    )
    await flux.source(repo)
    await flux.kustomization("production", path="./clusters/production", wait=True)
    await flux.run()
    for name in ("production", "infra", "apps"):
        assert ready(await flux.ks(name))[0] == "True", message(await flux.ks(name))
    assert await flux.value("p") == "1"
    await flux.delete(KUSTOMIZE, "Kustomization", "production")
    await flux.run()
    assert await flux.value("p") is None
    assert await flux.get(KUSTOMIZE, "Kustomization", "apps") is None


async def test_a_cycle_is_named_on_every_object_in_it_at_once(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    for name, other in (("x", "y"), ("y", "z"), ("z", "x")):
        await flux.kustomization(name, dependsOn=[{"name": other}])
    await flux.run(patience=1)
    for name in "xyz":
        found = await flux.ks(name)
        assert ready(found) == ("False", "DependencyNotReady")
        assert "dependency cycle: " in message(found)
        assert message(found, "Stalled").count(f"{flux.namespace}/{name}") == 2
    await flux.patch(KUSTOMIZE, "Kustomization", "x", {"spec": {"dependsOn": None}})
    await flux.run(patience=3)
    for name in "xyz":
        assert ready(await flux.ks(name))[0] == "True", message(await flux.ks(name))


async def test_a_missing_dependency_is_named_and_forgotten_when_it_comes(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("b", dependsOn=[{"name": "a"}])
    await flux.run(patience=3)
    assert f"dependency '{flux.namespace}/a' not found" in message(await flux.ks("b"))
    await flux.kustomization("a", prune=False)
    await flux.run(patience=3)
    assert ready(await flux.ks("b"))[0] == "True"


async def test_a_dependent_of_the_same_source_waits_for_its_revision(flux: Flux, repo: Repo) -> None:
    repo.push({"a/a.yaml": config_map("a"), "b/b.yaml": config_map("b")})
    await flux.source(repo)
    await flux.kustomization("a", path="a")
    await flux.kustomization("b", path="b", dependsOn=[{"name": "a"}])
    await flux.run()
    commit = repo.push({"a/a.yaml": "kind: [", "b/b.yaml": config_map("b", "2")})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=3)
    assert ready(await flux.ks("a")) == ("False", "BuildFailed")
    assert await flux.value("b") == "1"
    repo.push({"a/a.yaml": config_map("a", "3")})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=3)
    assert await flux.value("b") == "2"
    assert commit not in (await flux.ks("b"))["status"]["lastAppliedRevision"]


async def test_an_object_of_any_kind_with_a_ready_condition_may_come_first(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    pod = {"apiVersion": "v1", "kind": "Pod", "name": "first"}
    source = {"apiVersion": SOURCE, "kind": "GitRepository", "name": "repo"}
    await flux.kustomization("app", dependsOn=[source, pod])
    await flux.run(patience=3)
    assert f"dependency '{flux.namespace}/first' not found" in message(await flux.ks("app"))
    await flux.cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "first", "namespace": flux.namespace},
            "spec": {"containers": [{"name": "main", "image": "example/first"}]},
        }
    )
    for _ in range(20):
        await flux.run(patience=1)
        if ready(await flux.ks("app"))[0] == "True":
            break
        await asyncio.sleep(0.3)
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))

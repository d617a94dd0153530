"""HelmReleases with the real helm on a real API server (HR rows)."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from fluxless.kube.door import Door, opened
from fluxless.oci import media
from fluxless.render.helm import helm
from tests.support.charts import ChartServer, packed, push_chart
from tests.support.command import fluxless
from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.registry import Images
from tests.support.releases import API, CHART, RELEASE, put_release, records, the_release
from tests.support.repositories import Repo, config_map

JSON = ["--output=json"]


async def test_a_chart_is_released_upgraded_and_uninstalled(flux: Flux, charts: ChartServer) -> None:
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await put_release(flux, "web", version="1.x", values={"a": 7})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    text = f"Helm install succeeded for release {flux.namespace}/app.v1 with chart web@1.0.0"
    assert message(found) == message(found, "Released") == text
    assert (await flux.get("v1", "ConfigMap", "app"))["data"] == {"a": "7", "namespace": flux.namespace}  # type: ignore[index]
    status = found["status"]
    assert status["helmChart"] == f"{flux.namespace}/{flux.namespace}-app"
    assert status["history"][0]["status"] == "deployed"
    assert status["inventory"]["entries"] == [{"id": f"{flux.namespace}_app__ConfigMap", "v": "v1"}]
    assert await records(flux) == {1: "deployed"}

    before = found
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    after = await the_release(flux)
    assert after["status"]["history"] == before["status"]["history"]

    await put_release(flux, "web", version="1.x", values={"a": 8})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "UpgradeSucceeded"), message(found)
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "8"  # type: ignore[index]
    assert [entry["version"] for entry in found["status"]["history"]] == [2, 1]
    assert await records(flux) == {1: "superseded", 2: "deployed"}

    charts.add("web", "1.1.0", packed("web", "1.1.0", CHART))
    await flux.request("HelmRepository", "repo")
    await flux.run(patience=5)
    assert (await the_release(flux))["status"]["lastAttemptedRevision"] == "1.1.0"

    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)
    assert await flux.get(API, RELEASE, "app") is None
    assert await flux.get("v1", "ConfigMap", "app") is None
    assert await records(flux) == {}
    assert await flux.get(SOURCE, "HelmChart", f"{flux.namespace}-app") is None


async def test_objects_say_whose_they_are(flux: Flux, repository: ChartServer) -> None:
    """By labels of the release and of `commonMetadata`, with helm-controller as field manager (HR-30, HR-73, HR-74)."""
    await put_release(flux, "web", commonMetadata={"labels": {"team": "a"}, "annotations": {"note": "b"}})
    await flux.run(patience=5)
    assert ready(await the_release(flux))[0] == "True"
    made = await flux.get("v1", "ConfigMap", "app")
    assert made is not None
    labels = made["metadata"]["labels"]
    assert labels["helm.toolkit.fluxcd.io/name"] == "app"
    assert labels["helm.toolkit.fluxcd.io/namespace"] == flux.namespace
    assert labels["team"] == "a"
    assert made["metadata"]["annotations"]["note"] == "b"
    assert {entry["manager"] for entry in made["metadata"]["managedFields"]} == {"helm-controller"}


async def test_values_come_from_everywhere(flux: Flux, repository: ChartServer) -> None:
    """HR-71; what is missing is named, and its coming starts the release."""
    await put_release(
        flux,
        "web",
        values={"b": 1},
        valuesFrom=[
            {"kind": "Secret", "name": "values"},
            {"kind": "ConfigMap", "name": "single", "valuesKey": "one", "targetPath": "a"},
            {"kind": "ConfigMap", "name": "none", "optional": True},
        ],
    )
    await flux.run(patience=0.3)
    found = await the_release(flux)
    assert ready(found) == ("False", "ValuesError")
    assert f"could not resolve Secret chart values reference '{flux.namespace}/values'" in message(found)
    await flux.secret("values", {"values.yaml": "a: of-secret\n"})
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "single", "namespace": flux.namespace}}
    await flux.cluster.apply({**body, "data": {"other": "x"}}, manager="user")
    await flux.request(RELEASE, "app")
    await flux.run(patience=0.3)
    assert "it has other; correct valuesKey" in message(await the_release(flux))
    await flux.cluster.apply({**body, "data": {"one": "of-map"}}, manager="user")
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded")
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["a"] == "of-map"  # type: ignore[index]


async def test_a_chart_of_a_registry_goes_elsewhere(
    flux: Flux, repository: ChartServer, images: Images, tmp_path: Path
) -> None:
    """HR-5, HR-8, HR-68: the records stay with the object."""
    await push_chart(images, tmp_path, "web", "1.2.3", packed("web", "1.2.3", CHART))
    selector = {"mediaType": media.HELM_CHART, "operation": "copy"}
    below = Images(images.repository.host, f"{images.repository.path}/web")
    await flux.oci(below, ref={"tag": "1.2.3"}, layerSelector=selector)
    target = f"{flux.namespace}-x"
    spec = {"interval": "10m", "chartRef": {"kind": "OCIRepository", "name": "repo"}, "targetNamespace": target}
    await flux.put(API, RELEASE, "app", {**spec, "install": {"createNamespace": True}})
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    entry = found["status"]["history"][0]
    digest = (await flux.source_of("OCIRepository"))["status"]["artifact"]["revision"].partition("@")[2]
    assert entry["chartVersion"] == f"1.2.3+{digest.partition(':')[2][:12]}"
    assert entry["ociDigest"] == digest
    name = f"{target}-app"
    assert (entry["name"], entry["namespace"]) == (name, target)
    made = await flux.get("v1", "ConfigMap", name, target)
    assert made is not None
    assert made["data"]["namespace"] == target
    assert await records(flux, name) == {1: "deployed"}
    resource = await flux.cluster.resource("v1", "Secret")
    assert await flux.cluster.list(resource, target, labels="owner=helm") == []
    before = found["status"]
    await flux.request(RELEASE, "app")
    await flux.run(patience=5)
    assert (await the_release(flux))["status"]["history"] == before["history"]
    await flux.delete(API, RELEASE, "app")
    await flux.run(patience=5)
    assert await flux.get("v1", "ConfigMap", name, target) is None
    await flux.cluster.delete(await flux.cluster.resource("v1", "Namespace"), target)


async def test_a_release_waits_for_a_kustomization_and_the_other_way_round(
    flux: Flux, repository: ChartServer, repo: Repo
) -> None:
    """HR-9, across kinds."""
    repo.push({"one/a.yaml": config_map("one"), "two/b.yaml": config_map("two")})
    await flux.source(repo, "git")
    await flux.kustomization("one", "git", path="./one")
    await put_release(flux, "web", dependsOn=[{"kind": "Kustomization", "name": "one"}])
    await flux.kustomization("two", "git", path="./two", dependsOn=[{"kind": "HelmRelease", "name": "app"}])
    await flux.run(patience=5)
    assert ready(await the_release(flux))[0] == "True"
    assert ready(await flux.ks("two"))[0] == "True"


async def test_a_release_that_moves_is_uninstalled_first(flux: Flux, repository: ChartServer) -> None:
    """HR-63: another name, then another chart."""
    await put_release(flux, "web")
    await flux.run(patience=5)
    await put_release(flux, "web", releaseName="other")
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded"), message(await the_release(flux))
    assert await records(flux) == {}
    assert await records(flux, "other") == {1: "deployed"}
    assert await flux.get("v1", "ConfigMap", "app") is None
    await put_release(flux, "named", releaseName="other")
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found) == ("True", "InstallSucceeded"), message(found)
    assert [entry["chartName"] for entry in found["status"]["history"]] == ["named"]
    assert await flux.get("v1", "ConfigMap", "other") is None
    assert await flux.get("v1", "ConfigMap", "good") is not None


async def test_a_secret_of_a_chart_stays_where_it_belongs(flux: Flux, charts: ChartServer) -> None:
    """Only Helm's own records go to the storage namespace."""
    template = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: own\nstringData:\n  a: sh.helm.release.v1.x\n"
    charts.add("secret", "1.0.0", packed("secret", "1.0.0", {"templates/x.yaml": template}))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    target = f"{flux.namespace}-y"
    for on_server in (True, False):
        name = f"app-{str(on_server).lower()}"
        install = {"createNamespace": True, "serverSideApply": on_server}
        await put_release(flux, "secret", name, targetNamespace=target, install=install)
        await flux.run(patience=5)
        assert ready(await the_release(flux, name))[0] == "True", message(await the_release(flux, name))
        assert await flux.get("v1", "Secret", "own", target) is not None
        assert await flux.get("v1", "Secret", "own") is None
        await flux.delete(API, RELEASE, name)
        await flux.run(patience=5)
    await flux.cluster.delete(await flux.cluster.resource("v1", "Namespace"), target)


async def test_the_command_line_speaks_of_releases(flux: Flux, repository: ChartServer, control_plane: Path) -> None:
    await put_release(flux, "web", values={"a": 5})
    await flux.run(patience=5)
    typed = {
        ("get", "helmreleases"): "1.0.0",
        ("tree", "helmrelease", "app"): f"ConfigMap/{flux.namespace}/app",
        ("debug", "helmrelease", "app", "--show-values"): "a: 5",
        ("debug", "hr", "app", "--show-history"): "chartVersion: 1.0.0",
        ("export", "helmrelease", "app"): "chart: web",
        ("get", "sources", "chart"): "web",
    }
    for words, expected in typed.items():
        done = await asyncio.to_thread(fluxless, control_plane, *words, "-n", flux.namespace)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout, words


async def test_what_is_rendered_is_changed_by_kustomize(flux: Flux, repository: ChartServer) -> None:
    """HR-31, HR-48: a change of the patches alone upgrades the release, once."""
    patch = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app\ndata:\n  extra: one\n"
    await put_release(flux, "web", postRenderers=[{"kustomize": {"patches": [{"patch": patch}]}}])
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded"), message(await the_release(flux))
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["extra"] == "one"  # type: ignore[index]
    await put_release(flux, "web", postRenderers=[{"kustomize": {"patches": [{"patch": patch.replace("one", "two")}]}}])
    await flux.run(patience=5)
    assert (await flux.get("v1", "ConfigMap", "app"))["data"]["extra"] == "two"  # type: ignore[index]
    assert await records(flux) == {1: "superseded", 2: "deployed"}
    await put_release(flux, "web", postRenderers=[{"kustomize": {"patches": [{"patch": "kind: x"}]}}])
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found)[0] == "False"
    assert "post-renderer" in message(found)


def _definition(group: str, kind: str, says: str) -> str:
    schema = {"openAPIV3Schema": {"type": "object", "description": says}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.lower()}s.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }
    return json.dumps(body)


async def test_definitions_come_before_everything_else(flux: Flux, charts: ChartServer) -> None:
    """HR-15, HR-44: those of a chart in the chart as well; they are in the inventory, and stay."""
    group = f"{flux.namespace}.example.com"
    custom = f"apiVersion: {group}/v1\nkind: One\nmetadata:\n  name: it\n"
    for version, words in (("1.0.0", "old"), ("1.1.0", "new")):
        inner = packed("inner", version, {"crds/two.yaml": _definition(group, "Two", words)})
        files = {"crds/one.yaml": _definition(group, "One", words), "templates/x.yaml": custom}
        charts.add("defined", version, packed("defined", version, files, more={"charts/inner.tgz": inner}))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    resource = await flux.cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")

    async def says(kind: str) -> str:
        found = await flux.cluster.get(resource, f"{kind}s.{group}")
        assert found is not None
        return str(found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"])

    try:
        for version, policy, expected in (
            ("1.0.0", None, "old"),
            ("1.1.0", "Skip", "old"),
            ("1.1.0", None, "old"),
            ("1.1.0", "CreateReplace", "new"),
        ):
            upgrade = {"crds": policy} if policy else {"timeout": "1m"}
            await put_release(flux, "defined", version=version, values={"n": policy}, upgrade=upgrade)
            await flux.run(patience=5)
            found = await the_release(flux)
            assert ready(found)[0] == "True", message(found)
            assert (await says("one"), await says("two")) == (expected, expected), policy
        ids = {entry["id"] for entry in found["status"]["inventory"]["entries"]}
        crds = {f"_{kind}s.{group}_apiextensions.k8s.io_CustomResourceDefinition" for kind in ("one", "two")}
        assert ids == {f"{flux.namespace}_it_{group}_One", f"{flux.namespace}_x__ConfigMap", *crds}
        await flux.delete(API, RELEASE, "app")
        await flux.run(patience=5)
        assert await says("one") == "new"
    finally:
        for kind in ("one", "two"):
            await flux.cluster.delete(resource, f"{kind}s.{group}")


async def test_helm_itself_sees_what_it_expects(flux: Flux, repository: ChartServer) -> None:
    """HR-66: `helm list`, `history`, `get values` and `get manifest` beside us."""
    for number in (1, 2):
        await put_release(flux, "web", values={"a": number})
        await flux.run(patience=5)
    async with opened(flux.cluster, Door("helm", flux.namespace, flux.namespace)) as door:

        async def said(action: str, *words: str, flags: Sequence[str] = ()) -> str:
            return await helm(action, words, door, flux.namespace, timeout=30, flags=flags)

        (listed,) = json.loads(await said("list", flags=JSON))
        assert (listed["name"], listed["revision"], listed["status"], listed["chart"]) == (
            "app",
            "2",
            "deployed",
            "web-1.0.0",
        )
        history = json.loads(await said("history", "app", flags=JSON))
        assert [(entry["revision"], entry["status"]) for entry in history] == [(1, "superseded"), (2, "deployed")]
        assert json.loads(await said("get values", "app", flags=JSON)) == {"a": 2}
        assert "kind: ConfigMap" in await said("get manifest", "app")

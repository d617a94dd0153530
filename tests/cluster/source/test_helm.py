"""HelmRepository and HelmChart (HRP-1..22, CH-1..24) against real HTTP servers and a real registry."""

import asyncio
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.support.charts import ChartServer, files_of, packed, push_chart
from tests.support.flux import SOURCE, Flux, Obj, message, ready
from tests.support.registry import Images, docker_config
from tests.support.repositories import Repo
from tests.support.signatures import pem, tagged
from tests.support.tls import Authority
from tools.gitserver import GitServer

REPOSITORY, CHART = "HelmRepository", "HelmChart"


@pytest_asyncio.fixture(loop_scope="session")
async def charts() -> AsyncIterator[ChartServer]:
    server = ChartServer()
    await server.start()
    yield server
    await server.stop()


async def _repository(flux: Flux, url: str, name: str = "repo", **spec: Any) -> None:
    await flux.put(SOURCE, REPOSITORY, name, {"interval": "10m", "url": url, **spec})


async def _chart(flux: Flux, chart: str, name: str = "chart", source: str = "repo", **spec: Any) -> None:
    ref = {"kind": REPOSITORY, "name": source}
    await flux.put(SOURCE, CHART, name, {"interval": "10m", "chart": chart, "sourceRef": ref, **spec})


async def _files(flux: Flux, folder: Path, name: str = "chart") -> dict[str, str]:
    artifact = (await flux.source_of(CHART, name))["status"]["artifact"]
    target = folder / "chart.tgz"
    assert await flux.store.get_file(artifact["path"], target)
    with tarfile.open(target) as tar:
        return {entry.name: tar.extractfile(entry).read().decode() for entry in tar if entry.isfile()}  # type: ignore[union-attr]


def _good(obj: Obj) -> str:
    assert ready(obj)[0] == "True", message(obj)
    return str(obj["status"]["artifact"]["revision"])


# -- HelmRepository ---------------------------------------------------------------------------------------------------


async def test_an_index_is_kept_as_json(flux: Flux, charts: ChartServer, tmp_path: Path) -> None:
    charts.add("web", "1.0.0", deprecated=True, description="a: b", appVersion="1.10")
    charts.add("api", "1.0.0")
    await _repository(flux, charts.url)
    await flux.run()
    found = await flux.source_of(REPOSITORY)
    revision = _good(found)
    assert message(found) == f"stored artifact: revision '{revision}'"
    assert found["status"]["artifact"]["path"].endswith(".yaml")
    assert await flux.store.get_file(found["status"]["artifact"]["path"], tmp_path / "index")
    index = json.loads((tmp_path / "index").read_text())
    assert index["web"][0]["deprecated"] is True
    assert index["web"][0]["appVersion"] == "1.10"
    assert (await flux.events("repo"))[0]["message"].startswith("stored fetched index of size ")
    before = await flux.source_of(REPOSITORY)
    await flux.request(REPOSITORY, "repo")
    await flux.run()
    after = await flux.source_of(REPOSITORY)
    del after["status"]["lastHandledReconcileAt"]
    assert after["status"] == before["status"]


async def test_what_is_wrong_with_a_repository(flux: Flux, charts: ChartServer, tmp_path: Path) -> None:
    charts.add("web", "1.0.0")
    closed, authority = ChartServer("me", "pass"), Authority(tmp_path)
    await closed.start(authority.server_context())
    await flux.secret("good", {"username": "me", "password": "pass"})
    await flux.secret("wrong", {"username": "me", "password": "hunter2"})
    await flux.secret("half", {"username": "me"})
    await flux.secret("ca", {"ca.crt": authority.certificate.decode()})
    old = {"username": "me", "password": "pass", "caFile": authority.certificate.decode()}
    await flux.secret("old", old)
    ca = {"certSecretRef": {"name": "ca"}}
    try:
        cases: dict[str, tuple[str, dict[str, Any], str, str]] = {
            "no-path": (f"{charts.url}/none", {}, "Failed", "404 Not Found"),
            "no-server": ("http://127.0.0.1:9/x", {}, "Failed", "failed to fetch Helm repository index"),
            "oci": ("oci://127.0.0.1/x", {}, "URLInvalid", "'oci' URL scheme cannot be used with 'default'"),
            "refused": (closed.url, ca, "AuthenticationFailed", "401 Unauthorized"),
            "wrong": (closed.url, {**ca, "secretRef": {"name": "wrong"}}, "AuthenticationFailed", "401 Unauthorized"),
            "half": (closed.url, {"secretRef": {"name": "half"}}, "AuthenticationFailed", "only one of username"),
            "no-secret": (closed.url, {"secretRef": {"name": "none"}}, "AuthenticationFailed", "not found"),
            "untrusted": (closed.url, {"secretRef": {"name": "good"}}, "Failed", "TLS certificate is not trusted"),
        }
        for name, (url, spec, _, _) in cases.items():
            await _repository(flux, url, name, timeout="3s", **spec)
        await _repository(flux, closed.url, "good", secretRef={"name": "good"}, **ca)
        await _repository(flux, closed.url, "old", secretRef={"name": "old"})
        await flux.run(patience=0.3)
        for name, (_, _, reason, text) in cases.items():
            found = await flux.source_of(REPOSITORY, name)
            assert ready(found) == ("False", reason), (name, message(found))
            assert text in message(found), message(found)
            assert "hunter2" not in message(found)
        for name in ("good", "old"):
            _good(await flux.source_of(REPOSITORY, name))
    finally:
        await closed.stop()


@pytest.mark.parametrize(
    ("index", "text"),
    [
        ("entries: {}\n", "no API version specified"),
        ("a: [", "failed to load Helm repository from index YAML"),
        ("<html>", "no API version specified"),
        ("apiVersion: v1\nentries: &a {x: *a}\n", "aliases are not supported"),
        ("apiVersion: v1\nentries:\n  x: " + "[" * 200, "failed to load"),
    ],
)
async def test_an_index_that_is_none(flux: Flux, charts: ChartServer, index: str, text: str) -> None:
    charts.index = index
    await _repository(flux, charts.url)
    await flux.run(patience=0.3)
    found = await flux.source_of(REPOSITORY)
    assert ready(found) == ("False", "IndexationFailed"), message(found)
    assert text in message(found)


async def test_a_repository_of_type_oci_is_left_alone(flux: Flux, images: Images) -> None:
    """It has no status and no finalizer (HRP-2)."""
    await _repository(flux, images.url, type="oci")
    await flux.run()
    found = await flux.source_of(REPOSITORY)
    assert found.get("status", {}).get("observedGeneration", -1) == -1
    assert "conditions" not in found.get("status", {})
    assert "finalizers" not in found["metadata"]


# -- charts of a repository -------------------------------------------------------------------------------------------


async def test_versions_are_chosen_by_helms_rules(flux: Flux, charts: ChartServer) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0", "v2.1.0"):
        charts.add("web", version)
    charts.add("web", "3.0.0+a", created="2026-01-02T00:00:00Z")
    charts.add("web", "3.0.0+b", created="2026-01-03T00:00:00Z")
    charts.add("web", "3.0.0+c", created="2026-01-01T00:00:00Z")
    await _repository(flux, charts.url)
    cases = {"latest": (None, "3.0.0+b"), "range": ("1.x", "1.1.0"), "pre": ("~1.2.0-0", "1.2.0-rc.1"),
             "exact": ("3.0.0+a", "3.0.0+a"), "v": (">2.0.0 <3.0.0", "v2.1.0")}  # fmt: skip
    for name, (wanted, _) in cases.items():
        await _chart(flux, "web", name, **({"version": wanted} if wanted else {}))
    await flux.run()
    for name, (_, revision) in cases.items():
        found = await flux.source_of(CHART, name)
        assert _good(found) == revision
        assert ready(found) == ("True", "ChartPullSucceeded")
        assert message(found) == f"pulled 'web' chart with version '{revision}'"
        assert found["status"]["observedChartName"] == "web"
    assert [event["reason"] for event in await flux.events("v")] == ["ChartPullSucceeded"]

    asked = len(charts.asked)
    before = await flux.source_of(CHART, "v")
    await flux.request(CHART, "v")
    await flux.run()
    after = await flux.source_of(CHART, "v")
    del after["status"]["lastHandledReconcileAt"]
    assert after["status"] == before["status"]
    assert len(charts.asked) == asked

    charts.add("web", "1.3.0")
    await flux.request(REPOSITORY, "repo")
    await flux.run()  # a new index starts the charts
    assert _good(await flux.source_of(CHART, "range")) == "1.3.0"


async def test_what_is_wrong_with_a_chart(flux: Flux, charts: ChartServer) -> None:
    charts.add("web", "1.0.0")
    charts.add("gone", "1.0.0", url="https://127.0.0.1:9/gone.tgz")
    charts.add("damaged", "1.0.0", digest="0" * 64)
    charts.add("garbage", "1.0.0", b"garbage")
    charts.add("nameless", "1.0.0", packed("nameless", "1.0.0", {"Chart.yaml": "apiVersion: v2\nversion: 1.0.0\n"}))
    await _repository(flux, charts.url)
    await _repository(flux, "http://127.0.0.1:9/x", "broken", timeout="2s")
    cases: dict[str, tuple[dict[str, Any], str, str]] = {
        "none": ({}, "InvalidChartReference", "no chart name found: 'none'"),
        "web": ({"version": "9.x"}, "InvalidChartReference", "no 'web' chart with version matching '9.x' found"),
        "range": (
            {"chart": "web", "version": "one"},
            "InvalidChartReference",
            "invalid version/constraint format 'one'",
        ),
        "gone": ({}, "ChartPullError", "failed to fetch https://127.0.0.1:9/gone.tgz"),
        "damaged": ({}, "ChartPullError", "does not have the digest that the index says"),
        "garbage": ({}, "ChartPullError", "is no packed chart"),
        "nameless": ({}, "ChartPullError", "chart.metadata.name is required"),
        "no-source": ({"source": "none"}, "SourceUnavailable", "HelmRepository 'none' not found"),
        "no-artifact": ({"source": "broken"}, "NoSourceArtifact", "no artifact available for HelmRepository source"),
        "values": ({"chart": "web", "valuesFiles": ["no.yaml"]}, "ValuesFilesError", "at path 'no.yaml'"),
    }
    for name, (spec, _, _) in cases.items():
        fields = dict(spec)
        await _chart(flux, str(fields.pop("chart", name)), name, **fields)
    await flux.run(patience=0.3)
    await asyncio.sleep(2.1)  # what waits for its source says so after two seconds
    await flux.run(limit=40, patience=0.3)
    for name, (_, reason, text) in cases.items():
        found = await flux.source_of(CHART, name)
        assert ready(found) == ("False", reason), (name, message(found))
        assert text in message(found), message(found)
        condition = "BuildFailed" if reason == "ValuesFilesError" else "FetchFailed"
        assert message(found, condition) != "None", name


async def test_credentials_go_to_the_index_host_only_unless_told(flux: Flux, tmp_path: Path) -> None:
    """An index may name charts anywhere (HRP-6)."""
    index, other = ChartServer("me", "pass"), ChartServer()
    await index.start()
    await other.start()
    other.add("web", "1.0.0")
    index.add("web", "1.0.0", packed("web", "1.0.0"), url=f"{other.url}/web-1.0.0.tgz", digest="")
    try:
        await flux.secret("auth", {"username": "me", "password": "pass"})
        for name, everywhere in (("here", False), ("everywhere", True)):
            await _repository(flux, index.url, name, secretRef={"name": "auth"}, passCredentials=everywhere)
            await _chart(flux, "web", name, source=name)
            await flux.run()
            _good(await flux.source_of(CHART, name))
        assert [bool(header) for _, header in other.asked] == [False, True]
    finally:
        await index.stop()
        await other.stop()


async def test_values_files_are_merged(flux: Flux, charts: ChartServer, tmp_path: Path) -> None:
    """In order, missing ones left out; the version says that they were (CH-4, CH-21)."""
    files = {"prod.yaml": "a: 5\nb: {d: 4}\n", "list.yaml": "a: [1]\n"}
    charts.add("web", "1.0.0", packed("web", "1.0.0", files))
    await _repository(flux, charts.url)
    await _chart(flux, "web", valuesFiles=["values.yaml", "prod.yaml", "none.yaml"], ignoreMissingValuesFiles=True)
    await flux.run()
    found = await flux.source_of(CHART, "chart")
    assert _good(found) == "1.0.0+1"
    assert ready(found) == ("True", "ChartPackageSucceeded")
    summary = "packaged 'web' chart with version '1.0.0+1' and merged values files [values.yaml prod.yaml]"
    assert message(found) == summary
    assert found["status"]["observedValuesFiles"] == ["values.yaml", "prod.yaml"]
    content = await _files(flux, tmp_path)
    assert yaml.safe_load(content["web/values.yaml"]) == {"a": 5, "b": {"c": 2, "d": 4}}
    assert yaml.safe_load(content["web/Chart.yaml"])["version"] == "1.0.0+1"
    await flux.request(CHART, "chart")
    await flux.run()
    assert message(await flux.source_of(CHART, "chart")) == summary
    await _chart(flux, "web", valuesFiles=["list.yaml"])
    await flux.run()
    assert _good(await flux.source_of(CHART, "chart")) == "1.0.0+2"
    assert yaml.safe_load((await _files(flux, tmp_path))["web/values.yaml"]) == {"a": [1]}


# -- charts of a registry ---------------------------------------------------------------------------------------------


async def test_charts_of_a_registry(flux: Flux, images: Images, tmp_path: Path) -> None:
    for version in ("1.0.0", "1.1.0+build.5", "2.0.0-rc.1"):
        await push_chart(images, tmp_path, "web", version)
    await Images(images.repository.host, f"{images.repository.path}/image").push(tmp_path, {"a": "b"}, "1.0.0")
    await _repository(flux, images.url, type="oci")
    await _repository(flux, f"{images.url}/", "slash", type="oci")
    await _chart(flux, "web", "latest")
    await _chart(flux, "web", "exact", version="1.0.0", source="slash")
    await _chart(flux, "image", "image")
    await _chart(flux, "none", "none")
    await flux.run(patience=0.3)
    assert _good(await flux.source_of(CHART, "latest")) == "1.1.0+build.5"
    assert _good(await flux.source_of(CHART, "exact")) == "1.0.0"
    assert "is no Helm chart" in message(await flux.source_of(CHART, "image"))
    assert ready(await flux.source_of(CHART, "none")) == ("False", "ChartPullError")
    await push_chart(images, tmp_path, "web", "1.2.0")
    await flux.request(CHART, "latest")
    await flux.run(patience=0.3)
    assert _good(await flux.source_of(CHART, "latest")) == "1.2.0"


async def test_charts_of_a_registry_with_users_and_signatures(flux: Flux, images: Images, tmp_path: Path) -> None:
    """The Secret in either form; a chart that is not signed is refused (HRP-4, CH-5)."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    below = Images(images.repository.host, f"{images.repository.path}/web")
    await tagged(below, await push_chart(images, tmp_path, "web", "1.0.0"), key)
    await push_chart(images, tmp_path, "plain", "1.0.0")
    await flux.secret("key", {"cosign.pub": pem(key)})
    await flux.secret("docker", {".dockerconfigjson": docker_config(images.repository.host)})
    await flux.secret("basic", {"username": "u", "password": "p"})
    verify = {"provider": "cosign", "secretRef": {"name": "key"}}
    for name in ("docker", "basic"):  # the registry is open: what matters is that both forms are read
        await _repository(flux, images.url, name, type="oci", secretRef={"name": name})
        await _chart(flux, "web", name, source=name, verify=verify)
    await _chart(flux, "plain", "unsigned", source="basic", verify=verify)
    await flux.run(patience=0.3)
    for name in ("docker", "basic"):
        found = await flux.source_of(CHART, name)
        assert _good(found) == "1.0.0"
        assert message(found, "SourceVerified") == "verified signature of version 1.0.0"
    unsigned = await flux.source_of(CHART, "unsigned")
    assert ready(unsigned) == ("False", "VerificationError")
    assert not unsigned["status"].get("artifact")


# -- charts of a source -----------------------------------------------------------------------------------------------


def _in(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{path}": text for path, text in files.items()}


async def _from_git(flux: Flux, chart: str, name: str = "chart", **spec: Any) -> None:
    ref = {"kind": "GitRepository", "name": "repo"}
    await flux.put(SOURCE, CHART, name, {"interval": "10m", "chart": chart, "sourceRef": ref, **spec})


async def test_a_folder_is_packed(flux: Flux, repo: Repo, tmp_path: Path) -> None:
    extra = {"secret.md": "s", ".helmignore": "*.md\n", "ci/prod.yaml": "a: 7\n"}
    repo.push(_in("charts/web", files_of("web", "1.0.0", extra)) | {"values/team.yaml": "b: {c: 9}\n"})
    await flux.source(repo)
    await _from_git(flux, "./charts/web")
    await _from_git(flux, "charts/web", "merged", valuesFiles=["charts/web/values.yaml", "values/team.yaml"])
    await _from_git(flux, "charts/web", "revised", reconcileStrategy="Revision", valuesFiles=["values/team.yaml"])
    await _from_git(flux, "charts/none", "none")
    await _from_git(flux, "values", "no-chart")
    await flux.run(patience=0.3)
    found = await flux.source_of(CHART, "chart")
    assert _good(found) == "1.0.0"
    assert message(found) == "packaged 'web' chart with version '1.0.0'"
    commit = repo.head
    assert found["status"]["observedSourceArtifactRevision"] == f"main@sha1:{commit}"
    paths = ["web/.helmignore", "web/Chart.yaml", "web/ci/prod.yaml", "web/templates/x.yaml", "web/values.yaml"]
    assert sorted(await _files(flux, tmp_path)) == paths
    assert _good(await flux.source_of(CHART, "merged")) == "1.0.0+1"
    merged = yaml.safe_load((await _files(flux, tmp_path, "merged"))["web/values.yaml"])
    assert merged == {"a": 1, "b": {"c": 9}}
    assert _good(await flux.source_of(CHART, "revised")) == f"1.0.0+{commit[:12]}.1"
    for name, text in (("none", "no chart found at 'charts/none'"), ("no-chart", "has no Chart.yaml")):
        wrong = await flux.source_of(CHART, name)
        assert ready(wrong) == ("False", "InvalidChartReference")
        assert text in message(wrong)
        assert message(wrong, "Stalled") != "None"

    path = found["status"]["artifact"]["path"]
    repo.push({"README.md": "nothing of the chart"})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=0.3)
    found = await flux.source_of(CHART, "chart")
    assert found["status"]["artifact"]["path"] == path  # CH-3: the version is the same
    assert found["status"]["observedSourceArtifactRevision"] == f"main@sha1:{repo.head}"
    assert _good(await flux.source_of(CHART, "revised")) == f"1.0.0+{repo.head[:12]}.1"
    repo.push(_in("charts/none", files_of("none", "1.0.0")))
    await flux.request("GitRepository", "repo")
    await flux.run(patience=0.3)
    assert _good(await flux.source_of(CHART, "none")) == "1.0.0"


async def test_dependencies_are_built(
    flux: Flux, repo: Repo, charts: ChartServer, images: Images, git_server: GitServer, tmp_path: Path
) -> None:
    """From indexes, registries and folders, with the credentials of the namespace's repositories (CH-24)."""
    closed = ChartServer("me", "pass")
    await closed.start()
    closed.add("private", "1.0.0")
    charts.add("cache", "1.5.0")
    charts.add("cache", "2.0.0")
    await push_chart(images, tmp_path, "queue", "3.0.0")
    dependencies = [
        {"name": "cache", "version": "1.x", "repository": charts.url},
        {"name": "cache", "version": "2.x", "repository": charts.url, "alias": "second"},
        {"name": "private", "version": "1.0.0", "repository": f"{closed.url}/"},
        {"name": "queue", "version": ">=3.0.0", "repository": images.url},
        {"name": "common", "version": "0.1.0", "repository": "file://../common"},
        {"name": "vendored", "version": "1.0.0", "repository": "https://127.0.0.1:9/never-asked"},
    ]
    vendored = _in("charts/vendored", files_of("vendored", "1.0.0"))
    files = files_of("web", "1.0.0", vendored, dependencies=dependencies)
    repo.push(_in("charts/web", files) | _in("charts/common", files_of("common", "0.1.0")))
    try:
        await flux.secret("auth", {"username": "me", "password": "pass"})
        await _repository(flux, closed.url, secretRef={"name": "auth"})
        await flux.source(repo, "git")
        ref = {"kind": "GitRepository", "name": "git"}
        await flux.put(SOURCE, CHART, "chart", {"interval": "10m", "chart": "charts/web", "sourceRef": ref})
        await flux.run()
        assert _good(await flux.source_of(CHART, "chart")) == "1.0.0"
        content = await _files(flux, tmp_path)
        vendored_names = {path.split("/")[2] for path in content if path.startswith("web/charts/")}
        assert vendored_names == {"cache", "second", "private", "queue", "common", "vendored"}
        assert yaml.safe_load(content["web/charts/cache/Chart.yaml"])["version"] == "1.5.0"
        second = yaml.safe_load(content["web/charts/second/Chart.yaml"])
        assert (second["name"], second["version"]) == ("second", "2.0.0")

        wrong = {
            "no-version": {"name": "cache", "version": "9.x", "repository": charts.url},
            "no-chart": {"name": "none", "version": "1.x", "repository": charts.url},
            "no-folder": {"name": "x", "version": "1.x", "repository": "file://../../../../etc"},
            "old-folder": {"name": "common", "version": "2.x", "repository": "file://../common"},
            "alias": {"name": "x", "version": "1.x", "repository": "@stable"},
        }
        texts = {
            "no-version": "no 'cache' chart with version matching '9.x' found",
            "no-chart": "no chart name found: 'none'",
            "no-folder": "no chart found at",
            "old-folder": "can't get a valid version for constraint '2.x'",
            "alias": "is no http, https, oci or file URL",
        }
        more: dict[str, str | None] = {}
        for name, entry in wrong.items():
            more |= _in(f"charts/{name}", files_of(name, "1.0.0", dependencies=[entry]))
        repo.push(more)
        for name in wrong:
            await flux.put(SOURCE, CHART, name, {"interval": "10m", "chart": f"charts/{name}", "sourceRef": ref})
        await flux.request("GitRepository", "git")
        await flux.run(patience=0.3)
        for name, text in texts.items():
            found = await flux.source_of(CHART, name)
            assert ready(found) == ("False", "DependencyBuildError"), (name, message(found))
            assert text in message(found), message(found)
            assert message(found, "BuildFailed") == message(found)
    finally:
        await closed.stop()

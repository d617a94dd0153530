"""Bombs in YAML: a few hundred bytes that stand for millions of values, through each door that reads what others write.

Each is refused with the words of Go's reader, within a moment, and before anything grows.
"""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from fluxless import go_yaml
from fluxless.api.failure import Problem
from fluxless.artifacts.compose import Copy
from fluxless.charts import index
from fluxless.charts.chart import load_folder
from fluxless.kube import kubeconfig
from tests.support.charts import ChartServer, files_of, packed
from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.releases import CHART, put_release, the_release
from tests.support.repositories import Repo, config_map

WORDS = "excessive aliasing"
MOMENT = 5.0
"""Seconds of the processor; what is refused costs milliseconds."""


def bomb(depth: int = 6) -> str:
    """Ten times as many values at each level."""
    lines = ["b0: &b0 x"]
    lines += [f"b{level}: &b{level} [{','.join([f'*b{level - 1}'] * 10)}]" for level in range(1, depth + 1)]
    return "\n".join(lines) + "\n"


def merge_bomb(depth: int = 6) -> str:
    """Ten times as many keys to be taken over at each level."""
    lines = ["b0: &b0 {k: v}"]
    lines += [f"b{level}: &b{level} {{<<: [{','.join([f'*b{level - 1}'] * 10)}]}}" for level in range(1, depth + 1)]
    return "\n".join(lines) + "\n"


BOMBS = {"aliases": bomb(), "merges": merge_bomb()}


@pytest.fixture(autouse=True)
def moment() -> Iterator[None]:
    """No attack takes the worker's time, refused or not."""
    began = time.process_time()
    yield
    assert time.process_time() - began < MOMENT


LONG = f"&x '{'A' * 100_000}'"
TEXTS = {
    "a long text": f"a: {LONG}\nb: [{','.join(['*x'] * 400)}]\n",
    "a long key": f"a: {LONG}\nb: [{','.join(['{*x : 1}'] * 400)}]\n",
    "a list of long texts": f"a: &y [{LONG}, *x, *x, *x]\nb: [{','.join(['*y'] * 100)}]\n",
    "merges": f"a: &y {{k: {LONG}}}\n" + "".join(f"b{n}: {{<<: *y}}\n" for n in range(400)),
}


# -- doors that need no cluster ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_a_long_text_counts_each_time_that_it_is_named(name: str) -> None:
    with pytest.raises(Problem, match="aliases stand for more than"):
        go_yaml.load(TEXTS[name], "values.yaml")


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("file", ["Chart.yaml", "values.yaml"])
def test_a_chart(name: str, file: str, tmp_path: Path) -> None:
    files = files_of("web", "1.0.0")
    for path, text in {**files, file: f"{files[file]}\n{BOMBS[name]}"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    with pytest.raises(Problem, match=WORDS):
        load_folder(tmp_path, ".", "the chart").values_in("values.yaml")


@pytest.mark.parametrize("text", ["entries: {a: &a [x], b: [*a]}", f"entries: {{a: {'[' * 100_000}"])
def test_an_index(text: str, tmp_path: Path) -> None:
    """It is read as a stream, where aliases have no place at all."""
    (tmp_path / "index.yaml").write_text(f"apiVersion: v1\n{text}\n")
    with pytest.raises(Problem, match=r"aliases are not supported|nested deeper"):
        index.reencode(tmp_path / "index.yaml", tmp_path / "index.json")


@pytest.mark.parametrize("name", BOMBS)
def test_a_merge_of_an_artifact_generator(name: str, tmp_path: Path) -> None:
    source, staging = tmp_path / "source", tmp_path / "staging"
    source.mkdir()
    staging.mkdir()
    (source / "over.yaml").write_text(BOMBS[name])
    (staging / "values.yaml").write_text("a: 1\n")
    with pytest.raises(Problem, match=WORDS):
        Copy("@git/over.yaml", "@artifact/values.yaml", strategy="Merge").into(staging, {"git": source})
    assert (staging / "values.yaml").read_text() == "a: 1\n"


@pytest.mark.parametrize("name", BOMBS)
def test_a_kubeconfig(name: str) -> None:
    text = f"apiVersion: v1\nkind: Config\nclusters: []\n{BOMBS[name]}"
    with pytest.raises(Problem, match=WORDS):
        kubeconfig.parse(text, "of a Secret")


# -- doors of objects -------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def charts() -> AsyncIterator[ChartServer]:
    server = ChartServer()
    await server.start()
    server.add("web", "1.0.0", packed("web", "1.0.0", CHART))
    yield server
    await server.stop()


@pytest.mark.parametrize("name", BOMBS)
async def test_values_of_a_release(flux: Flux, charts: ChartServer, name: str) -> None:
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await flux.secret("bomb", {"values.yaml": BOMBS[name]})
    await put_release(flux, "web", valuesFrom=[{"kind": "Secret", "name": "bomb"}])
    await flux.run(patience=1)
    found = await the_release(flux)
    assert ready(found) == ("False", "ValuesError")
    assert WORDS in message(found)


@pytest.mark.parametrize("name", BOMBS)
async def test_a_kustomization_file(flux: Flux, repo: Repo, name: str) -> None:
    repo.push({"kustomization.yaml": f"resources: [a.yaml]\n{BOMBS[name]}", "a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run(patience=1)
    found = await flux.ks("app")
    assert ready(found) == ("False", "BuildFailed")
    assert WORDS in message(found)
    assert "kustomization.yaml:" in message(found)


async def test_a_kubeconfig_of_an_object(flux: Flux, repo: Repo) -> None:
    text = f"apiVersion: v1\nkind: Config\nclusters: []\n{BOMBS['merges']}"
    await flux.secret("there", {"value": text})
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app", kubeConfig={"secretRef": {"name": "there"}})
    await flux.run(patience=1)
    found = await flux.ks("app")
    assert ready(found)[0] == "False"
    assert WORDS in message(found)


async def test_a_chart_of_a_repository(flux: Flux, charts: ChartServer) -> None:
    """As a chart, and as the values of one."""
    about = f"{files_of('bad', '1.0.0')['Chart.yaml']}\n{bomb()}"
    charts.add("bad", "1.0.0", packed("bad", "1.0.0", {"Chart.yaml": about}))
    charts.add("values", "1.0.0", packed("values", "1.0.0", {"more.yaml": merge_bomb(), **CHART}))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    spec = {"interval": "10m", "sourceRef": {"kind": "HelmRepository", "name": "repo"}}
    await flux.put(SOURCE, "HelmChart", "bad", {**spec, "chart": "bad"})
    await flux.put(
        SOURCE, "HelmChart", "values", {**spec, "chart": "values", "valuesFiles": ["values.yaml", "more.yaml"]}
    )
    await flux.run(patience=1)
    for name in ("bad", "values"):
        found = await flux.source_of("HelmChart", name)
        assert ready(found)[0] == "False"
        assert WORDS in message(found), message(found)

"""A chart, its values and the name of its release are a tenant's: helm reads no flag, file or address out of them, and
takes no more than its share.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import tarfile
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fluxless.api.failure import Problem
from fluxless.artifacts.pack import pack
from fluxless.artifacts.unpack import ArchiveProblem, unpack
from fluxless.charts import subcharts
from fluxless.charts.chart import Chart
from fluxless.charts.errors import ChartProblem
from fluxless.charts.subcharts import definitions, for_helm, opened
from fluxless.helm import strvals
from fluxless.process import Finished, Limits, ProcessProblem
from fluxless.render import helm as room
from fluxless.render.helm import HelmFailed, helm
from tests.support import serving
from tests.support.charts import ChartServer, files_of, packed
from tests.support.flux import SOURCE, Flux, message, ready
from tests.support.releases import CHART, put_release, the_release
from tools.localhost.settings import seconds_of
from tools.places import ROOT

NOWHERE = "http://127.0.0.1:9"


@pytest_asyncio.fixture(loop_scope="session")
async def charts() -> AsyncIterator[ChartServer]:
    server = ChartServer()
    await server.start()
    yield server
    await server.stop()


def chart(files: dict[str, str] | None = None, more: dict[str, bytes] | None = None, **metadata: Any) -> Chart:
    texts = files_of("web", "1.0.0", files, **metadata)
    return Chart({path: text.encode() for path, text in texts.items()} | (more or {}), "chart 'web'")


async def rendered(made: Chart, folder: Path, name: str = "app") -> str:
    """What helm makes of a chart as it is given to it."""
    archive = folder / "chart.tgz"
    pack(for_helm(made, schemas=True), archive)
    return await helm("template", [name, archive], NOWHERE, "default", timeout=30)


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1," + ",".join(f"k{n}[65536]=1" for n in range(100)),
        "1,a[65536]=1" + ",a[0]=1" * 100,
        "1" + ",a[0][65536]=1" * 100,
    ],
)
def test_a_value_makes_few_items_of_lists(text: str) -> None:
    tracemalloc.start()
    with pytest.raises(strvals.InvalidPath, match="items of lists"):
        strvals.assign({}, "x", text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 << 20


@pytest.mark.parametrize(
    "text",
    [
        "x,s3cr3t",
        "x,y[s3cr3t]=1",
        "x,s3cr3t,",
        "x,a=1,a[0]s3cr3t=1",
        "x,s3cr3t=1,s3cr3t.b=1",
        "x,s3cr3t=1,s3cr3t[0]=1",
        "x,a[123456789]=1",
        "x,a[-123456789]=1",
        f"x,a[{'1' * 5000}]=1",
    ],
)
def test_an_error_of_a_value_repeats_nothing_of_it(text: str) -> None:
    with pytest.raises(strvals.InvalidPath) as caught:
        strvals.assign({}, "x", text)
    assert not any(part in str(caught.value) for part in ("s3cr3t", "123456789", "11111"))


@pytest.mark.parametrize("rule", [{"pattern": "^x$"}, {"const": "b"}, {"maxLength": 2}, {"enum": ["b"]}])
async def test_an_error_of_a_schema_names_the_place_and_not_the_value(tmp_path: Path, rule: dict[str, Any]) -> None:
    schema = json.dumps({"properties": {"p": rule}})
    made = chart(None, {"values.yaml": b"p: s3cr3t", "values.schema.json": schema.encode()})
    with pytest.raises(HelmFailed, match="at '/p': the schema does not allow this value") as caught:
        await rendered(made, tmp_path)
    assert "s3cr3t" not in str(caught.value)


# -- dependencies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["Chart.yaml", "Chart.lock"])
def test_dependencies_without_end_are_refused(file: str) -> None:
    many = "dependencies:\n" + "".join(f"- {{name: d{n}}}\n" for n in range(3000))
    files = {"Chart.yaml": b"apiVersion: v2\nname: web\nversion: 1.0.0\n"}
    files[file] = files.get(file, b"") + many.encode()
    with pytest.raises(ChartProblem, match=f"{file} .*more than 500 dependencies"):
        Chart(files, "chart 'web'").missing()


def test_dependencies_count_to_the_chart() -> None:
    made, part = chart(), chart(None, {"big": bytes(1 << 20)})

    def add(number: int) -> None:
        part.rename(name=f"part{number}")
        made.add(part)

    with pytest.raises(ChartProblem, match="too large with its dependencies"):
        list(map(add, range(200)))


def test_packed_charts_that_wish_for_one_name_find_one_at_once() -> None:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a/x"))
    one = gzip.compress(inner.getvalue())
    tries = itertools.islice(itertools.product(".-", repeat=11), 1000)
    alike = {f"charts/x{''.join(f'{sign}a' for sign in signs)}.tgz": one for signs in tries}
    calls = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        holds = subcharts._holds
        patch.setattr(subcharts, "_holds", lambda *given: next(calls) >= 0 and holds(*given))
        files = opened(chart(None, alike))
    assert len([path for path in files if path.startswith("charts/")]) == 1000
    assert next(calls) <= 3000


# -- flags ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["--generate-name", "--set-file=a=/proc/self/environ", "-g", "--debug"])
async def test_a_release_name_is_never_a_flag(tmp_path: Path, name: str) -> None:
    with pytest.raises(HelmFailed, match="release name"):
        await rendered(chart(), tmp_path, name)


async def test_a_release_is_named_as_its_object_says_or_not_at_all(flux: Flux, charts: ChartServer) -> None:
    charts.add("named", "1.0.0", packed("named", "1.0.0", CHART))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await put_release(flux, "named", releaseName="--generate-name")
    await flux.run(patience=5)
    found = await the_release(flux)
    assert ready(found)[0] == "False", message(found)
    assert (
        await flux.cluster.list(await flux.cluster.resource("v1", "Secret"), flux.namespace, labels="owner=helm") == []
    )


# -- schemas --------------------------------------------------------------------------------------------------------

LEADING_OUT = {
    "a file": {"$ref": "file:///etc/hostname"},
    "a file, relative": {"properties": {"a": {"$ref": "/etc/hostname"}}},
    "an address": {"allOf": [{"$ref": "http://169.254.169.254/metadata/identity#"}]},
    "a dialect": {"$schema": "http://127.0.0.1:7071/admin"},
    "a dynamic one": {"$dynamicRef": "http://127.0.0.1:7071/admin"},
    "one by its base": {"$id": "http://127.0.0.1:7071/", "properties": {"a": {"$ref": "admin"}}},
}


@pytest.mark.parametrize("what", LEADING_OUT)
def test_a_schema_leads_to_no_file_and_no_address(what: str) -> None:
    made = chart({"values.schema.json": json.dumps(LEADING_OUT[what])})
    with pytest.raises(ChartProblem, match=r"values\.schema\.json of chart 'web'") as caught:
        for_helm(made, schemas=True)
    assert "disableSchemaValidation" in caught.value.failures[0].next_step
    assert for_helm(made, schemas=False)  # helm is told not to read it


async def test_a_schema_of_ones_own_is_still_obeyed(tmp_path: Path) -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.com/web.json",
        "definitions": {"number": {"type": "number"}},
        "properties": {"a": {"$ref": "#/definitions/number"}, "$ref": {"type": "string"}},
    }
    made = chart({"values.schema.json": json.dumps(schema)})
    assert "kind: ConfigMap" in await rendered(made, tmp_path)
    made.files["values.yaml"] = b"a: text"
    with pytest.raises(HelmFailed, match="want number"):
        await rendered(made, tmp_path)


@pytest_asyncio.fixture(loop_scope="session")
async def neighbour() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Something that listens near the app, and what it was sent."""
    async with serving.neighbour(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}") as found:
        yield found


async def test_helm_fetches_no_schema_from_what_is_near_the_app(
    flux: Flux, charts: ChartServer, neighbour: tuple[int, list[bytes]]
) -> None:
    """Not even for a chart that is packed in a packed chart."""
    port, heard = neighbour
    schema = json.dumps({"$ref": f"http://127.0.0.1:{port}/admin/host/keys"})
    leaf = packed("leaf", "1.0.0", {"values.schema.json": schema})
    branch = packed("branch", "1.0.0", more={"charts/leaf-1.0.0.tgz": leaf})
    charts.add("tree", "1.0.0", packed("tree", "1.0.0", CHART, {"charts/branch-1.0.0.tgz": branch}))
    await flux.put(SOURCE, "HelmRepository", "repo", {"interval": "10m", "url": charts.url})
    await put_release(flux, "tree", values={"branch": {"leaf": {"a": 1}}})
    await flux.run(patience=5)
    assert heard == []
    found = await the_release(flux)
    assert "outside of the chart" in message(found), message(found)


# -- archives -------------------------------------------------------------------------------------------------------


def nested(levels: int) -> bytes:
    inner = packed("leaf", "1.0.0", {"crds/one.yaml": "a: 1"})
    for _ in range(levels):
        inner = packed("leaf", "1.0.0", more={"charts/leaf-1.0.0.tgz": inner})
    return inner


async def test_packed_charts_in_packed_charts_are_rendered_and_counted_as_one(tmp_path: Path) -> None:
    leaf = packed("leaf", "1.0.0", {"templates/x.yaml": "leaf: {{ .Values.a }}"})
    made = chart(more={"charts/leaf-1.0.0.tgz": packed("leaf", "1.0.0", more={"charts/leaf-1.0.0.tgz": leaf})})
    assert "# Source: web/charts/leaf/charts/leaf/templates/x.yaml\nleaf: 1" in await rendered(made, tmp_path)
    zeros = packed("leaf", "1.0.0", more={"zeros": b"\0" * (4 << 20)})
    bomb = chart(more={f"charts/leaf-{number}.tgz": zeros for number in range(40)})
    with pytest.raises(ChartProblem, match="is too large"):
        opened(bomb)


def test_packed_charts_have_an_end() -> None:
    deep = chart(more={"charts/leaf-1.0.0.tgz": nested(60)})
    for read in (opened, lambda made: list(definitions(made))):
        with pytest.raises(ChartProblem, match="deep"):
            read(deep)
    assert [path for path, _ in definitions(chart(more={"charts/leaf-1.0.0.tgz": nested(2)}))] == [
        "charts/leaf-1-0-0/charts/leaf-1-0-0/charts/leaf-1-0-0/crds/one.yaml"
    ]


def test_helm_finds_no_file_that_we_have_not_seen() -> None:
    """It takes a backslash for a slash."""
    with pytest.raises(ChartProblem, match="backslash"):
        for_helm(chart({"x\\values.schema.json": '{"$ref": "file:///etc/hostname"}'}), schemas=True)


def test_two_links_that_are_harmless_alone_lead_nowhere_together(tmp_path: Path) -> None:
    """`d/up` is the root of the archive; what climbs behind it leaves the archive, though its text does not say so."""
    archive, tree, secret = tmp_path / "a.tar.gz", tmp_path / "x/tree", tmp_path / "secret"
    secret.write_text("canary")
    with tarfile.open(archive, "w:gz") as tar:
        for name, link in (("d/up", ".."), ("out", "d/up/../../secret")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            tar.addfile(entry)
        plain = tarfile.TarInfo("secret")
        plain.size = 5
        tar.addfile(plain, io.BytesIO(b"plain"))
    tree.mkdir(parents=True)
    with pytest.raises(ArchiveProblem, match="'out' is a symbolic link out of its folder"):
        unpack(archive, tree)


# -- bombs ----------------------------------------------------------------------------------------------------------

BOMBS = {
    "memory": ('{{ repeat 300000000 "abcdefgh" | len }}', "memory"),
    "time": ("{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}", "computed for more than 2 s"),
}


@pytest.mark.parametrize("what", BOMBS)
async def test_a_template_takes_no_more_than_its_share(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, words = BOMBS[what]
    monkeypatch.setattr(room, "LIMITS", Limits(room.LIMITS.memory, 2, room.LIMITS.file))
    with pytest.raises(ProcessProblem, match=words):
        await rendered(chart({"templates/x.yaml": template}), tmp_path)


@pytest.mark.parametrize("template", ['{{ env "HOME" }}', '{{ .Files.Get "../../etc/hostname" }}x'])
async def test_a_template_sees_nothing_of_the_host(tmp_path: Path, template: str) -> None:
    try:
        said = await rendered(chart({"templates/x.yaml": f"a: {template}"}), tmp_path)
    except Problem:
        return
    assert said.strip().endswith("a: x")


async def test_a_timeout_of_a_year_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker ends an activity that lasts half an hour, and with it the work of everybody else."""
    waits: list[float] = []

    async def run(argv: list[str], *, timeout: float, **_: Any) -> Finished:
        waits.append(timeout)
        return Finished(0, b"", b"")

    monkeypatch.setattr("fluxless.render.helm.run", run)
    await helm("upgrade", ["web", "chart.tgz"], NOWHERE, "default", timeout=365 * 86_400.0)
    half_an_hour = seconds_of(json.loads((ROOT / "host.json").read_text())["functionTimeout"])
    assert waits[0] < half_an_hour

"""Every scenario of the corpus ends as it did when its expectation was written and compared with Flux."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from difflib import unified_diff
from pathlib import Path

import pytest
import pytest_asyncio

from fluxless.artifacts.directory import DirectoryStore
from fluxless.kube.client import Cluster
from tests.parity import fluxless_side
from tests.parity.corpus import SCENARIOS
from tests.parity.play import Played, Side
from tests.parity.record import without_retries
from tests.parity.stock import stocked
from tools.gitserver import GitServer

EXPECTED = Path(__file__).with_name("expected")
UPDATE = bool(os.environ.get("FLUXLESS_UPDATE_EXPECTED"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def played(
    cluster: Cluster,
    control_plane: Path,
    git_server: GitServer,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Played]:
    """All scenarios that were asked for, played at once."""
    every = [item for item in request.session.items if isinstance(item, pytest.Function)]
    items = [item for item in every if item.module is request.module]
    names = {item.callspec.params["name"] for item in items if hasattr(item, "callspec")}
    folder = tmp_path_factory.mktemp("parity")
    store = DirectoryStore(folder / "store")
    async with fluxless_side.working(control_plane, store, folder) as worker, stocked(folder / "stock") as marks:
        side = Side(cluster, git_server, folder, marks, fluxless_side.reader(store), worker.idle)
        yield await side.play(scenario for scenario in SCENARIOS if scenario.name in names)


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
async def test_it_ends_as_expected(played: Played, name: str) -> None:
    file = EXPECTED / f"{name}.json"
    records = [{key: value for key, value in record.items() if key != "said"} for record in played[name]]
    text = json.dumps(records, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if UPDATE:
        file.write_text(text)
    expected = file.read_text()
    assert text == expected, "\n".join(
        unified_diff(expected.splitlines(), text.splitlines(), "expected", "played", n=8)
    )


def test_every_expectation_has_its_scenario() -> None:
    assert {file.stem for file in EXPECTED.glob("*.json")} == {scenario.name for scenario in SCENARIOS}


def test_a_try_between_two_steps_is_no_part_of_the_second() -> None:
    flux = {"GitRepository/repo": {"conditions": [["Ready", "True", "Succeeded"]]}}
    events = ["GitRepository/repo Normal NewArtifact", "GitRepository/repo Warning GitOperationFailed"]
    before = {"said": ["GitRepository/repo GitOperationFailed: no such branch"]}
    record = {"flux": flux, "events": events, "said": before["said"]}
    failing = {"GitRepository/repo": {"conditions": [["Ready", "False", "GitOperationFailed"]]}}
    other = ["GitRepository/repo GitOperationFailed: no such tag", *before["said"]]
    assert without_retries(record, before)["events"] == events[:1]
    assert without_retries(record, {})["events"] == events
    assert without_retries(record | {"flux": failing}, before)["events"] == events
    assert without_retries(record | {"said": other}, before)["events"] == events

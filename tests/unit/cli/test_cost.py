"""What a month costs: arithmetic from measured figures, and money only from prices whose origin is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fluxless.cli import costs
from fluxless.cli.app import app
from fluxless.cli.costs import Workload, billed, month, prices
from tools.places import ROOT

PRICE = {"value": 0.5, "currency": "EUR", "source": "a price list", "date": "2026-11-01"}


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["cost", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("seconds", "paid"), [(0.0, 1.0), (0.004, 1.0), (1.0, 1.0), (1.01, 1.1), (1.1, 1.1), (2.31, 2.4), (60.0, 60.0)]
)
def test_an_execution_is_a_second_at_least_then_steps(seconds: float, paid: float) -> None:
    assert billed(seconds) == pytest.approx(paid)


def test_what_grows_with_what() -> None:
    load = Workload()
    base = month(load)
    assert month(replace(load, memory=4096)).gb_seconds == pytest.approx(2 * base.gb_seconds)
    assert month(replace(load, timer=60)).executions < 0.6 * base.executions
    assert month(replace(load, clusters=3)).executions > 2 * base.executions
    assert month(replace(load, interval=3600)).gb_seconds < base.gb_seconds
    assert month(replace(load, apps=1000)).gb_seconds > base.gb_seconds
    assert month(replace(load, pushes_per_day=0)).telemetry_gb < base.telemetry_gb
    assert month(replace(load, always_ready=1)).always_ready_gb_seconds == 730 * 3600 * 2
    assert base.gb_seconds < base.gb_seconds_at_most


def test_more_applications_cost_no_more_executions_while_they_fit_into_a_batch() -> None:
    assert month(Workload(apps=10)).executions == month(Workload(apps=costs.CHECKS_AT_ONCE)).executions


def test_free_units_cost_nothing() -> None:
    known = prices({"executions": {**PRICE, "free": 0.25}, "telemetry_gb": {**PRICE, "free": 5}})
    money = costs.amounts({"executions": 1.25, "telemetry_gb": 1.0, "gb_seconds": 7.0}, known)
    assert money == {"executions": 0.5, "telemetry_gb": 0.0}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"executions": {**PRICE, "date": ""}}, "executions: date must be given"),
        ({"executions": {"value": 1}}, "currency and source and date"),
        ({"exections": PRICE}, "exections: there is no such price"),
        ({"executions": 3}, "executions: give value"),
        ({"executions": {**PRICE, "value": "much"}}, "must be numbers"),
        ({"executions": PRICE, "gb_seconds": {**PRICE, "currency": "USD"}}, "more than one currency"),
        ([], "no mapping"),
    ],
)
def test_a_price_that_says_too_little_is_refused(document: Any, words: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(yaml.safe_dump(document))
    code, text = run("--prices", str(file))
    assert code == 1
    assert words in " ".join(text.split())


def test_without_prices_there_is_no_money() -> None:
    code, text = run("--apps", "100", "--clusters", "3", "--interval", "10m")
    assert code == 0
    assert "Money needs prices" in text
    assert "EUR" not in text


def test_with_prices_each_is_named_with_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(yaml.safe_dump(dict.fromkeys(("executions", "gb_seconds", "node_hour"), PRICE)))
    code, text = run("--prices", str(file))
    assert code == 0
    assert text.count("a price list, 2026-11-01") == 3
    assert "without storage transactions, telemetry" in text
    found = json.loads(run("--prices", str(file), "-o", "json")[1])
    assert found["cost"]["executions"] == pytest.approx(found["month"]["executions"]["amount"] * 0.5)
    assert found["cost"]["node_hour"] == pytest.approx(found["nodesOfFluxPods"] * 730 * 0.5)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    code, text = run("--prices", str(tmp_path / "none.yaml"))
    assert code == 1
    assert "cannot be read" in " ".join(text.split())


def test_the_example_names_every_price_and_none_is_made_up() -> None:
    document = yaml.safe_load((ROOT / "docs" / "cost-prices.yaml").read_text())
    assert set(document) == set(costs.UNITS)
    assert prices(document) == {}


def test_pods_of_flux_share_a_node_by_what_is_scarcer() -> None:
    assert costs.share_of_nodes(1, 5.5, 1e9) == pytest.approx(0.1)
    assert costs.share_of_nodes(2, 1e9, 384) == pytest.approx(2.0)


def test_the_page_shows_what_the_calculator_says() -> None:
    page = (ROOT / "docs" / "cost.md").read_text()
    command, _, rest = page.partition("$ fluxless cost ")[2].partition("\n")
    shown = rest.partition("```")[0].strip().splitlines()
    code, text = run(*command.split())
    assert code == 0
    assert [line.rstrip() for line in shown] == [line.rstrip() for line in text.strip().splitlines()]
    assert command == "--apps 100 --clusters 3 --interval 10m"

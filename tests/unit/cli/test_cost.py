"""What a month costs: arithmetic from measured figures, and money only from prices whose origin is known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fluxless.cli import costs, prices
from fluxless.cli.app import app
from fluxless.cli.costs import Workload, billed, month
from fluxless.engine import plan
from tools.bench.__main__ import ALL
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
    assert month(replace(load, sources=20)).executions > base.executions
    assert month(replace(load, sources=40)).executions == month(replace(load, sources=20)).executions
    assert month(replace(load, apps_per_push=100)).gb_seconds > base.gb_seconds
    assert month(replace(load, always_ready=3)).always_ready_gb_seconds == 3 * 730 * 3600 * 2
    assert base.gb_seconds < base.gb_seconds_at_most


def test_more_applications_cost_no_more_executions_while_they_fit_into_a_batch() -> None:
    assert month(Workload(apps=10)).executions == month(Workload(apps=costs.CHECKS_AT_ONCE)).executions


def test_a_commit_for_a_hundred_has_about_the_executions_that_were_measured() -> None:
    """32.4 in docs/benchmarks.md, in four batches; no more up to the size of a batch than for one application."""
    load = Workload(pushes_per_day=24)
    none = month(replace(load, pushes_per_day=0)).executions
    one, batch, hundred = (
        (month(replace(load, apps_per_push=apps)).executions - none) / costs.HOURS
        for apps in (1, costs.CHANGES_AT_ONCE, 100)
    )
    assert one == pytest.approx(batch)
    assert hundred == pytest.approx(32.4, rel=0.05)


def test_a_plan_and_a_check_take_longer_the_more_applications_a_cluster_has() -> None:
    """Nothing new: one plan at each tick, and two more for each of the two batches that an interval leads to."""
    load = Workload(apps=200, clusters=2, interval=3600, timer=60, pushes_per_day=0, memory=1024)
    time = {name: costs.between(points, 100) for name, points in costs.TIMES.items()}
    each = 64 * (time["plan"] + costs.PAUSED + 2 * time["sync"]) + time["check"] + time["look"]
    hour = 60 * time["tick"] + 2 * each
    assert month(load).gb_seconds == pytest.approx(730 * hour)
    executions = 60 + 2 * (64 * 3 + 2)
    assert month(load).executions == pytest.approx(730 * executions)
    assert month(load).gb_seconds_at_most == pytest.approx(730 * executions)  # each a second: none takes longer


def test_a_batch_that_takes_longer_than_a_second_is_billed_in_steps() -> None:
    """At 250 applications a check takes 2.079 s: 1.1 s more than the second that one of 10 is billed."""
    load = Workload(apps=10, interval=3600, pushes_per_day=0, memory=1024)
    more = month(replace(load, apps=250)).gb_seconds_at_most - month(load).gb_seconds_at_most
    assert more == pytest.approx(730 * (billed(costs.between(costs.TIMES["check"], 250)) - 1))
    assert more > 0


def test_what_warm_instances_execute_has_a_price_of_its_own() -> None:
    cold, warm = month(Workload(always_ready=0)), month(Workload(always_ready=1))
    assert cold.warm_gb_seconds == 0
    assert warm.gb_seconds_at_most == cold.gb_seconds_at_most
    assert 0 < warm.quantities()["gb_seconds"] < warm.quantities()["always_ready_execution_gb_seconds"]
    parts = warm.quantities()
    together = parts["gb_seconds"] + parts["always_ready_execution_gb_seconds"]
    assert together == pytest.approx(cold.quantities()["gb_seconds"])


def test_sizes_are_those_of_the_plan_and_what_is_deployed() -> None:
    assert (plan.SIZES[plan.Lane.CHANGE], plan.SIZES[plan.Lane.CHECK]) == (costs.CHANGES_AT_ONCE, costs.CHECKS_AT_ONCE)
    assert costs.SOURCES_AT_ONCE == plan.BATCHES
    template = (ROOT / "infra" / "bicep" / "main.bicep").read_text()
    assert f"param durableAlwaysReady int = {Workload().always_ready}\n" in template
    storage = json.loads((ROOT / "host.json").read_text())["extensions"]["durableTask"]["storageProvider"]
    assert (storage["maxQueuePollingInterval"], storage["partitionCount"]) == ("00:00:00.75", 4)


def test_measured_figures_are_those_of_the_page_of_benchmarks() -> None:
    """Each stands in the section of the bench that `MEASURED_BY` names, so that a new run is noticed here."""
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    section = page.partition("## An idle hour\n")[2].partition("\n## ")[0]
    names = costs.MEASURED_BY.rpartition(" ")[2].split(",")
    assert set(names) <= set(ALL)
    assert all(f"--only {name}`" in section for name in names)
    for name, points in {**costs.TIMES, "commit": costs.COMMIT}.items():
        (row,) = (line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
        figures = [float(figure.replace(",", "")) for figure in re.findall(r"[\d.,]+(?= ms)", row)]
        assert figures == pytest.approx([1000 * seconds for _, seconds in points])


def test_the_calculator_comes_to_the_idle_hour_that_was_measured() -> None:
    """Within 2 %, as the measurement's own requests are not in it."""
    found = month(Workload(apps=100, interval=600, timer=30, pushes_per_day=0, memory=1024))
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    row = re.search(r"\*\*function time\*\* \| (\d+) \| \| \*\*([\d.]+) s\*\*", page)
    assert row is not None
    assert found.executions / costs.HOURS == pytest.approx(float(row[1]), rel=0.02)
    assert found.gb_seconds / costs.HOURS == pytest.approx(float(row[2]), rel=0.02)


@pytest.mark.parametrize(
    ("size", "seconds"), [(1, 1.0), (10, 1.0), (15, 1.5), (20, 2.0), (30, 4.0), (40, 6.0), (50, 8.0)]
)
def test_between_measured_sizes_a_line_is_drawn_and_goes_on(size: float, seconds: float) -> None:
    assert costs.between(((10, 1.0), (20, 2.0), (40, 6.0)), size) == pytest.approx(seconds)


def test_one_measured_size_stands_for_all() -> None:
    assert costs.between(((1, 0.5),), 7) == 0.5


def test_free_units_cost_nothing() -> None:
    known = prices.read({"executions": {**PRICE, "free": 0.25}, "telemetry_gb": {**PRICE, "free": 5}})
    money = prices.amounts({"executions": 1.25, "telemetry_gb": 1.0, "gb_seconds": 7.0}, known)
    assert money == {"executions": 0.5, "telemetry_gb": 0.0}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"executions": {**PRICE, "date": ""}}, "executions: date must be given"),
        ({"executions": {"value": 1}}, "currency and source and date"),
        ({"exections": PRICE}, "exections: there is no such price"),
        ({"executions": 3}, "executions: give value"),
        ({"executions": {**PRICE, "value": "much"}}, "must be numbers"),
        ({"executions": {**PRICE, "value": -1}}, "not negative"),
        ({"executions": {**PRICE, "free": float("nan")}}, "NaN"),
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
    assert "without executions on warm instances, time on warm instances, at most, warm instances, storage" in text
    found = json.loads(run("--prices", str(file), "-o", "json")[1])
    assert found["cost"]["executions"] == pytest.approx(found["month"]["executions"]["amount"] * 0.5)
    assert found["cost"]["node_hour"] == pytest.approx(found["nodesOfFluxPods"] * 730 * 0.5)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    code, text = run("--prices", str(tmp_path / "none.yaml"))
    assert code == 1
    assert "cannot be read" in " ".join(text.split())


def test_the_example_names_every_price_and_none_is_made_up() -> None:
    document = yaml.safe_load((ROOT / "docs" / "cost-prices.yaml").read_text())
    assert set(document) == set(prices.UNITS)
    assert prices.read(document) == {}


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

"""`fluxless cost`: what a month amounts to, with prices that are given. Needs neither a cluster nor Azure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fluxless import go_yaml
from fluxless.api.duration import parse_duration
from fluxless.cli import costs, prices
from fluxless.cli.costs import Month, Workload
from fluxless.cli.prices import UNITS, Price
from fluxless.cli.session import console, run_plain, wrong

WORDS = {
    "executions": "executions on demand",
    "gb_seconds": "time on demand, at most",
    "always_ready_executions": "executions on warm instances",
    "always_ready_execution_gb_seconds": "time on warm instances, at most",
    "always_ready_gb_seconds": "warm instances",
    "storage_transactions": "storage transactions",
    "telemetry_gb": "telemetry",
    "node_hour": "Flux's pods on nodes",
}


def cost(
    apps: Annotated[int, typer.Option(min=1, help="Kustomizations and HelmReleases, all clusters together.")] = 100,
    clusters: Annotated[int, typer.Option(min=1)] = 1,
    sources: Annotated[int, typer.Option(min=1, help="Repositories, charts and buckets of each cluster.")] = 1,
    interval: Annotated[str, typer.Option(help="spec.interval of the applications.")] = "10m",
    timer: Annotated[str, typer.Option(help="Time between two ticks of the timer (FLUXLESS_TIMER).")] = "30s",
    pushes: Annotated[float, typer.Option(min=0, help="Commits a day.")] = 20,
    apps_per_push: Annotated[int, typer.Option(min=1, help="Applications that follow a commit, in each cluster.")] = 1,
    memory: Annotated[int, typer.Option(min=512, help="MB of an instance.")] = 2048,
    always_ready: Annotated[int, typer.Option(min=0, help="Instances kept warm (durableAlwaysReady).")] = 1,
    node_cpus: Annotated[float, typer.Option(min=0.1, help="CPUs of a node, for Flux's pods beside it.")] = 4,
    node_memory: Annotated[float, typer.Option(min=1, help="MiB of a node.")] = 16384,
    price_list: Annotated[Path | None, typer.Option("--prices", help="YAML, see docs/cost-prices.yaml.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
) -> None:
    """What a month of Fluxless amounts to, beside the six pods of Flux."""

    async def work() -> int:
        load = Workload(
            apps=apps,
            clusters=clusters,
            sources=sources,
            interval=_seconds("--interval", interval),
            timer=_seconds("--timer", timer),
            pushes_per_day=pushes,
            apps_per_push=apps_per_push,
            memory=memory,
            always_ready=always_ready,
        )
        found = costs.month(load)
        nodes = costs.share_of_nodes(clusters, node_cpus, node_memory)
        known = _prices(price_list) if price_list is not None else {}
        if output == "json":
            console().print_json(json.dumps(_document(found, nodes, known)))
        else:
            show(found, nodes, known, console())
        return 0

    run_plain(work)


def show(found: Month, nodes: float, known: dict[str, Price], out: Console) -> None:
    """A row for each quantity, with money where its price is known, then where the prices are from."""
    quantities = found.quantities()
    money = prices.amounts(quantities | {"node_hour": nodes * costs.HOURS}, known)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in ("A MONTH", "AMOUNT", "UNIT", "COST"):
        table.add_column(name, no_wrap=True, justify="left" if name == "A MONTH" else "right")
    for name, quantity in quantities.items():
        table.add_row(WORDS[name], f"{quantity:,.2f}", UNITS[name], _money(name, money, known))
    out.print(table)
    out.print(f"Measured execution time is {found.gb_seconds:,.0f} GB-s ({costs.MEASURED_BY}); the bill lies between.")
    sums = [money[name] for name in quantities if name in money]
    if sums:
        currency = next(iter(known.values())).currency
        lacking = [WORDS[name] for name in quantities if name not in money and quantities[name]]
        out.print(f"Together {sum(sums):,.2f} {currency}" + (f", without {', '.join(lacking)}" if lacking else ""))
    pods = len(costs.PODS)
    words = f"Flux's {pods} pods ask for {nodes:.2f} nodes in all"
    if "node_hour" in money:
        words += f": {_money('node_hour', money, known)}, where that room would not stand empty anyway"
    out.print(words)
    for name, price in known.items():
        what = f"{price.value:g} {price.currency} for one {UNITS[name]}"
        out.print(f"  {WORDS[name]}: {what}, {price.source}, {price.date}")
    if not known:
        out.print("Money needs prices: fill in docs/cost-prices.yaml and give it with --prices")


def _money(name: str, money: dict[str, float], known: dict[str, Price]) -> str:
    return f"{money[name]:,.2f} {known[name].currency}" if name in money else ""


def _document(found: Month, nodes: float, known: dict[str, Price]) -> dict[str, Any]:
    quantities = found.quantities()
    return {
        "month": {name: {"amount": amount, "unit": UNITS[name]} for name, amount in quantities.items()},
        "measuredGbSeconds": found.gb_seconds,
        "nodesOfFluxPods": nodes,
        "cost": prices.amounts(quantities | {"node_hour": nodes * costs.HOURS}, known),
        "prices": {
            name: {"value": one.value, "currency": one.currency, "source": one.source, "date": one.date}
            for name, one in known.items()
        },
    }


def _seconds(flag: str, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise wrong(f"{flag} {text!r} is no duration", "write it like 10m")
    return seconds


def _prices(file: Path) -> dict[str, Price]:
    try:
        return prices.read(go_yaml.load(file.read_bytes(), file.name))
    except OSError as error:
        raise wrong(f"{file} cannot be read: {error.strerror}", "give the path of a file") from None
    except go_yaml.ManifestProblem as problem:
        first = problem.failures[0]
        raise wrong(f"{file}: {first.message} ({first.origin})", first.next_step) from None
    except ValueError as error:
        words = " ".join(str(error).split())
        raise wrong(f"{file}: {words}", "correct it; docs/cost-prices.yaml shows how") from None

"""Arguments and options that many commands share, with Flux's names."""

from __future__ import annotations

from typing import Annotated

import typer

Namespace = Annotated[str, typer.Option("--namespace", "-n", envvar="FLUX_SYSTEM_NAMESPACE", help="Namespace.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on showing changes.")]
Name = Annotated[str, typer.Argument(help="Name of the object.")]
SomeName = Annotated[str, typer.Argument(help="Name of the object; all when empty.")]
Export = Annotated[bool, typer.Option("--export", help="Print it instead.")]
Labels = Annotated[list[str], typer.Option("--label", help="key=value.")]
Text = Annotated[str, typer.Option()]
AppCluster = Annotated[str, typer.Option("--cluster", help="Name of the cluster in the app's settings.")]


def words(values: list[str]) -> tuple[str, ...]:
    """The values of an option that may be given several times, and with commas."""
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())

"""The command `create helmrelease`, Flux's flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fluxless.cli.creates import put
from fluxless.cli.flags import Export, Labels, Name, Namespace, Text, words
from fluxless.cli.session import DEFAULT_NAMESPACE

Files = Annotated[list[Path], typer.Option(help="Files with values; the later ones win.")]
Listed = Annotated[list[str], typer.Option()]


def create_helmrelease(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    source: Text = "",
    chart: Text = "",
    chart_version: Text = "",
    chart_interval: Text = "",
    chart_ref: Text = "",
    reconcile_strategy: Text = "",
    release_name: Text = "",
    target_namespace: Text = "",
    create_target_namespace: Annotated[bool, typer.Option("--create-target-namespace")] = False,
    storage_namespace: Text = "",
    service_account: Text = "",
    crds: Text = "",
    depends_on: Listed = [],  # noqa: B006
    values: Files = [],  # noqa: B006
    values_from: Listed = [],  # noqa: B006
    kubeconfig_secret_ref: Text = "",
    interval: Annotated[str, typer.Option(help="How often it is looked at.")] = "1m0s",
    label: Labels = [],  # noqa: B006
    export: Export = False,
) -> None:
    """Create or update a HelmRelease."""
    from fluxless.cli import releases as work

    flags = {
        "source": source,
        "chart": chart,
        "chart_version": chart_version,
        "chart_interval": chart_interval,
        "chart_ref": chart_ref,
        "strategy": reconcile_strategy,
        "release_name": release_name,
        "target_namespace": target_namespace,
        "create_namespace": create_target_namespace,
        "storage_namespace": storage_namespace,
        "service_account": service_account,
        "crds": crds,
        "depends_on": words(depends_on),
        "values": tuple(values),
        "values_from": words(values_from),
        "kubeconfig_secret": kubeconfig_secret_ref,
        "interval": interval,
    }
    put(context, namespace, lambda: work.release(name, namespace, words(label), **flags), export)

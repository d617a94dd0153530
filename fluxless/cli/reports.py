"""The commands that only look: `tree`, `trace`, `stats`, `debug`, `events`, `drift`, `logs`; and `envsubst`."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from fluxless.api.duration import parse_duration
from fluxless.cli.flags import AppCluster, Everywhere, Name, Namespace, SomeName
from fluxless.cli.session import DEFAULT_NAMESPACE, Session, console, run, run_plain

tree = typer.Typer(help="Show what an object has in the cluster.", no_args_is_help=True)
debug = typer.Typer(help="Show what the engine sees of an object.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add all of them."""
    app.add_typer(tree, name="tree")
    app.add_typer(debug, name="debug")
    for command in (trace, stats, events, drift, logs, envsubst):
        app.command()(command)


@tree.command("kustomization")
@tree.command("ks", hidden=True)
def tree_kustomization(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    compact: Annotated[bool, typer.Option("--compact", help="Flux objects only.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="json or yaml instead of a drawing.")] = "",
) -> None:
    """Show what a Kustomization has in the cluster."""
    from fluxless.cli import tree as work

    run(context.obj, lambda cluster: work.show(cluster, namespace, name, console(), compact=compact, output=output))


@tree.command("helmrelease")
@tree.command("hr", hidden=True)
def tree_helmrelease(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    compact: Annotated[bool, typer.Option("--compact", help="Flux objects only.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="json or yaml instead of a drawing.")] = "",
) -> None:
    """Show what a HelmRelease has in the cluster."""
    from fluxless.api.kinds import HELM_RELEASE
    from fluxless.cli import tree as work
    from fluxless.kube.client import Cluster

    async def show(cluster: Cluster) -> None:
        await work.show(cluster, namespace, name, console(), kind=HELM_RELEASE, compact=compact, output=output)

    run(context.obj, show)


@debug.command("helmrelease")
@debug.command("hr", hidden=True)
def debug_helmrelease(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    show_status: Annotated[bool, typer.Option("--show-status", help="The status.")] = False,
    show_values: Annotated[bool, typer.Option("--show-values", help="The final values, those of Secrets too.")] = False,
    show_history: Annotated[bool, typer.Option("--show-history", help="What was released lately.")] = False,
) -> None:
    """Print the status, the values or the history of a HelmRelease."""
    from fluxless.api.kinds import HELM_RELEASE
    from fluxless.cli import debug as work
    from fluxless.kube.client import Cluster

    async def text(cluster: Cluster) -> str:
        chosen = work.one_of(status=show_status, values=show_values, history=show_history)
        if chosen == "values":
            return await work.values(cluster, namespace, name)
        show = {"status": work.status, "history": work.history}[chosen]
        return await show(cluster, namespace, name, HELM_RELEASE)

    typer.echo(run(context.obj, text), nl=False)


@debug.command("kustomization")
@debug.command("ks", hidden=True)
def debug_kustomization(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    show_status: Annotated[bool, typer.Option("--show-status", help="The status.")] = False,
    show_vars: Annotated[bool, typer.Option("--show-vars", help="The final variables, those of Secrets too.")] = False,
    show_history: Annotated[bool, typer.Option("--show-history", help="What was applied lately.")] = False,
) -> None:
    """Print the status, the variables or the history of a Kustomization."""
    from fluxless.cli import debug as work
    from fluxless.kube.client import Cluster

    async def text(cluster: Cluster) -> str:
        chosen = work.one_of(status=show_status, vars=show_vars, history=show_history)
        show = {"status": work.status, "vars": work.variables, "history": work.history}[chosen]
        return await show(cluster, namespace, name)

    typer.echo(run(context.obj, text), nl=False)


def trace(
    context: typer.Context,
    objects: Annotated[list[str], typer.Argument(help="<resource> <name> …, or <resource>/<name> …")],
    namespace: Namespace = DEFAULT_NAMESPACE,
    kind: Annotated[str, typer.Option(help="Kind of the object, beside --api-version.")] = "",
    api_version: Annotated[str, typer.Option(help="API version of the object, beside --kind.")] = "",
) -> None:
    """Show which Flux object manages an object, and which source that comes from."""
    from fluxless.cli import trace as work
    from fluxless.kube.client import Cluster

    async def show(cluster: Cluster) -> None:
        await work.show(cluster, namespace, work.wanted(objects, kind, api_version), api_version, console())

    run(context.obj, show)


def stats(context: typer.Context, namespace: Namespace = DEFAULT_NAMESPACE, everywhere: Everywhere = False) -> None:
    """Count objects by kind: running, failing, suspended, and what is stored for them."""
    from fluxless.cli import stats as work

    run(context.obj, lambda cluster: work.show(cluster, "" if everywhere else namespace, console()))


def events(
    context: typer.Context,
    namespace: Namespace = DEFAULT_NAMESPACE,
    everywhere: Everywhere = False,
    target: Annotated[str, typer.Option("--for", help="Only of this object, as Kind/name.")] = "",
    types: Annotated[str, typer.Option("--types", help="Normal, Warning or both with a comma.")] = "",
) -> None:
    """Print the events of Flux objects."""
    from fluxless.cli import events as work

    chosen = tuple(part for part in types.split(",") if part)
    where = "" if everywhere else namespace
    run(context.obj, lambda cluster: work.show(cluster, where, console(), target=target, types=chosen))


def drift(
    context: typer.Context,
    name: SomeName = "",
    namespace: Namespace = DEFAULT_NAMESPACE,
    everywhere: Everywhere = False,
    cluster: AppCluster = "dev",
) -> None:
    """List what others have changed, field by field: the history of drift checks, newest first."""
    from fluxless.cli import drift as work

    session: Session = context.obj
    where = "" if everywhere else namespace
    if run_plain(lambda: work.show(session, cluster, where, name, console())) == 0:
        console(error=True).print(f"no drift of cluster {cluster!r} is known in {where or 'any'} namespace")


def logs(
    context: typer.Context,
    cluster: AppCluster = "dev",
    since: Annotated[str, typer.Option(help="How far back.")] = "1h",
    kind: Annotated[str, typer.Option(help="Only of this kind.")] = "",
    name: Annotated[str, typer.Option(help="Only of this name.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Only of this namespace.")] = "",
) -> None:
    """Print what each run did."""
    from fluxless.cli import logs as work

    session: Session = context.obj
    start = time.time() - parse_duration(since)

    async def show() -> int:
        store = session.store()
        try:
            return await work.show(store, cluster, console(), since=start, kind=kind, name=name, namespace=namespace)
        finally:
            await store.close()

    if run_plain(show) == 0:
        console(error=True).print(f"no runs of cluster {cluster!r} in the last {since}")


def envsubst(
    strict: Annotated[bool, typer.Option("--strict", help="A variable that is not set is an error.")] = False,
) -> None:
    """Substitute the variables of the environment in what is read from standard input, as Flux would."""
    import os

    from fluxless.kustomize.substitute import substitute

    async def text() -> str:
        return substitute(sys.stdin.read(), os.environ, strict=strict)

    sys.stdout.write(run_plain(text))

"""The command line: global flags, the commands over a whole cluster, and all families of commands together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluxless.api.duration import parse_duration
from fluxless.cli import (
    cost,
    creates,
    deploy,
    previews,
    registry,
    release_commands,
    reports,
    secret_commands,
    source_commands,
    verbs,
)
from fluxless.cli.flags import AppCluster
from fluxless.cli.session import Session, console, run, run_plain

if TYPE_CHECKING:
    from fluxless.kube.client import Cluster

app = typer.Typer(name="fluxless", help="Flux without the controllers.", no_args_is_help=True, rich_markup_mode=None)
verbs.register(app)
reports.register(app)
app.add_typer(creates.create, name="create")
creates.create.add_typer(source_commands.source, name="source")
creates.create.add_typer(secret_commands.secret, name="secret")
creates.create.command("receiver")(source_commands.create_receiver)
creates.create.command("helmrelease")(release_commands.create_helmrelease)
creates.create.command("hr", hidden=True)(release_commands.create_helmrelease)
app.add_typer(secret_commands.trigger, name="trigger")
app.add_typer(previews.build, name="build")
app.add_typer(previews.diff, name="diff")
previews.diff.command("artifact")(registry.diff_artifact)
app.add_typer(registry.push, name="push")
app.add_typer(registry.pull, name="pull")
app.add_typer(registry.listing, name="list")
app.add_typer(registry.tag, name="tag")
app.command("cost")(cost.cost)
app.command("deploy")(deploy.deploy)


@app.callback()
def flags(
    context: typer.Context,
    kubeconfig: Annotated[str, typer.Option(help="Path of a kubeconfig (default: $KUBECONFIG).")] = "",
    kube_context: Annotated[str, typer.Option("--context", help="Context of the kubeconfig.")] = "",
    resource_id: Annotated[str, typer.Option(help="ARM id of an AKS cluster, instead of a kubeconfig.")] = "",
    timeout: Annotated[str, typer.Option(help="How long to wait.")] = "5m0s",
    functions_url: Annotated[str, typer.Option(envvar="FUNCTIONS_URL", help="Address of the app, to wake it.")] = "",
    functions_key: Annotated[str, typer.Option(envvar="FUNCTIONS_KEY", help="A function key of the app.")] = "",
    blob_connection: Annotated[str, typer.Option(envvar="BLOB_CONNECTION", help="Connection of its storage.")] = "",
    blob_account_url: Annotated[str, typer.Option(envvar="FLUXLESS_BLOB_ACCOUNT_URL", help="Its storage.")] = "",
    blob_container: Annotated[str, typer.Option(envvar="FLUXLESS_BLOB_CONTAINER", help="Container.")] = "fluxless",
) -> None:
    """Flags of all commands."""
    context.obj = Session(
        kubeconfig=kubeconfig,
        context=kube_context,
        resource_id=resource_id,
        timeout=parse_duration(timeout),
        functions_url=functions_url,
        functions_key=functions_key,
        blob_connection=blob_connection,
        blob_account_url=blob_account_url,
        blob_container=blob_container,
    )


@app.command()
def version(
    context: typer.Context, client: Annotated[bool, typer.Option("--client", help="Only of this program.")] = False
) -> None:
    """Print the version of this program, and which versions of Flux's API the cluster serves."""
    from importlib.metadata import version as installed

    from fluxless.cli import check as work

    console().print(f"fluxless: v{installed('fluxless')}")
    if not client:
        run(context.obj, lambda cluster: work.versions(cluster, console()))


@app.command()
def install(
    context: typer.Context,
    export: Annotated[bool, typer.Option(help="Print the manifests instead.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Scale Flux's controllers to zero first; undone if it fails.")
    ] = False,
    leave_behind: Annotated[
        bool, typer.Option("--leave-behind", help="Although objects of kinds that are not built yet would stand still.")
    ] = False,
    push: Annotated[
        bool, typer.Option("--push", help="Let the API server tell the app of changes; needs --cluster.")
    ] = False,
    name: AppCluster = "",
    push_secret: Annotated[str, typer.Option(envvar="FLUXLESS_PUSH_SECRET", help="That of the app's settings.")] = "",
    push_ca_file: Annotated[Path | None, typer.Option(help="CA of the app's certificate, if nobody knows it.")] = None,
) -> None:
    """Put the CRDs into the cluster."""
    from fluxless.cli import install as manifests
    from fluxless.cli import push as telling
    from fluxless.cli import takeover as work
    from fluxless.cli.export import dump

    session: Session = context.obj

    async def hook() -> dict[str, Any]:
        authority = telling.read_authority(push_ca_file)
        return telling.configuration(session.functions_url, name, push_secret, authority)

    manifest = run_plain(hook) if push else None
    if export:
        typer.echo("\n---\n".join([*manifests.texts(), *([dump(manifest)] if manifest else [])]))
        return

    async def put(cluster: Cluster) -> list[str]:
        if take_over:
            out, limit = console(), session.timeout
            done = await work.take_over(cluster, out, leave_behind=leave_behind, timeout=limit)
        else:
            done = await work.guarded_install(cluster)
        if manifest is not None:
            await telling.install(cluster, manifest)
            done.append(telling.NAME)
        return done

    for installed in run(session, put):
        console().print(f"[green]✔[/green] {installed} installed")


@app.command("give-back")
def give_back(context: typer.Context) -> None:
    """Start the controllers that `install --take-over` has stopped. Take the cluster from the app first."""
    from fluxless.cli import takeover as work

    session: Session = context.obj
    run(session, lambda cluster: work.give_back(cluster, console(), timeout=session.timeout))


@app.command()
def check(context: typer.Context) -> None:
    """Look at CRDs, the app's heartbeat and the invariants of every status."""
    from fluxless.cli.check import check as work

    session: Session = context.obj
    if not run(session, lambda cluster: work(cluster, session, console())):
        raise typer.Exit(1)

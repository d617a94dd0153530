"""The command line: flags and commands, one line of work each. Flux's names wherever Flux has the thing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from fluxless.api.duration import parse_duration
from fluxless.api.kinds import GIT_REPOSITORY, KINDS, KUSTOMIZATION, Kind
from fluxless.cli import previews
from fluxless.cli.session import DEFAULT_NAMESPACE, Session, console, run, run_plain

if TYPE_CHECKING:
    from fluxless.kube.client import Cluster

app = typer.Typer(name="fluxless", help="Flux without the controllers.", no_args_is_help=True, rich_markup_mode=None)
get = typer.Typer(help="List objects and their state.", no_args_is_help=True)
sources = typer.Typer(help="List sources.", no_args_is_help=True)
reconcile = typer.Typer(help="Ask for a reconciliation and wait for it.", no_args_is_help=True)
reconcile_source = typer.Typer(help="Reconcile a source.", no_args_is_help=True)
suspend = typer.Typer(help="Suspend objects.", no_args_is_help=True)
suspend_source = typer.Typer(help="Suspend a source.", no_args_is_help=True)
resume = typer.Typer(help="Resume objects.", no_args_is_help=True)
resume_source = typer.Typer(help="Resume a source.", no_args_is_help=True)
tree = typer.Typer(help="Show what an object has in the cluster.", no_args_is_help=True)
for parent, child, name in (
    (app, get, "get"),
    (get, sources, "sources"),
    (app, reconcile, "reconcile"),
    (reconcile, reconcile_source, "source"),
    (app, suspend, "suspend"),
    (suspend, suspend_source, "source"),
    (app, resume, "resume"),
    (resume, resume_source, "source"),
    (app, tree, "tree"),
    (app, previews.build, "build"),
    (app, previews.diff, "diff"),
):
    parent.add_typer(child, name=name)

Namespace = Annotated[str, typer.Option("--namespace", "-n", envvar="FLUX_SYSTEM_NAMESPACE", help="Namespace.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on showing changes.")]
Name = Annotated[str, typer.Argument(help="Name of the object.")]
SomeName = Annotated[str, typer.Argument(help="Name of the object; all when empty.")]


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
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    console().print(f"fluxless: v{installed('fluxless')}")


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
) -> None:
    """Put the CRDs into the cluster."""
    from fluxless.cli import install as manifests
    from fluxless.cli import takeover as work

    session: Session = context.obj
    if export:
        typer.echo("\n---\n".join(manifests.texts()))
        return

    async def put(cluster: Cluster) -> list[str]:
        if take_over:
            out, limit = console(), session.timeout
            return await work.take_over(cluster, out, leave_behind=leave_behind, timeout=limit)
        return await work.guarded_install(cluster)

    for name in run(session, put):
        console().print(f"[green]✔[/green] {name} installed")


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


def _show(context: typer.Context, kinds: list[Kind], namespace: str, everywhere: bool, watch: bool, name: str) -> None:
    from fluxless.cli import get as work

    where = "" if everywhere else namespace
    shown = run(context.obj, lambda cluster: work.show(cluster, kinds, where, console(), name=name, watch=watch))
    if not shown:
        console(error=True).print(f"no objects found in {where or 'any'} namespace")


@sources.command("git")
def get_git(
    context: typer.Context,
    name: SomeName = "",
    namespace: Namespace = DEFAULT_NAMESPACE,
    everywhere: Everywhere = False,
    watch: Watch = False,
) -> None:
    """List GitRepositories."""
    _show(context, [GIT_REPOSITORY], namespace, everywhere, watch, name)


@sources.command("all")
def get_sources(
    context: typer.Context,
    namespace: Namespace = DEFAULT_NAMESPACE,
    everywhere: Everywhere = False,
    watch: Watch = False,
) -> None:
    """List all sources."""
    _show(context, [GIT_REPOSITORY], namespace, everywhere, watch, "")


@get.command("kustomizations")
@get.command("kustomization", hidden=True)
@get.command("ks", hidden=True)
def get_kustomizations(
    context: typer.Context,
    name: SomeName = "",
    namespace: Namespace = DEFAULT_NAMESPACE,
    everywhere: Everywhere = False,
    watch: Watch = False,
) -> None:
    """List Kustomizations."""
    _show(context, [KUSTOMIZATION], namespace, everywhere, watch, name)


@get.command("all")
def get_all(
    context: typer.Context,
    namespace: Namespace = DEFAULT_NAMESPACE,
    everywhere: Everywhere = False,
    watch: Watch = False,
) -> None:
    """List everything that is reconciled."""
    _show(context, [kind for kind in KINDS if kind.built], namespace, everywhere, watch, "")


def _reconcile(context: typer.Context, kind: Kind, name: str, namespace: str, with_source: bool = False) -> None:
    from fluxless.cli import change

    session: Session = context.obj
    session.namespace = namespace
    run(
        session,
        lambda cluster: change.reconcile(
            cluster, session, kind, name, console(), with_source=with_source, now=time.time()
        ),
    )


@reconcile_source.command("git")
def reconcile_git(context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Reconcile a GitRepository."""
    _reconcile(context, GIT_REPOSITORY, name, namespace)


@reconcile.command("kustomization")
@reconcile.command("ks", hidden=True)
def reconcile_kustomization(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    with_source: Annotated[bool, typer.Option("--with-source", help="Its source first.")] = False,
) -> None:
    """Reconcile a Kustomization."""
    _reconcile(context, KUSTOMIZATION, name, namespace, with_source)


def _suspend(context: typer.Context, kind: Kind, name: str, namespace: str, suspended: bool) -> None:
    from fluxless.cli import change

    session: Session = context.obj
    session.namespace = namespace
    run(session, lambda cluster: change.set_suspended(cluster, session, kind, name, suspended, console()))


@suspend_source.command("git")
def suspend_git(context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Suspend a GitRepository."""
    _suspend(context, GIT_REPOSITORY, name, namespace, True)


@suspend.command("kustomization")
@suspend.command("ks", hidden=True)
def suspend_kustomization(context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Suspend a Kustomization."""
    _suspend(context, KUSTOMIZATION, name, namespace, True)


@resume_source.command("git")
def resume_git(context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Resume a GitRepository."""
    _suspend(context, GIT_REPOSITORY, name, namespace, False)


@resume.command("kustomization")
@resume.command("ks", hidden=True)
def resume_kustomization(context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Resume a Kustomization."""
    _suspend(context, KUSTOMIZATION, name, namespace, False)


@app.command()
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


@tree.command("kustomization")
@tree.command("ks", hidden=True)
def tree_kustomization(context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
    """Show what a Kustomization has in the cluster."""
    from fluxless.cli import tree as work

    run(context.obj, lambda cluster: work.show(cluster, namespace, name, console()))


@app.command()
def drift(
    context: typer.Context,
    name: SomeName = "",
    namespace: Namespace = DEFAULT_NAMESPACE,
    everywhere: Everywhere = False,
    cluster: Annotated[str, typer.Option(help="Name of the cluster in the app's settings.")] = "dev",
) -> None:
    """List what others have changed, field by field: the history of drift checks, newest first."""
    from fluxless.cli import drift as work

    session: Session = context.obj
    where = "" if everywhere else namespace
    if run_plain(lambda: work.show(session, cluster, where, name, console())) == 0:
        console(error=True).print(f"no drift of cluster {cluster!r} is known in {where or 'any'} namespace")


@app.command()
def logs(
    context: typer.Context,
    cluster: Annotated[str, typer.Option(help="Name of the cluster in the app's settings.")] = "dev",
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

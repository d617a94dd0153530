"""The command `create kustomization`, Flux's flags; and what all `create` commands do with what they made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluxless.cli.flags import Export, Labels, Name, Namespace, words
from fluxless.cli.session import DEFAULT_NAMESPACE, Session, console, run, run_plain

if TYPE_CHECKING:
    from fluxless.kube.client import Cluster

Obj = dict[str, Any]
create = typer.Typer(help="Create or update objects.", no_args_is_help=True)


@create.callback()
def group() -> None:
    """Create or update objects."""


def put(context: typer.Context, namespace: str, make: Callable[[], Obj], export: bool) -> None:
    """Print the object, or apply it and wait for it."""
    from fluxless.cli import create as work

    session: Session = context.obj
    session.namespace = namespace

    async def made() -> Obj:
        return make()

    deliver(session, made, lambda cluster, obj: work.apply(cluster, session, obj, console()), export)


def deliver(
    session: Session, make: Callable[[], Awaitable[Obj]], apply: Callable[[Cluster, Obj], Awaitable[None]], export: bool
) -> None:
    """Print the object, which needs no cluster, or apply it."""
    from fluxless.cli.export import dump

    async def text() -> str:
        return f"---\n{dump(await make())}"

    async def work(cluster: Cluster) -> None:
        await apply(cluster, await make())

    if export:
        typer.echo(run_plain(text), nl=False)
    else:
        run(session, work)


@create.command("kustomization")
@create.command("ks", hidden=True)
def create_kustomization(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    source: Annotated[str, typer.Option(help="[<kind>/]<name>[.<namespace>]; a GitRepository by default.")] = "",
    path: Annotated[str, typer.Option(help="Directory of the source.")] = "./",
    interval: Annotated[str, typer.Option(help="How often drift is corrected.")] = "1m0s",
    prune: Annotated[bool, typer.Option("--prune", help="Delete what leaves the source.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Check the health of everything.")] = False,
    health_check: Annotated[list[str], typer.Option(help="<kind>/<name>.<namespace>.")] = [],  # noqa: B006
    health_check_timeout: Annotated[str, typer.Option(help="Limit of health checks.")] = "2m0s",
    depends_on: Annotated[list[str], typer.Option(help="[<namespace>/]<name> of a Kustomization.")] = [],  # noqa: B006
    service_account: Annotated[str, typer.Option(help="Account to impersonate.")] = "",
    decryption_provider: Annotated[str, typer.Option(help="sops.")] = "",
    decryption_secret: Annotated[str, typer.Option(help="Secret with the keys.")] = "",
    target_namespace: Annotated[str, typer.Option(help="Namespace of every object.")] = "",
    kubeconfig_secret_ref: Annotated[str, typer.Option(help="Secret with the kubeconfig of another cluster.")] = "",
    retry_interval: Annotated[str, typer.Option(help="How soon a failure is tried again.")] = "",
    label: Labels = [],  # noqa: B006
    validation: Annotated[str, typer.Option(hidden=True)] = "",
    export: Export = False,
) -> None:
    """Create or update a Kustomization, and wait until it is ready."""
    from fluxless.cli import create as work

    if validation:
        console(error=True).print("[yellow]![/yellow] --validation has no meaning any more: everything is dry-run")
    wish = work.Wish(
        name,
        namespace,
        source,
        path,
        interval,
        prune,
        wait,
        words(health_check),
        health_check_timeout,
        words(depends_on),
        service_account,
        decryption_provider,
        decryption_secret,
        target_namespace,
        kubeconfig_secret_ref,
        retry_interval,
        words(label),
    )
    put(context, namespace, lambda: work.kustomization(wish), export)

"""The verbs that every kind has (`get`, `reconcile`, `suspend`, `resume`, `export`, `delete`), one command per kind.

A kind that is built in `api/kinds.py` has them all; sources stand below `source`, as in Flux.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluxless.api.kinds import HELM_RELEASE, KINDS, SOURCE_KINDS, Kind
from fluxless.cli.flags import Everywhere, Name, Namespace, SomeName, Watch
from fluxless.cli.session import DEFAULT_NAMESPACE, Session, console, run
from fluxless.reconcile.status import FORCE_ANNOTATION, RESET_ANNOTATION

if TYPE_CHECKING:
    from fluxless.kube.client import Cluster

SOURCE_NAMES = {
    "GitRepository": "git",
    "OCIRepository": "oci",
    "Bucket": "bucket",
    "HelmRepository": "helm",
    "HelmChart": "chart",
    "ExternalArtifact": "external",
}
"""What Flux's commands call the kinds of sources."""
All = Annotated[bool, typer.Option("--all", help="All objects of the namespace.")]
Silent = Annotated[bool, typer.Option("--silent", "-s", help="Without asking.")]
WithSource = Annotated[bool, typer.Option("--with-source", help="Its source first.")]
WithCredentials = Annotated[bool, typer.Option("--with-credentials", help="The Secret with its credentials as well.")]


@dataclass(frozen=True, slots=True)
class Verb:
    """A group of commands. `make` turns a kind into its command; `plural` says that the group speaks of many."""

    name: str
    says: str
    make: Callable[[Kind], Callable[..., None]]
    plural: bool = False


def register(app: typer.Typer) -> None:
    """Add all verbs for all kinds that are built."""
    for verb in VERBS:
        group = typer.Typer(help=f"{verb.says}.", no_args_is_help=True)
        sources = typer.Typer(help=f"{verb.says}, of sources.", no_args_is_help=True)
        app.add_typer(group, name=verb.name)
        group.add_typer(sources, name="sources" if verb.plural else "source")
        for kind in (kind for kind in KINDS if kind.built):
            command = verb.make(kind)
            command.__doc__ = f"{verb.says}: {kind.kind}."
            place, names = (sources, [SOURCE_NAMES[kind.kind]]) if kind.kind in SOURCE_KINDS else (group, _names(kind))
            if verb.plural and place is group:
                names = [kind.plural, *names]
            for position, name in enumerate(names):
                place.command(name, hidden=position > 0)(command)
        if verb.plural:
            sources.command("all", help="List all sources.")(_get_all(lambda kind: kind.kind in SOURCE_KINDS))
            group.command("all", help="List everything that is reconciled.")(_get_all(lambda kind: True))


def _names(kind: Kind) -> list[str]:
    return [kind.singular, *kind.short_names]


def _session(context: typer.Context, namespace: str) -> Session:
    session: Session = context.obj
    session.namespace = namespace
    return session


def _show(context: typer.Context, kinds: list[Kind], namespace: str, watch: bool, name: str) -> None:
    from fluxless.cli import get as work

    shown = run(context.obj, lambda cluster: work.show(cluster, kinds, namespace, console(), name=name, watch=watch))
    if not shown:
        console(error=True).print(f"no objects found in {namespace or 'any'} namespace")


def _get(kind: Kind) -> Callable[..., None]:
    def command(
        context: typer.Context,
        name: SomeName = "",
        namespace: Namespace = DEFAULT_NAMESPACE,
        everywhere: Everywhere = False,
        watch: Watch = False,
    ) -> None:
        _show(context, [kind], "" if everywhere else namespace, watch, name)

    return command


def _get_all(chosen: Callable[[Kind], bool]) -> Callable[..., None]:
    def command(
        context: typer.Context,
        namespace: Namespace = DEFAULT_NAMESPACE,
        everywhere: Everywhere = False,
        watch: Watch = False,
    ) -> None:
        kinds = [kind for kind in KINDS if kind.built and chosen(kind)]
        _show(context, kinds, "" if everywhere else namespace, watch, "")

    return command


def _reconcile(kind: Kind) -> Callable[..., None]:
    def work(context: typer.Context, name: str, namespace: str, with_source: bool, *also: str) -> None:
        from fluxless.cli import change

        session, now = _session(context, namespace), time.time()

        def ask(cluster: Cluster) -> Coroutine[Any, Any, None]:
            return change.reconcile(
                cluster, session, kind, name, console(), with_source=with_source, now=now, also=also
            )

        run(session, ask)

    def source(context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
        work(context, name, namespace, False)

    def consumer(
        context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE, with_source: WithSource = False
    ) -> None:
        work(context, name, namespace, with_source)

    def release(
        context: typer.Context,
        name: Name,
        namespace: Namespace = DEFAULT_NAMESPACE,
        with_source: WithSource = False,
        force: Annotated[bool, typer.Option("--force", help="Release it even if nothing has changed.")] = False,
        reset: Annotated[bool, typer.Option("--reset", help="Count failures from zero.")] = False,
    ) -> None:
        also = ((FORCE_ANNOTATION,) if force else ()) + ((RESET_ANNOTATION,) if reset else ())
        work(context, name, namespace, with_source, *also)

    if kind is HELM_RELEASE:
        return release
    return source if kind.kind in SOURCE_KINDS else consumer


def _set_suspended(kind: Kind, suspended: bool) -> Callable[..., None]:
    def command(context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE) -> None:
        from fluxless.cli import change

        session = _session(context, namespace)
        run(session, lambda cluster: change.set_suspended(cluster, session, kind, name, suspended, console()))

    return command


def _export(kind: Kind) -> Callable[..., None]:
    def work(context: typer.Context, name: str, namespace: str, everything: bool, credentials: bool) -> None:
        from fluxless.cli import export

        typer.echo(
            run(context.obj, lambda cluster: export.text(cluster, kind, namespace, name, everything, credentials)),
            nl=False,
        )

    def source(
        context: typer.Context,
        name: SomeName = "",
        namespace: Namespace = DEFAULT_NAMESPACE,
        everything: All = False,
        with_credentials: WithCredentials = False,
    ) -> None:
        work(context, name, namespace, everything, with_credentials)

    def consumer(
        context: typer.Context, name: SomeName = "", namespace: Namespace = DEFAULT_NAMESPACE, everything: All = False
    ) -> None:
        work(context, name, namespace, everything, False)

    return source if kind.kind in SOURCE_KINDS else consumer


def _delete(kind: Kind) -> Callable[..., None]:
    def command(
        context: typer.Context, name: Name, namespace: Namespace = DEFAULT_NAMESPACE, silent: Silent = False
    ) -> None:
        from fluxless.cli import change

        session = _session(context, namespace)
        sure = None if silent else _confirm
        run(session, lambda cluster: change.delete(cluster, session, kind, name, console(), sure=sure))

    return command


def _confirm(question: str) -> bool:
    return typer.confirm(question, default=False)


VERBS: tuple[Verb, ...] = (
    Verb("get", "List objects and their state", _get, plural=True),
    Verb("reconcile", "Ask for a reconciliation and wait for it", _reconcile),
    Verb("suspend", "Suspend", lambda kind: _set_suspended(kind, True)),
    Verb("resume", "Resume, and wait until it is reconciled", lambda kind: _set_suspended(kind, False)),
    Verb("export", "Print as YAML that can be applied elsewhere", _export),
    Verb("delete", "Delete", _delete),
)

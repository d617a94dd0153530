"""The commands over artifacts in registries: Flux's flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fluxless.cli.flags import words
from fluxless.cli.session import console, run_plain

push = typer.Typer(help="Push artifacts.", no_args_is_help=True)
pull = typer.Typer(help="Pull artifacts.", no_args_is_help=True)
listing = typer.Typer(help="List artifacts.", no_args_is_help=True)
tag = typer.Typer(help="Tag artifacts.", no_args_is_help=True)

Url = Annotated[str, typer.Argument(help="oci://<registry>/<repository>[:<tag>]")]
Creds = Annotated[str, typer.Option(help="<username>[:<password>]; else what `docker login` has left.")]
Provider = Annotated[str, typer.Option(help="generic or azure.")]
Insecure = Annotated[bool, typer.Option("--insecure-registry", help="Allow HTTP, and certificates of anybody.")]
IgnorePaths = Annotated[list[str], typer.Option(help="Patterns to leave out, in the format of .gitignore.")]


@push.callback()
@pull.callback()
@listing.callback()
@tag.callback()
def group() -> None:
    """Flux's artifacts in registries."""


@push.command("artifact")
def push_artifact(
    url: Url,
    path: Annotated[Path, typer.Option("--path", "-f", help="Folder or file to push.")],
    source: Annotated[str, typer.Option(help="Where it comes from, such as the URL of the Git repository.")],
    revision: Annotated[str, typer.Option(help="Its revision, as <branch|tag>@sha1:<commit>.")],
    creds: Creds = "",
    provider: Provider = "generic",
    ignore_paths: IgnorePaths = [],  # noqa: B006
    annotations: Annotated[list[str], typer.Option("--annotations", "-a", help="key=value.")] = [],  # noqa: B006
    output: Annotated[str, typer.Option("--output", "-o", help="json or yaml.")] = "",
    reproducible: Annotated[bool, typer.Option("--reproducible", help="The same bytes at any time.")] = False,
    insecure: Insecure = False,
    resolve_symlinks: Annotated[bool, typer.Option("--resolve-symlinks", help="Pack what links point to.")] = False,
    debug: Annotated[bool, typer.Option("--debug", hidden=True)] = False,
) -> None:
    """Push a folder as an artifact."""
    from fluxless.cli import artifacts as work

    async def put() -> str:
        return await work.push(
            url,
            path,
            work.Access(creds, provider, insecure),
            console(error=bool(output)),
            source=source,
            revision=revision,
            annotations=tuple(annotations),
            ignore=words(ignore_paths),
            reproducible=reproducible,
            links=resolve_symlinks,
            output=output,
        )

    typer.echo(run_plain(put), nl=False)


@pull.command("artifact")
def pull_artifact(
    url: Url,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to unpack into.")],
    creds: Creds = "",
    provider: Provider = "generic",
    insecure: Insecure = False,
) -> None:
    """Pull an artifact and unpack it."""
    from fluxless.cli import artifacts as work

    run_plain(lambda: work.pull(url, output, work.Access(creds, provider, insecure), console()))


@listing.command("artifacts")
@listing.command("artifact", hidden=True)
def list_artifacts(
    url: Url,
    filter_semver: Annotated[str, typer.Option(help="Only tags in this range of versions.")] = "",
    filter_regex: Annotated[str, typer.Option(help="Only tags that match.")] = "",
    creds: Creds = "",
    provider: Provider = "generic",
    insecure: Insecure = False,
) -> None:
    """List the artifacts of a repository."""
    from fluxless.cli import artifacts as work

    access = work.Access(creds, provider, insecure)
    run_plain(lambda: work.show(url, access, console(), semver=filter_semver, regex=filter_regex))


@tag.command("artifact")
def tag_artifact(
    url: Url,
    tags: Annotated[list[str], typer.Option("--tag", help="Further tag; may be given several times.")] = [],  # noqa: B006
    creds: Creds = "",
    provider: Provider = "generic",
    insecure: Insecure = False,
) -> None:
    """Give an artifact further tags."""
    from fluxless.cli import artifacts as work

    run_plain(lambda: work.tag(url, words(tags), work.Access(creds, provider, insecure), console()))


def diff_artifact(
    url: Url,
    path: Annotated[Path, typer.Option("--path", help="Folder or file to compare with.")],
    ignore_paths: IgnorePaths = [],  # noqa: B006
    creds: Creds = "",
    provider: Provider = "generic",
    insecure: Insecure = False,
) -> None:
    """Compare an artifact with a folder."""
    from fluxless.cli import artifacts as work

    access = work.Access(creds, provider, insecure)
    run_plain(lambda: work.diff(url, path, access, console(), ignore=words(ignore_paths)))

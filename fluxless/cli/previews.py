"""The commands `build kustomization` and `diff kustomization`: Flux's flags, turned into what `ahead.py` wants."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fluxless.cli.flags import Name, Namespace, words
from fluxless.cli.session import DEFAULT_NAMESPACE, console, run, run_plain, wrong

build = typer.Typer(help="Build without a cluster being touched.", no_args_is_help=True)
diff = typer.Typer(help="Show what would change in the cluster.", no_args_is_help=True)
FAILED = 2
"""The exit code of a diff that could not be made: 1 means that there are differences."""

Location = Annotated[Path, typer.Option("--path", help="The local folder that spec.path means.")]
File = Annotated[Path | None, typer.Option("--kustomization-file", help="A local file with the Kustomization.")]
IgnorePaths = Annotated[list[str], typer.Option("--ignore-paths", help="Paths to leave out, as in .gitignore.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Kustomizations among the objects as well.")]
LocalSources = Annotated[
    list[str], typer.Option("--local-sources", help="Folders of sources: Kind/namespace/name=folder, with commas.")
]
InMemory = Annotated[bool, typer.Option("--in-memory-build", help="Accepted: your folder is never written to.")]
Remote = Annotated[
    bool, typer.Option("--remote-bases", envvar="FLUXLESS_REMOTE_BASES", help="Fetch bases elsewhere, if the app does.")
]


def _folders(values: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for word in words(values):
        source, sign, folder = word.partition("=")
        if not sign or source.count("/") != 2:
            raise wrong(f"--local-sources {word!r} is not understood", "write it like GitRepository/ns/app=./app")
        if not Path(folder).is_dir():
            raise wrong(f"--local-sources {source}: {folder!r} is no folder", "correct the path")
        found[source] = Path(folder)
    return found


@build.command("kustomization")
@build.command("ks", hidden=True)
def build_kustomization(
    context: typer.Context,
    name: Name,
    path: Location,
    namespace: Namespace = DEFAULT_NAMESPACE,
    kustomization_file: File = None,
    ignore_paths: IgnorePaths = [],  # noqa: B006 -- typer reads it, nobody changes it
    recursive: Recursive = False,
    local_sources: LocalSources = [],  # noqa: B006
    strict_substitute: Annotated[
        bool, typer.Option("--strict-substitute", help="With --dry-run: variables must be set, as they must otherwise.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Without a cluster; needs --kustomization-file.")] = False,
    in_memory_build: InMemory = False,
    remote_bases: Remote = False,
) -> None:
    """Print what a Kustomization would apply from a local folder."""
    from fluxless.cli import build as work
    from fluxless.cli.ahead import Asked

    async def offline() -> str:
        asked = ask()
        if asked.file is None:
            raise wrong("--dry-run needs a Kustomization", "give --kustomization-file")
        return await work.show(asked, None)

    def ask() -> Asked:
        return Asked(
            name,
            namespace,
            _folder(path),
            kustomization_file,
            words(ignore_paths),
            _folders(local_sources),
            recursive,
            strict=strict_substitute or not dry_run,
            missing_is_fine=True,
            remote_bases=remote_bases,
        )

    text = run_plain(offline) if dry_run else run(context.obj, lambda cluster: work.show(ask(), cluster))
    sys.stdout.write(text)


@diff.command("kustomization")
@diff.command("ks", hidden=True)
def diff_kustomization(
    context: typer.Context,
    name: Name,
    path: Location,
    namespace: Namespace = DEFAULT_NAMESPACE,
    kustomization_file: File = None,
    ignore_paths: IgnorePaths = [],  # noqa: B006
    recursive: Recursive = False,
    local_sources: LocalSources = [],  # noqa: B006
    strict_substitute: Annotated[
        bool, typer.Option("--strict-substitute", help="Accepted: variables must be set, as when it is deployed.")
    ] = False,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="The Kustomization of the file may be a new one.")
    ] = False,
    progress_bar: Annotated[bool, typer.Option("--progress-bar/--no-progress-bar", help="On a terminal.")] = True,
    in_memory_build: InMemory = False,
    remote_bases: Remote = False,
) -> None:
    """Show what a local folder would change in the cluster. Exits 0 without differences, 1 with some, 2 on failure."""
    from fluxless.cli import diff as work
    from fluxless.cli.ahead import Asked
    from fluxless.kube.client import Cluster

    async def show(cluster: Cluster) -> int:
        asked = Asked(
            name,
            namespace,
            _folder(path),
            kustomization_file,
            words(ignore_paths),
            _folders(local_sources),
            recursive,
            missing_is_fine=ignore_not_found,
            remote_bases=remote_bases,
        )
        err = console(error=True)
        if not (progress_bar and err.is_terminal):
            return await work.show(asked, cluster, console(), err)
        with err.status("running dry-runs"):
            return await work.show(asked, cluster, console(), err)

    raise SystemExit(run(context.obj, show, failed=FAILED))


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise wrong(f"invalid resource path {str(path)!r}: it is no folder", "give the local folder of spec.path")
    return path

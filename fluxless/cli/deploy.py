"""`fluxless deploy`: package, what would change, deployment, and whether the app then does what it is there for.

It runs in a checkout, where the Bicep files and the pins of the binaries are (docs/decisions/deploy.md).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from fluxless import process
from fluxless.cli import smoke
from fluxless.cli.arm import Azure, Template
from fluxless.cli.session import console, run_plain, wrong
from fluxless.cli.whatif import show

PACKAGE = Path(".fluxless/package/fluxless.zip")
REPOSITORY_READER = "Container Registry Repository Reader"
"""What a registry with ABAC honours in place of AcrPull."""
COMPILE_WITHIN = 120.0
PACK_WITHIN = 1800.0
"""Seconds; the binaries may have to be built."""


def deploy(
    context: typer.Context,
    group: Annotated[str, typer.Option("--resource-group", "-g", help="Resource group; it must exist.")],
    subscription: Annotated[str, typer.Option(envvar="AZURE_SUBSCRIPTION_ID", help="Its subscription, by id.")],
    parameters: Annotated[Path, typer.Option(help="A .bicepparam file.")] = Path("infra/bicep/small.bicepparam"),
    package: Annotated[Path | None, typer.Option(help="A zip that is there already (make package).")] = None,
    only_what_if: Annotated[bool, typer.Option("--what-if", help="Say what would change, and end.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    skip_smoke_test: Annotated[bool, typer.Option("--skip-smoke-test", help="End after the deployment.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds that roles and the app may take.")] = 300.0,
) -> None:
    """Deploy Fluxless to Azure: package, what-if, deployment, smoke test."""

    async def work() -> int:
        return await run(
            azure(subscription),
            group,
            parameters,
            package,
            only_what_if,
            yes,
            skip_smoke_test,
            wait,
            context.obj.functions_key,
            console(),
        )

    if code := run_plain(work):
        raise SystemExit(code)


def azure(subscription: str) -> Azure:
    """The real one; tests put another in its place."""
    return Azure(subscription)


async def run(
    cloud: Azure,
    group: str,
    parameters: Path,
    package: Path | None,
    only_what_if: bool,
    yes: bool,
    skip_smoke_test: bool,
    wait: float,
    key: str,
    out: Console,
) -> int:
    """The whole of it; the exit code. Raises `Problem`."""
    template = await compiled(parameters)
    zipped = None if only_what_if else await packed(package)
    if zipped is not None:
        out.print(f"package: {zipped}, {zipped.stat().st_size / 2**20:.1f} MiB", markup=False)
    name = f"fluxless-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    show(await cloud.what_if(group, name, template), out)
    if zipped is None:
        return 0
    if not yes and not typer.confirm("Deploy?"):
        return 1
    outputs = await cloud.deploy(group, name, template)
    target = aimed(group, template, outputs, key)
    out.print(f"[green]✔[/green] deployed {name}: {target.host}")
    if target.container:
        out.print("- the app is a container: it brings its own package")
    else:
        out.print("- the package is uploaded, and its Python packages are installed: this takes minutes")
        await cloud.publish(target.host, zipped, wait)
        out.print("[green]✔[/green] the package is in place")
    if skip_smoke_test:
        return 0
    results = await smoke.run(cloud, target, wait, lambda words: out.print(f"- {words}", markup=False))
    for result in results:
        sign = "-" if result.skipped else "[green]✔[/green]" if result.ok else "[red]✗[/red]"
        sign = "[yellow]![/yellow]" if result.warning else sign
        out.print(f"{sign} {escape(result.text)}")
        if result.step:
            out.print(f"    {result.step}", markup=False)
    if not all(result.ok for result in results):
        out.print("[red]✗[/red] not all is well: see above")
        return 1
    whole = not any(result.skipped for result in results)
    out.print("[green]✔[/green] the app does its work" if whole else "[green]✔[/green] what was looked at is well")
    return 0


def aimed(group: str, template: Template, outputs: Mapping[str, Any], key: str) -> smoke.Target:
    """The app that a deployment has made. Raises `Problem` where its outputs do not say which."""
    host, app = str(outputs.get("hostName") or ""), str(outputs.get("appName") or "")
    if not host or not app:
        step = "deploy infra/bicep/main.bicep, or a template with the same outputs"
        raise wrong("the deployment gives no hostName and appName", step)
    scopes = {str(one.get("name")): str(one.get("resourceId")) for one in template.value("clusters") or []}
    roles: dict[str, str] = {}
    registries = template.value("registries") or []
    servers = _servers(registries, outputs.get("loginServers"))
    for server, one in zip(servers, registries, strict=True):
        scopes[server] = str(one.get("resourceId"))
        if one.get("abac"):
            roles[server] = REPOSITORY_READER
    return smoke.Target(
        group,
        app,
        host,
        str(outputs.get("identityPrincipalId") or "<principal id of the identity>"),
        scopes,
        servers,
        roles,
        bound=template.value("azureRbac") is False,
        container=bool(template.value("image")),
        key=key,
        reader=str(outputs.get("sourcePrincipalId") or "") if template.value("sourceIdentity") else "",
    )


def _servers(registries: Sequence[Mapping[str, Any]], told: Any) -> tuple[str, ...]:
    """Login servers: as ARM tells them, since a registry with a domain name label is not at its own name, and in other
    clouds at another domain; else as they mostly are.
    """
    if isinstance(told, list) and len(told) == len(registries):
        return tuple(str(server).lower() for server in told)
    return tuple(f"{str(one.get('resourceId')).rpartition('/')[2].lower()}.azurecr.io" for one in registries)


async def packed(package: Path | None) -> Path:
    """The zip: as given, else built. Raises `Problem`."""
    if package is not None:
        if not _is_file(package):
            raise wrong(f"there is no {package}", "make it with `make package`, or leave --package out")
        return package
    if not _is_file(Path("tools/package.py")):
        raise wrong("this is no checkout of Fluxless", "run it in one, or give --package")
    done = await process.run([sys.executable, "-m", "tools.package", PACKAGE], env=os.environ, timeout=PACK_WITHIN)
    if done.code:
        raise wrong(f"the package was not built: {_last(done)}", "run `make package` to see all that it says")
    return PACKAGE


async def compiled(parameters: Path) -> Template:
    """ARM's JSON of a .bicepparam file, by the user's own compiler. Raises `Problem`."""
    if not _is_file(parameters):
        raise wrong(f"there is no {parameters}", "give --parameters; infra/bicep/small.bicepparam is one to copy")
    if bicep := shutil.which("bicep"):
        command = [bicep, "build-params", str(parameters), "--stdout"]
    elif az := shutil.which("az"):
        command = [az, "bicep", "build-params", "--file", str(parameters), "--stdout"]
    else:
        raise wrong("neither bicep nor az is on the PATH", "install the Bicep CLI or the Azure CLI")
    done = await process.run(command, env=os.environ, timeout=COMPILE_WITHIN)
    if done.code:
        raise wrong(f"{parameters} does not compile: {_last(done)}", "correct what the compiler names")
    try:
        found = json.loads(done.stdout)
        template = json.loads(found["templateJson"])
        return Template(template, json.loads(found["parametersJson"]).get("parameters") or {})
    except (ValueError, KeyError, AttributeError) as error:
        words = f"the compiler's output for {parameters} is not understood: {type(error).__name__}"
        raise wrong(words, "update the Bicep CLI") from None


def _is_file(path: Path) -> bool:
    return path.is_file()


def _last(done: process.Finished) -> str:
    lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return " ".join(lines[-3:]) or f"exit code {done.code}"

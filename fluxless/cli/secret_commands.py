"""The commands `create secret …` and `trigger receiver`: Flux's flags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from fluxless.api.duration import parse_duration
from fluxless.cli.creates import deliver
from fluxless.cli.flags import Export, Name, Namespace, Text
from fluxless.cli.session import DEFAULT_NAMESPACE, console, run_plain

secret = typer.Typer(help="Create or update Secrets.", no_args_is_help=True)
trigger = typer.Typer(help="Trigger receivers.", no_args_is_help=True)

Username = Annotated[str, typer.Option("--username", "-u")]
Password = Annotated[str, typer.Option("--password", "-p")]
File = Annotated[Path | None, typer.Option()]


@secret.callback()
@trigger.callback()
def group() -> None:
    """As Flux's commands of the same names."""


def _keep(context: typer.Context, what: str, make: Callable[[], Awaitable[dict[str, Any]]], export: bool) -> None:
    """Print the Secret, or apply it."""
    from fluxless.cli import secrets as work

    deliver(context.obj, make, lambda cluster, obj: work.apply(cluster, obj, what, console()), export)


@secret.command("git")
def secret_git(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    url: Text = "",
    username: Username = "",
    password: Password = "",
    bearer_token: Text = "",
    ca_crt_file: File = None,
    private_key_file: File = None,
    ssh_key_algorithm: Text = "ecdsa",
    ssh_rsa_bits: Annotated[int, typer.Option()] = 2048,
    ssh_ecdsa_curve: Text = "p384",
    export: Export = False,
) -> None:
    """Create or update a Secret for a Git repository."""
    from fluxless.cli import secrets as work

    async def make() -> dict[str, Any]:
        data = await work.git(
            url,
            username=username,
            password=password,
            bearer=bearer_token,
            authority=work.read(ca_crt_file, "--ca-crt-file"),
            key=work.read(private_key_file, "--private-key-file"),
            algorithm=ssh_key_algorithm,
            bits=ssh_rsa_bits,
            curve=ssh_ecdsa_curve,
            out=console(error=export),
        )
        return work.secret(name, namespace, data)

    _keep(context, "git", make, export)


@secret.command("oci")
def secret_oci(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    url: Text = "",
    username: Username = "",
    password: Password = "",
    export: Export = False,
) -> None:
    """Create or update a Secret for a registry."""
    from fluxless.cli import secrets as work

    async def make() -> dict[str, Any]:
        return work.secret(name, namespace, work.oci(url, username, password), "kubernetes.io/dockerconfigjson")

    _keep(context, "oci", make, export)


@secret.command("helm")
def secret_helm(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    username: Username = "",
    password: Password = "",
    export: Export = False,
) -> None:
    """Create or update a Secret for a Helm repository."""
    from fluxless.cli import secrets as work

    async def make() -> dict[str, Any]:
        return work.secret(name, namespace, {"username": username, "password": password})

    _keep(context, "helm", make, export)


@secret.command("tls")
def secret_tls(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    ca_crt_file: File = None,
    tls_crt_file: File = None,
    tls_key_file: File = None,
    export: Export = False,
) -> None:
    """Create or update a Secret with TLS certificates."""
    from fluxless.cli import secrets as work

    async def make() -> dict[str, Any]:
        files = {"--ca-crt-file": ca_crt_file, "--tls-crt-file": tls_crt_file, "--tls-key-file": tls_key_file}
        return work.secret(name, namespace, work.tls(*(work.read(path, flag) for flag, path in files.items())))

    _keep(context, "tls", make, export)


@secret.command("proxy")
def secret_proxy(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    address: Text = "",
    username: Username = "",
    password: Password = "",
    export: Export = False,
) -> None:
    """Create or update a Secret with a proxy."""
    from fluxless.cli import secrets as work

    async def make() -> dict[str, Any]:
        return work.secret(name, namespace, work.proxy(address, username, password))

    _keep(context, "proxy", make, export)


@secret.command("githubapp")
def secret_github_app(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    app_id: Text = "",
    app_installation_id: Text = "",
    app_installation_owner: Text = "",
    app_private_key: File = None,
    app_base_url: Text = "",
    export: Export = False,
) -> None:
    """Create or update a Secret with a GitHub App."""
    from fluxless.cli import secrets as work

    async def make() -> dict[str, Any]:
        key = work.read(app_private_key, "--app-private-key")
        data = work.github_app(app_id, app_installation_id, app_installation_owner, key, app_base_url)
        return work.secret(name, namespace, data)

    _keep(context, "githubapp", make, export)


@secret.command("notation")
def secret_notation(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    trust_policy_file: File = None,
    ca_cert_file: Annotated[list[Path], typer.Option()] = [],  # noqa: B006
    export: Export = False,
) -> None:
    """Create or update a Secret with a trust policy of the Notary Project."""
    from fluxless.cli import secrets as work

    async def make() -> dict[str, Any]:
        return work.secret(name, namespace, work.notation(trust_policy_file, ca_cert_file))

    _keep(context, "notation", make, export)


@secret.command("receiver")
def secret_receiver(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    type_: Annotated[str, typer.Option("--type")] = "generic",
    token: Text = "",
    hostname: Text = "",
    email_claim: Text = "",
    audience_claim: Text = "",
    export: Export = False,
) -> None:
    """Create or update a Secret with the token of a Receiver."""
    from fluxless.cli import secrets as work

    async def make() -> dict[str, Any]:
        return work.receiver(name, namespace, type_, token, hostname, email_claim, audience_claim)

    _keep(context, "receiver", make, export)


@trigger.command("receiver")
def trigger_receiver(
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    url: Text = "",
    type_: Annotated[str, typer.Option("--type")] = "generic",
    token: Text = "",
    oidc_provider: Text = "",
    oidc_token: Text = "",
    oidc_audience: Text = "",
    payload: Text = "{}",
    retries: Annotated[int, typer.Option()] = 10,
    retry_delay: Text = "10s",
) -> None:
    """Send a webhook to a Receiver."""
    from fluxless.cli.trigger import Trigger

    flags = (url, type_, token, oidc_provider, oidc_token, oidc_audience, payload, retries)
    run_plain(lambda: Trigger(name, namespace, *flags, parse_duration(retry_delay)).send(console()))

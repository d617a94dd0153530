"""The commands `create source …`, `create receiver`, `create secret …` and `trigger receiver`: Flux's flags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluxless.api.duration import parse_duration
from fluxless.cli.flags import Name, Namespace, words
from fluxless.cli.session import DEFAULT_NAMESPACE, Session, console, run, run_plain

if TYPE_CHECKING:
    from fluxless.kube.client import Cluster

source = typer.Typer(help="Create or update sources.", no_args_is_help=True)
secret = typer.Typer(help="Create or update Secrets.", no_args_is_help=True)
trigger = typer.Typer(help="Trigger receivers.", no_args_is_help=True)

Export = Annotated[bool, typer.Option("--export", help="Print it instead.")]
Interval = Annotated[str, typer.Option(help="How often it is looked at.")]
Labels = Annotated[list[str], typer.Option("--label", help="key=value.")]
Ignore = Annotated[list[str], typer.Option("--ignore-paths", help="Patterns to leave out.")]
SecretRef = Annotated[str, typer.Option(help="Secret with credentials.")]
ProxyRef = Annotated[str, typer.Option(help="Secret with a proxy.")]
Text = Annotated[str, typer.Option()]
Username = Annotated[str, typer.Option("--username", "-u")]
Password = Annotated[str, typer.Option("--password", "-p")]
File = Annotated[Path | None, typer.Option()]


@source.callback()
@secret.callback()
@trigger.callback()
def group() -> None:
    """As Flux's commands of the same names."""


def _put(context: typer.Context, namespace: str, make: Callable[[], dict[str, Any]], export: bool) -> None:
    """Print the object, or apply it and wait for it."""
    from fluxless.cli import create as work
    from fluxless.cli.export import dump

    session: Session = context.obj
    session.namespace = namespace

    async def text() -> str:
        return f"---\n{dump(make())}"

    async def put(cluster: Cluster) -> None:
        await work.apply(cluster, session, make(), console())

    if export:
        typer.echo(run_plain(text), nl=False)
    else:
        run(session, put)


@source.command("git")
def create_git(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    url: Text = "",
    branch: Text = "",
    tag: Text = "",
    tag_semver: Text = "",
    ref_name: Text = "",
    commit: Text = "",
    interval: Interval = "1m0s",
    provider: Text = "",
    secret_ref: SecretRef = "",
    proxy_secret_ref: ProxyRef = "",
    recurse_submodules: Annotated[bool, typer.Option("--recurse-submodules")] = False,
    sparse_checkout_paths: Annotated[list[str], typer.Option()] = [],  # noqa: B006
    ignore_paths: Ignore = [],  # noqa: B006
    label: Labels = [],  # noqa: B006
    export: Export = False,
) -> None:
    """Create or update a GitRepository."""
    from fluxless.cli import sources as work

    reference = {"branch": branch, "tag": tag, "semver": tag_semver, "name": ref_name, "commit": commit}
    _put(
        context,
        namespace,
        lambda: work.git(
            name,
            namespace,
            words(label),
            url=url,
            interval=interval,
            reference=reference,
            provider=provider,
            secret=secret_ref,
            proxy=proxy_secret_ref,
            recurse=recurse_submodules,
            sparse=words(sparse_checkout_paths),
            ignore=words(ignore_paths),
        ),
        export,
    )


@source.command("oci")
def create_oci(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    url: Text = "",
    tag: Text = "",
    tag_semver: Text = "",
    digest: Text = "",
    interval: Interval = "1m0s",
    provider: Text = "",
    secret_ref: SecretRef = "",
    proxy_secret_ref: ProxyRef = "",
    service_account: Text = "",
    cert_ref: Text = "",
    layer_selector: Text = "",
    verify_provider: Text = "",
    verify_secret_ref: Text = "",
    verify_issuer: Text = "",
    verify_subject: Text = "",
    insecure: Annotated[bool, typer.Option("--insecure")] = False,
    ignore_paths: Ignore = [],  # noqa: B006
    label: Labels = [],  # noqa: B006
    export: Export = False,
) -> None:
    """Create or update an OCIRepository."""
    from fluxless.cli import sources as work

    reference = {"tag": tag, "semver": tag_semver, "digest": digest}
    _put(
        context,
        namespace,
        lambda: work.oci(
            name,
            namespace,
            words(label),
            url=url,
            interval=interval,
            reference=reference,
            provider=provider,
            secret=secret_ref,
            proxy=proxy_secret_ref,
            account=service_account,
            certificate=cert_ref,
            layer=layer_selector,
            insecure=insecure,
            ignore=words(ignore_paths),
            verify_provider=verify_provider,
            verify_secret=verify_secret_ref,
            verify_issuer=verify_issuer,
            verify_subject=verify_subject,
        ),
        export,
    )


@source.command("bucket")
def create_bucket(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    bucket_name: Text = "",
    endpoint: Text = "",
    region: Text = "",
    interval: Interval = "1m0s",
    provider: Text = "generic",
    secret_ref: SecretRef = "",
    proxy_secret_ref: ProxyRef = "",
    insecure: Annotated[bool, typer.Option("--insecure")] = False,
    ignore_paths: Ignore = [],  # noqa: B006
    label: Labels = [],  # noqa: B006
    export: Export = False,
) -> None:
    """Create or update a Bucket."""
    from fluxless.cli import sources as work

    _put(
        context,
        namespace,
        lambda: work.bucket(
            name,
            namespace,
            words(label),
            bucket_name=bucket_name,
            endpoint=endpoint,
            region=region,
            interval=interval,
            provider=provider,
            secret=secret_ref,
            proxy=proxy_secret_ref,
            insecure=insecure,
            ignore=words(ignore_paths),
        ),
        export,
    )


@source.command("helm")
def create_helm(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    url: Text = "",
    interval: Interval = "1m0s",
    secret_ref: SecretRef = "",
    oci_provider: Text = "",
    pass_credentials: Annotated[bool, typer.Option("--pass-credentials")] = False,
    label: Labels = [],  # noqa: B006
    export: Export = False,
) -> None:
    """Create or update a HelmRepository."""
    from fluxless.cli import sources as work

    flags = {"url": url, "interval": interval, "secret": secret_ref, "provider": oci_provider}
    _put(
        context,
        namespace,
        lambda: work.helm(name, namespace, words(label), **flags, pass_credentials=pass_credentials),
        export,
    )


@source.command("chart")
def create_chart(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    source_: Annotated[str, typer.Option("--source", help="<kind>/<name>.")] = "",
    chart: Text = "",
    chart_version: Text = "",
    interval: Interval = "1m0s",
    reconcile_strategy: Text = "ChartVersion",
    verify_provider: Text = "",
    verify_secret_ref: Text = "",
    verify_issuer: Text = "",
    verify_subject: Text = "",
    label: Labels = [],  # noqa: B006
    export: Export = False,
) -> None:
    """Create or update a HelmChart."""
    from fluxless.cli import sources as work

    flags = {
        "source": source_,
        "chart": chart,
        "version": chart_version,
        "interval": interval,
        "strategy": reconcile_strategy,
        "verify_provider": verify_provider,
        "verify_secret": verify_secret_ref,
        "verify_issuer": verify_issuer,
        "verify_subject": verify_subject,
    }
    _put(context, namespace, lambda: work.chart(name, namespace, words(label), **flags), export)


def create_receiver(
    context: typer.Context,
    name: Name,
    namespace: Namespace = DEFAULT_NAMESPACE,
    type_: Annotated[str, typer.Option("--type", help="Who sends.")] = "",
    secret_ref: SecretRef = "",
    event: Annotated[list[str], typer.Option(help="Event that is accepted.")] = [],  # noqa: B006
    resource: Annotated[list[str], typer.Option(help="<kind>/<name>[.<namespace>].")] = [],  # noqa: B006
    label: Labels = [],  # noqa: B006
    export: Export = False,
) -> None:
    """Create or update a Receiver, and print where its webhooks go."""
    from fluxless.cli import sources as work

    _put(
        context,
        namespace,
        lambda: work.receiver(
            name,
            namespace,
            words(label),
            type=type_,
            secret=secret_ref,
            events=words(event),
            resources=words(resource),
        ),
        export,
    )


def _keep(context: typer.Context, what: str, make: Callable[[], Awaitable[dict[str, Any]]], export: bool) -> None:
    """Print the Secret, or apply it."""
    from fluxless.cli import secrets as work
    from fluxless.cli.export import dump

    async def text() -> str:
        return f"---\n{dump(await make())}"

    async def put(cluster: Cluster) -> None:
        await work.apply(cluster, await make(), what, console())

    if export:
        typer.echo(run_plain(text), nl=False)
    else:
        run(context.obj, put)


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

"""The commands `create source …` and `create receiver`: Flux's flags."""

from __future__ import annotations

from typing import Annotated

import typer

from fluxless.cli.creates import put
from fluxless.cli.flags import Export, Labels, Name, Namespace, Text, words
from fluxless.cli.session import DEFAULT_NAMESPACE

source = typer.Typer(help="Create or update sources.", no_args_is_help=True)

Interval = Annotated[str, typer.Option(help="How often it is looked at.")]
Ignore = Annotated[list[str], typer.Option("--ignore-paths", help="Patterns to leave out.")]
SecretRef = Annotated[str, typer.Option(help="Secret with credentials.")]
ProxyRef = Annotated[str, typer.Option(help="Secret with a proxy.")]


@source.callback()
def group() -> None:
    """As Flux's commands of the same names."""


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
    put(
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
    put(
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

    put(
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
    put(
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
    put(context, namespace, lambda: work.chart(name, namespace, words(label), **flags), export)


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

    put(
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

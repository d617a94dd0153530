"""Who asks a registry for an OCIRepository, or for the charts of a HelmRepository (OR-4, HRP-4, HRP-7, AZ-11)."""

from __future__ import annotations

import contextlib

from fluxless.api import reasons
from fluxless.auth.purposes import ACR, host_of, hosts_of, listed
from fluxless.oci.auth import ANONYMOUS, Credentials, of_docker_config
from fluxless.oci.reference import Repository
from fluxless.source import credentials
from fluxless.source.base import SourceRun, invalid


async def who_asks(
    run: SourceRun, repository: Repository, stack: contextlib.AsyncExitStack, *, basic: bool = False
) -> Credentials:
    """Of the Secret, of the service account's pull secrets, else of the provider. `basic` allows a Secret with username
    and password. An identity is open as long as the stack.
    """
    names = [name for name in [credentials.name_of(run, "secretRef")] if name]
    account = str(run.spec.get("serviceAccountName") or "")
    pulls = await _pull_secrets(run, account) if account else []
    for field, name in [*(("secretRef", n) for n in names), *(("serviceAccountName", n) for n in pulls)]:
        data = await credentials.secret(run, name, field)
        if basic and data.get("username"):
            username, password = (data.get(key, b"").decode(errors="replace") for key in ("username", "password"))
            return Credentials(username, password)
        try:
            found = of_docker_config(data, repository)
        except ValueError as error:
            step = "make it with `flux create secret oci` or `kubectl create secret docker-registry`"
            raise credentials.refused(run, f"secret '{run.ref.namespace}/{name}' {error}", step) from None
        if found is not None:
            return found
    if names or pulls:
        return ANONYMOUS  # Flux: a Secret for other registries leaves this one anonymous
    match str(run.spec.get("provider") or "generic"):
        case "generic":
            return ANONYMOUS
        case "azure":
            return await _azure(run, repository, stack)
        case other:
            text = f"provider '{other}' is not supported by Fluxless, which runs in Azure"
            raise invalid(run, reasons.INVALID_PROVIDER, text, "use provider azure, or generic with a Secret")


async def _azure(run: SourceRun, repository: Repository, stack: contextlib.AsyncExitStack) -> Credentials:
    if not listed(ACR, host_of(f"https://{repository.host}")):
        known = ", ".join(hosts_of(ACR))
        step = f"use provider generic, or a login server that ends in one of {known}, which FLUXLESS_ACR_SUFFIXES says"
        text = f"failed to get credential from azure: '{repository.host}' is no Azure container registry"
        raise credentials.refused(run, text, step)
    return Credentials(identity=await stack.enter_async_context(credentials.identity(run)))


async def _pull_secrets(run: SourceRun, account: str) -> list[str]:
    resource = await run.cluster.resource("v1", "ServiceAccount")
    found = await run.cluster.get(resource, account, run.ref.namespace)
    if found is None:
        text = f"service account '{run.ref.namespace}/{account}' not found"
        raise credentials.refused(run, text, "create it, or correct spec.serviceAccountName")
    return [str(entry["name"]) for entry in found.get("imagePullSecrets") or [] if entry.get("name")]

"""By which credentials a GitRepository asks its remote (GR-4..7, AZ-12). FetchFailed AuthenticationFailed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fluxless.api import reasons
from fluxless.api.failure import Problem
from fluxless.auth.purposes import AZURE_DEVOPS
from fluxless.git import github
from fluxless.git.auth import Auth, SecretProblem
from fluxless.git.errors import GitProblem
from fluxless.reconcile.errors import Transient
from fluxless.source import credentials
from fluxless.source.base import SourceRun, invalid


async def access(run: SourceRun) -> Auth:
    """Everything that the spec says about it."""
    name = credentials.name_of(run, "secretRef")
    data = await credentials.secret(run, name, "secretRef") if name else {}
    full, proxy = f"{run.ref.namespace}/{name}", await credentials.proxy(run)
    try:
        match str(run.spec.get("provider") or "generic"):
            case "generic":
                if data.get(github.APP_ID):
                    words = f"secretRef '{full}' has github app data but provider is not set to github"
                    raise invalid(run, reasons.INVALID_PROVIDER, words, "set spec.provider to github")
                auth = Auth.of_secret(data, full, run.url) if name else Auth()
            case "github":
                auth = await _github(run, data, full)
            case "azure":
                auth = await _azure(run, data, full)
            case other:
                words = f"provider '{other}' is not supported by Fluxless, which runs in Azure"
                raise invalid(run, reasons.INVALID_PROVIDER, words, "use provider generic, azure or github")
    except SecretProblem as problem:
        raise Transient(reasons.AUTHENTICATION_FAILED, problem.failures, condition=reasons.FETCH_FAILED) from problem
    except GitProblem as problem:
        raise Transient(reasons.AUTHENTICATION_FAILED, problem.failures, condition=reasons.FETCH_FAILED) from problem
    return replace(auth, proxy=proxy)


async def _github(run: SourceRun, data: Mapping[str, bytes], full: str) -> Auth:
    if not data.get(github.APP_ID):
        words = "secretRef with github app data must be specified when provider is set to github"
        step = f"give a Secret with {github.APP_ID}, {github.INSTALLATION} and {github.KEY}"
        raise invalid(run, reasons.INVALID_PROVIDER, words, step)
    token = await github.token(data, full, proxy=await credentials.proxy(run), timeout=run.timeout)
    base = Auth.of_secret({key: data[key] for key in ("ca.crt",) if key in data}, full, run.url)
    return replace(base, username=github.USERNAME, password=token)


async def _azure(run: SourceRun, data: Mapping[str, bytes], full: str) -> Auth:
    if not run.url.startswith("https://"):
        words = f"provider azure needs an https URL, not '{run.url.partition(':')[0]}'"
        step = "write it like https://dev.azure.com/<org>/<project>/_git/<repository>"
        raise invalid(run, reasons.INVALID_PROVIDER, words, step)
    base = Auth.of_secret({key: data[key] for key in ("ca.crt",) if key in data}, full, run.url)
    async with credentials.identity(run) as identity:
        try:
            proxy = await credentials.proxy(run)
            return replace(base, bearer=await identity.token(AZURE_DEVOPS, run.url, tls=base.tls, proxy=proxy))
        except Problem as problem:
            raise Transient(
                reasons.AUTHENTICATION_FAILED, problem.failures, condition=reasons.FETCH_FAILED
            ) from problem

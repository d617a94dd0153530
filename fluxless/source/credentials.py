"""What sources read from Secrets of their namespace, and by whose identity they ask (CM-18, AZ-1, AZ-2).

Every error names the Secret and the key, or the identity and the setting, that is missing (FetchFailed
AuthenticationFailed).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.identity import Identity, of_sources
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.reconcile.tokens import workload
from fluxless.source.base import SourceRun
from fluxless.transport import Proxy, Tls


def refused(run: SourceRun, message: str, next_step: str, *, what: str = "") -> Transient:
    """The error of credentials that cannot be used."""
    failure = Failure(FailureClass.SOURCE_AUTH, f"{what}{message}", str(run.ref), next_step=next_step)
    return Transient(reasons.AUTHENTICATION_FAILED, failure, condition=reasons.FETCH_FAILED)


def name_of(run: SourceRun, field: str) -> str:
    """The name in `spec.<field>`, a reference to a Secret; empty for none."""
    return str((run.spec.get(field) or {}).get("name") or "")


async def secret(run: SourceRun, name: str, field: str) -> dict[str, bytes]:
    """The data of a Secret that `spec.<field>` names."""
    data = await run.survey.references(run.cluster).secret(run.ref.namespace, name)
    if data is None:
        full = f"{run.ref.namespace}/{name}"
        raise refused(run, f"secret '{full}' not found", f"create the Secret, or correct spec.{field}")
    return data


async def tls(run: SourceRun, *, insecure: bool = False) -> Tls:
    """Of `spec.certSecretRef`."""
    name = name_of(run, "certSecretRef")
    if not name:
        return Tls(insecure=insecure)
    data = await secret(run, name, "certSecretRef")
    try:
        found = Tls.of_secret(data, insecure=insecure)
        if not found.ca and not found.certificate:
            raise ValueError("has none of the keys ca.crt, tls.crt and tls.key")
        found.context()
    except ValueError as error:
        step = "correct the Secret of spec.certSecretRef"
        raise refused(run, f"secret '{run.ref.namespace}/{name}' {error}", step) from None
    return found


async def proxy(run: SourceRun) -> Proxy | None:
    """Of `spec.proxySecretRef`."""
    name = name_of(run, "proxySecretRef")
    if not name:
        return None
    data = await secret(run, name, "proxySecretRef")
    try:
        return Proxy.of_secret(data)
    except ValueError as error:
        full, step = f"{run.ref.namespace}/{name}", "correct the Secret of spec.proxySecretRef"
        raise refused(run, f"secret '{full}' {error}", step, what="failed to get proxy address: ") from None


@contextlib.asynccontextmanager
async def identity(run: SourceRun) -> AsyncIterator[Identity]:
    """Of `spec.serviceAccountName` (AZ-2, behind its gate), else that of the app for sources."""
    account = str(run.spec.get("serviceAccountName") or "")
    if not account:
        yield of_sources(run.services.settings.identity_client_id)
        return
    if not run.services.settings.object_level_identity:
        text = "to use spec.serviceAccountName for provider authentication, FLUXLESS_OBJECT_LEVEL_IDENTITY must be true"
        step = "set this app setting, or leave spec.serviceAccountName out"
        raise Stalled(
            reasons.FEATURE_GATE_DISABLED, Failure(FailureClass.FORBIDDEN, text, str(run.ref), next_step=step)
        )
    try:
        found = await (await workload(run.cluster, run.ref.namespace, account)).identity()
    except Problem as problem:
        raise Transient(reasons.AUTHENTICATION_FAILED, problem.failures, condition=reasons.FETCH_FAILED) from problem
    try:
        yield found
    finally:
        await found.close()

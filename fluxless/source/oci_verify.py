"""Is the image signed by somebody whom `spec.verify` trusts (OR-5, OR-6)? SourceVerified=False VerificationError."""

from __future__ import annotations

from typing import Any

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.oci import cosign
from fluxless.oci.client import Registry
from fluxless.oci.errors import RegistryProblem
from fluxless.reconcile.errors import Transient
from fluxless.source import credentials
from fluxless.source.base import SourceRun


async def verify(run: SourceRun, registry: Registry, digest: str) -> None:
    """Returns when it is."""
    wanted: dict[str, Any] = run.spec["verify"]
    provider = str(wanted.get("provider") or "cosign")
    secret = str((wanted.get("secretRef") or {}).get("name") or "")
    data = await credentials.secret(run, secret, "verify.secretRef")
    keys: list[Any] = []
    for name in sorted(data):
        if name.endswith(".pub"):
            try:
                keys.append(cosign.public_key(data[name]))
            except ValueError as error:
                full, step = f"{run.ref.namespace}/{secret}", "correct the Secret of spec.verify.secretRef"
                raise _unverified(run, provider, f"key '{name}' of secret '{full}' {error}", step) from None
    if not keys:
        full, step = f"{run.ref.namespace}/{secret}", "put the public key there as cosign.pub"
        raise _unverified(run, provider, f"secret '{full}' has no key that ends in .pub", step)
    try:
        if await cosign.verify(registry, digest, keys):
            return
    except RegistryProblem as problem:
        raise _unverified(run, provider, problem.failures[0].message, problem.failures[0].next_step) from problem
    words = f"no matching signatures were found for '{registry.repository}@{digest}'"
    raise _unverified(run, provider, words, "sign it with `cosign sign --key`, or add the public key to the Secret")


def _unverified(run: SourceRun, provider: str, words: str, next_step: str) -> Transient:
    text = f"failed to verify the signature using provider '{provider}': {words}"
    failure = Failure(FailureClass.SOURCE_AUTH, text, str(run.ref), next_step=next_step)
    run.status.mark(reasons.SOURCE_VERIFIED, "False", reasons.VERIFICATION_ERROR, text)
    return Transient(reasons.VERIFICATION_ERROR, failure)

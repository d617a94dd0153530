"""Is the image signed by somebody whom `spec.verify` trusts (OR-5, OR-6)? SourceVerified=False VerificationError."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.oci import cosign, keyless, layout
from fluxless.oci.client import Registry
from fluxless.oci.errors import RegistryProblem
from fluxless.patterns import InvalidPattern, regex
from fluxless.process import ProcessProblem
from fluxless.reconcile.errors import Transient
from fluxless.render import notation
from fluxless.render.notation import NotationRefuses
from fluxless.source import credentials
from fluxless.source.base import SourceRun

TRUSTED_ROOT = "trusted_root.json"
TRUST_POLICY = "trustpolicy.json"


async def verify(run: SourceRun, registry: Registry, digest: str, told: str) -> None:
    """Returns when it is, and says so in SourceVerified; `told` names what is verified. A trust policy of notation that
    skips verification, or only logs, leaves SourceVerified unsaid.
    """
    wanted: dict[str, Any] = run.spec["verify"]
    try:
        if wanted.get("provider") == "notation":
            done = await _by_notation(run, registry, digest)
        else:
            done = await _by_cosign(run, registry, digest)
    except (RegistryProblem, NotationRefuses, ProcessProblem) as problem:
        raise _unverified(run, problem.failures[0].message, problem.failures[0].next_step) from problem
    if done:
        run.status.mark(reasons.SOURCE_VERIFIED, "True", reasons.SUCCEEDED, f"verified signature of {told}")
    else:
        run.status.unmark(reasons.SOURCE_VERIFIED)


def _name(run: SourceRun, field: str) -> str:
    return str((run.spec["verify"].get(field) or {}).get("name") or "")


async def _by_cosign(run: SourceRun, registry: Registry, digest: str) -> bool:
    secret = _name(run, "secretRef")
    signers = await _keys(run, secret) if secret else await _identities(run)
    try:
        await cosign.verify(registry, digest, signers)
    except cosign.Unverified as problem:
        words = f"no matching signatures were found for '{registry.repository}@{digest}'"
        if said := str(problem):
            words = f"{words}: {said}"
        step = "sign it with `cosign sign --key`, or add the public key to the Secret"
        if not secret:
            step = "sign it with `cosign sign`, or correct spec.verify.matchOIDCIdentity"
        raise _unverified(run, words, step) from problem
    return True


async def _keys(run: SourceRun, secret: str) -> cosign.Signers:
    data = await credentials.secret(run, secret, "verify.secretRef")
    full = f"{run.ref.namespace}/{secret}"
    keys: list[Any] = []
    for name in sorted(data):
        if name.endswith(".pub"):
            try:
                keys.append(cosign.public_key(data[name]))
            except ValueError as error:
                step = "correct the Secret of spec.verify.secretRef"
                raise _unverified(run, f"key '{name}' of secret '{full}' {error}", step) from None
    if not keys:
        step = "put the public key there as cosign.pub"
        raise _unverified(run, f"secret '{full}' has no key that ends in .pub", step)
    return cosign.Keys(keys)


async def _identities(run: SourceRun) -> cosign.Signers:
    wanted = []
    for entry in run.spec["verify"].get("matchOIDCIdentity") or []:
        try:
            wanted.append(keyless.Identity(regex(entry["issuer"]), regex(entry["subject"])))
        except InvalidPattern as error:
            raise _unverified(run, str(error), "correct spec.verify.matchOIDCIdentity") from None
    if secret := _name(run, "trustedRootSecretRef"):
        data = await credentials.secret(run, secret, "verify.trustedRootSecretRef")
        full = f"{run.ref.namespace}/{secret}"
        if TRUSTED_ROOT not in data:
            step = f"put the output of `cosign trusted-root create` there as {TRUSTED_ROOT}"
            raise _unverified(run, f"secret '{full}' has no key '{TRUSTED_ROOT}'", step)
        try:
            verifier = await asyncio.to_thread(keyless.trusting, data[TRUSTED_ROOT])
        except ValueError as error:
            step = "make it with `cosign trusted-root create`"
            raise _unverified(run, f"key '{TRUSTED_ROOT}' of secret '{full}' {error}", step) from None
    else:
        verifier = await asyncio.to_thread(keyless.public)
    return keyless.Identities(verifier, wanted)


async def _by_notation(run: SourceRun, registry: Registry, digest: str) -> bool:
    secret = _name(run, "secretRef")
    if not secret:
        step = f"name a Secret with {TRUST_POLICY} and certificates there"
        raise _unverified(run, "spec.verify.secretRef is missing", step)
    data = await credentials.secret(run, secret, "verify.secretRef")
    full = f"{run.ref.namespace}/{secret}"
    certificates = {key: value for key, value in data.items() if key.endswith((".crt", ".pem"))}
    if TRUST_POLICY not in data:
        step = "put the trust policy of the Notary Project there"
        raise _unverified(run, f"'{TRUST_POLICY}' not found in secret '{full}'", step)
    if not certificates:
        step = "put those of the trusted authorities there as .crt or .pem"
        raise _unverified(run, f"no certificates found in secret '{full}'", step)
    with tempfile.TemporaryDirectory(prefix="fluxless-layout-") as folder:
        await layout.save(registry, digest, notation.SIGNATURE, Path(folder))
        scope = str(registry.repository)
        return await notation.verify(Path(folder), digest, scope, data[TRUST_POLICY], certificates, timeout=run.timeout)


def _unverified(run: SourceRun, words: str, next_step: str) -> Transient:
    wanted = run.spec["verify"]
    provider = str(wanted.get("provider") or "cosign")
    if provider == "cosign" and not wanted.get("secretRef"):
        provider = "cosign keyless"
    text = f"failed to verify the signature using provider '{provider}': {words}"
    failure = Failure(FailureClass.SOURCE_AUTH, text, str(run.ref), next_step=next_step)
    run.status.mark(reasons.SOURCE_VERIFIED, "False", reasons.VERIFICATION_ERROR, text)
    return Transient(reasons.VERIFICATION_ERROR, failure)

"""Is the commit, or the tag, signed by somebody whom `spec.verify` trusts (GR-8, GR-26)? SourceVerified."""

from __future__ import annotations

from typing import Any

from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.git import signature
from fluxless.git.fetch import Checkout
from fluxless.git.signature import InvalidSignature
from fluxless.reconcile.errors import Stalled, Transient
from fluxless.source.base import SourceRun

_TAG_MODES, _HEAD_MODES = {"Tag", "TagAndHEAD"}, {"HEAD", "head", "TagAndHEAD"}


def mode_of(run: SourceRun) -> str:
    """The mode as the status writes it; empty for none."""
    wanted: dict[str, Any] = run.spec.get("verify") or {}
    return {"head": "HEAD"}.get(str(wanted.get("mode")), str(wanted.get("mode") or "HEAD")) if wanted else ""


def is_due(run: SourceRun) -> bool:
    """Whether it has to be looked at although the revision is the same."""
    known = run.status.condition(reasons.SOURCE_VERIFIED) or {}
    seen = run.status.fields.get("sourceVerificationMode") == mode_of(run)
    current = known.get("status") == "True" and known.get("observedGeneration") == run.generation
    return bool(mode_of(run)) and not (seen and current)


def forget(run: SourceRun) -> None:
    """What was said of signatures that nobody asks for any more."""
    if not mode_of(run):
        run.status.unmark(reasons.SOURCE_VERIFIED)
        run.status.set(sourceVerificationMode=None)


async def verify(run: SourceRun, found: Checkout) -> None:
    """Returns when it is, or when nothing has to be."""
    mode = mode_of(run)
    if not mode:
        return
    name = str(run.spec["verify"]["secretRef"]["name"])
    data = await run.survey.references(run.cluster).secret(run.ref.namespace, name)
    if data is None:
        words = f"public keys secret error: secret '{run.ref.namespace}/{name}' not found"
        raise _failed(run, reasons.VERIFICATION_ERROR, words, "create the Secret with the public keys")
    lines: list[str] = []
    if mode in _TAG_MODES:
        tag = found.tag
        if tag is None:
            raise _no_tag(run)
        shown = f"{tag.name}@{tag.id}"
        if tag.signed.kind == "none":
            words = f"cannot verify signature of tag '{shown}' since it is not signed"
            raise _failed(run, "InvalidGitObject", words, "sign it with `git tag -s`")
        what = f"tag '{shown}'"
        lines.append(f"{what} with key '{_signer(run, what, 'InvalidTagSignature', tag.signed, data)}'")
    if mode in _HEAD_MODES:
        what = f"commit '{found.commit.id}'"
        lines.append(f"{what} with key '{_signer(run, what, 'InvalidCommitSignature', found.commit.signed, data)}'")
    text = "verified signature of" + "".join(f"\n\t- {line}" for line in lines)
    run.status.mark(reasons.SOURCE_VERIFIED, "True", reasons.SUCCEEDED, text)
    run.status.set(sourceVerificationMode=mode)


def _signer(run: SourceRun, what: str, reason: str, signed: signature.Signed, keys: dict[str, bytes]) -> str:
    try:
        return signature.verify(signed, keys)
    except InvalidSignature as error:
        words = f"signature verification of {what} failed: {error}"
        raise _failed(run, reason, words, "sign it, or add the author's public key to the Secret") from None


def _no_tag(run: SourceRun) -> Stalled:
    words = "cannot verify tag object's signature if a tag reference is not specified"
    run.status.mark(reasons.SOURCE_VERIFIED, "False", "InvalidVerificationMode", words)
    step = "name an annotated tag in spec.ref, or set spec.verify.mode to HEAD"
    failure = Failure(FailureClass.VALIDATION, words, str(run.ref), next_step=step)
    return Stalled("InvalidVerificationMode", failure)


def _failed(run: SourceRun, reason: str, words: str, next_step: str) -> Transient:
    run.status.mark(reasons.SOURCE_VERIFIED, "False", reason, words)
    return Transient(reason, Failure(FailureClass.SOURCE_AUTH, words, str(run.ref), next_step=next_step))

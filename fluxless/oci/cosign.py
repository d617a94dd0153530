"""Signatures of cosign (OR-5): the `.sig` tag, and Sigstore bundles that refer to the image. Who may have made them is
for a `Signers` to say: `Keys` here, `keyless.Identities` for certificates.

Sources: cosign's specification of signatures in registries, the Sigstore bundle format and DSSE's specification.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fluxless.limits import SIGNATURE_LAYERS
from fluxless.oci.client import MANIFEST_LIMIT, Registry
from fluxless.oci.errors import NotInRegistry, RegistryProblem

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
IN_TOTO = "application/vnd.in-toto+json"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
LIMIT = 100
"""Signatures of one image that are looked at."""


class Unverified(Exception):
    """The signature is not by one of these signers, or not of these bytes; the message says why."""


class Signers(Protocol):
    """Those who are trusted. Both methods raise `Unverified`; they may take milliseconds of CPU."""

    def check(self, payload: bytes, notes: Mapping[str, str]) -> None:
        """A payload of the `.sig` tag, with the annotations of its layer."""

    def opened(self, bundle: bytes) -> tuple[str, bytes]:
        """The type and the payload of a bundle's signed envelope."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Signers by public key."""

    keys: Sequence[Any]

    def check(self, payload: bytes, notes: Mapping[str, str]) -> None:
        """See `Signers`."""
        self._check([decoded(notes.get(SIGNATURE))], payload)

    def opened(self, bundle: bytes) -> tuple[str, bytes]:
        """See `Signers`."""
        try:
            envelope = json.loads(bundle)["dsseEnvelope"]
            payload, kind = decoded(envelope["payload"]), str(envelope["payloadType"])
            spelled = kind.encode()
            signatures = [decoded(entry["sig"]) for entry in envelope["signatures"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Unverified("the bundle is malformed") from None
        self._check(signatures, b"DSSEv1 %d %s %d %s" % (len(spelled), spelled, len(payload), payload))
        return kind, payload

    def _check(self, signatures: Sequence[bytes], data: bytes) -> None:
        if not any(sent and signed_by(key, sent, data) for key in self.keys for sent in signatures):
            raise Unverified("it is signed with another key")


def public_key(pem: bytes) -> Any:
    """A public key of cosign. Raises ValueError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("is no PEM of a public key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
        raise ValueError("is a public key of a kind that cosign does not use")
    return key


def signed_by(key: Any, signature: bytes, data: bytes) -> bool:
    """Whether the key has signed the bytes, in cosign's way for its kind."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            sizes = {384: hashes.SHA384(), 521: hashes.SHA512()}
            key.verify(signature, data, ec.ECDSA(sizes.get(key.curve.key_size, hashes.SHA256())))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


async def verify(registry: Registry, digest: str, signers: Signers) -> None:
    """Returns when one of the signers has signed the manifest with this digest. Raises `Unverified` with what was wrong
    with the last signature, "" when there is none, and `RegistryProblem`.
    """
    why = ""
    for look in (_by_tag, _by_bundle):
        try:
            await look(registry, digest, signers)
        except Unverified as problem:
            why = str(problem) or why
        else:
            return
    raise Unverified(why)


async def _by_tag(registry: Registry, digest: str, signers: Signers) -> None:
    why = ""
    try:
        manifest = await registry.manifest(f"{digest.replace(':', '-')}.sig")
    except NotInRegistry:
        raise Unverified(why) from None
    for layer in manifest.layers[:LIMIT]:
        if layer.media_type != SIMPLE_SIGNING:
            continue
        payload = await registry.blob(layer)
        try:
            await asyncio.to_thread(signers.check, payload, layer.annotations)
        except Unverified as problem:
            why = str(problem)
            continue
        if _names(payload) == digest:
            return
        why = "it is the signature of another image"
    raise Unverified(why)


async def _by_bundle(registry: Registry, digest: str, signers: Signers) -> None:
    why = ""
    for referrer in (await registry.referrers(digest))[:LIMIT]:
        try:
            manifest = await registry.manifest(referrer.digest)
        except RegistryProblem:
            continue
        for layer in manifest.layers[:SIGNATURE_LAYERS]:
            if layer.media_type != BUNDLE:
                continue
            bundle = await registry.blob(layer, limit=MANIFEST_LIMIT)
            try:
                kind, payload = await asyncio.to_thread(signers.opened, bundle)
            except Unverified as problem:
                why = str(problem)
                continue
            if kind == IN_TOTO and _is_about(payload, digest):
                return
            why = "it is the signature of another image"
    raise Unverified(why)


def _names(payload: bytes) -> str:
    """The digest that a simple-signing payload speaks of."""
    try:
        return str(json.loads(payload)["critical"]["image"]["docker-manifest-digest"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _is_about(payload: bytes, digest: str) -> bool:
    """Whether an in-toto statement is cosign's signature of the digest."""
    algorithm, _, wanted = digest.partition(":")
    try:
        statement = json.loads(payload)
        about = [subject["digest"].get(algorithm) for subject in statement["subject"]]
        return statement.get("predicateType") == SIGNED and wanted in about
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def decoded(text: Any) -> bytes:
    """Base64, or nothing."""
    try:
        return base64.b64decode(str(text or ""), validate=True)
    except (binascii.Error, ValueError):
        return b""

"""Signatures of cosign made with a key (OR-5): the `.sig` tag, and Sigstore bundles that refer to the image.

Sources: cosign's specification of signatures in registries, the Sigstore bundle format and DSSE's specification.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from fluxless.oci.client import MANIFEST_LIMIT, Registry
from fluxless.oci.errors import NotInRegistry, RegistryProblem

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
IN_TOTO = "application/vnd.in-toto+json"
SIGNED = "https://sigstore.dev/cosign/sign/v1"
LIMIT = 100
"""Signatures of one image that are looked at."""


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


async def verify(registry: Registry, digest: str, keys: Sequence[Any]) -> bool:
    """Whether one of the keys has signed the manifest with this digest. Raises `RegistryProblem`."""
    return await _by_tag(registry, digest, keys) or await _by_bundle(registry, digest, keys)


async def _by_tag(registry: Registry, digest: str, keys: Sequence[Any]) -> bool:
    try:
        manifest = await registry.manifest(f"{digest.replace(':', '-')}.sig")
    except NotInRegistry:
        return False
    for layer in manifest.layers[:LIMIT]:
        signature = _base64(layer.annotations.get(SIGNATURE))
        if layer.media_type != SIMPLE_SIGNING or not signature:
            continue
        payload = await registry.blob(layer)
        if any(signed_by(key, signature, payload) for key in keys) and _names(payload) == digest:
            return True
    return False


async def _by_bundle(registry: Registry, digest: str, keys: Sequence[Any]) -> bool:
    for referrer in (await registry.referrers(digest))[:LIMIT]:
        try:
            manifest = await registry.manifest(referrer.digest)
        except RegistryProblem:
            continue
        for layer in manifest.layers:
            if layer.media_type == BUNDLE and _signs(await registry.blob(layer, limit=MANIFEST_LIMIT), digest, keys):
                return True
    return False


def _names(payload: bytes) -> str:
    """The digest that a simple-signing payload speaks of."""
    try:
        return str(json.loads(payload)["critical"]["image"]["docker-manifest-digest"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _signs(raw: bytes, digest: str, keys: Sequence[Any]) -> bool:
    """Whether a bundle is a DSSE envelope, signed by a key, of a statement about the digest."""
    try:
        envelope = json.loads(raw)["dsseEnvelope"]
        payload, kind = _base64(envelope["payload"]), str(envelope["payloadType"])
        signatures = [_base64(entry["sig"]) for entry in envelope["signatures"]]
        statement = json.loads(payload)
        algorithm, _, wanted = digest.partition(":")
        about = [subject["digest"].get(algorithm) for subject in statement["subject"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    if kind != IN_TOTO or statement.get("predicateType") != SIGNED or wanted not in about:
        return False
    signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    return any(signature and signed_by(key, signature, signed) for key in keys for signature in signatures)


def _base64(text: Any) -> bytes:
    try:
        return base64.b64decode(str(text or ""), validate=True)
    except (binascii.Error, ValueError):
        return b""

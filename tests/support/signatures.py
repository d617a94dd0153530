"""Signs images as `cosign` and `notation` do: with a key, without one, and with a certificate."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from fluxless.oci import cosign, media
from tests.support.registry import Images
from tests.support.sigstore import Signer, Sigstore


def pem(key: Any) -> str:
    """The public key."""
    public = key.public_key()
    return str(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    )


def sign(key: Any, data: bytes) -> bytes:
    """A signature in cosign's way for the kind of key."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, PKCS1v15(), hashes.SHA256())
    return bytes(key.sign(data))


def payload(digest: str) -> bytes:
    """What cosign signs for the `.sig` tag."""
    image = {"docker-manifest-digest": digest}
    critical = {"identity": {"docker-reference": "x"}, "image": image, "type": "cosign container image signature"}
    return json.dumps({"critical": critical, "optional": None}).encode()


def statement(digest: str) -> bytes:
    """What cosign signs for a bundle."""
    subject = [{"name": "x", "digest": {"sha256": digest.removeprefix("sha256:")}}]
    document = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": cosign.SIGNED}
    return json.dumps(document).encode()


async def tagged(images: Images, digest: str, key: Any, *, about: str = "") -> None:
    """As `cosign sign --key` does."""
    signed = payload(about or digest)
    notes = {cosign.SIGNATURE: base64.b64encode(sign(key, signed)).decode()}
    await put_tag(images, digest, signed, notes)


async def keyless(images: Images, digest: str, sigstore: Sigstore, signer: Signer) -> None:
    """As `cosign sign` of cosign 2 does."""
    await put_tag(images, digest, payload(digest), sigstore.annotations(signer, payload(digest)))


async def put_tag(images: Images, digest: str, signed: bytes, notes: Mapping[str, str]) -> None:
    """The `.sig` tag."""
    await images.layers(f"{digest.replace(':', '-')}.sig", [(cosign.SIMPLE_SIGNING, signed, notes)])


def envelope(key: Any, signed: bytes) -> str:
    """A bundle that is signed with a key."""
    pae = f"DSSEv1 {len(cosign.IN_TOTO)} {cosign.IN_TOTO} {len(signed)} ".encode() + signed
    document = {
        "payload": base64.b64encode(signed).decode(),
        "payloadType": cosign.IN_TOTO,
        "signatures": [{"sig": base64.b64encode(sign(key, pae)).decode()}],
    }
    return json.dumps({"mediaType": cosign.BUNDLE, "dsseEnvelope": document})


async def put_bundle(images: Images, digest: str, bundle: str) -> None:
    """As cosign 3 does: a manifest that refers to the image."""
    raw = bundle.encode()
    async with images.open() as registry:
        subject, kind = await registry.raw_manifest(digest)
        blob = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        empty = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
        await registry.push_blob(raw, blob, len(raw))
        await registry.push_blob(b"{}", empty, 2)
        manifest = {
            "schemaVersion": 2,
            "mediaType": media.MANIFEST,
            "artifactType": cosign.BUNDLE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
            "layers": [{"mediaType": cosign.BUNDLE, "digest": blob, "size": len(raw)}],
            "annotations": {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": ""},
            "subject": {"mediaType": kind, "digest": digest, "size": len(subject)},
        }
        text = json.dumps(manifest).encode()
        name = f"sha256:{hashlib.sha256(text).hexdigest()}"
        await registry.push_manifest(text, media.MANIFEST, name)
        entry = {"mediaType": media.MANIFEST, "digest": name, "size": len(text), "artifactType": cosign.BUNDLE}
        index = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [entry]}
        await registry.push_manifest(json.dumps(index).encode(), media.INDEX, digest.replace(":", "-"))


class Notary:
    """Signs with the real `notation`, with a key and a certificate of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._home = folder / name
        self._home.mkdir()
        self._run("cert", "generate-test", "--default", name)
        self.certificate = (self._home / "notation" / "localkeys" / f"{name}.crt").read_text()

    def sign(self, images: Images, digest: str, form: str = "jws") -> None:
        """Put a signature beside the image, in an envelope of this form (jws, cose)."""
        reference = f"{images.repository}@{digest}"
        self._run("sign", "--insecure-registry", "--signature-format", form, reference)

    def _run(self, *arguments: str) -> None:
        home = str(self._home)
        done = subprocess.run(
            [os.environ["FLUXLESS_NOTATION"], *arguments],
            env={"HOME": home, "XDG_CONFIG_HOME": home},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def trust_policy(level: str = "strict", scopes: tuple[str, ...] = ("*",)) -> str:
    """Everybody in the store `ca:trusted` is trusted."""
    statement = {
        "name": "test",
        "registryScopes": list(scopes),
        "signatureVerification": {"level": level},
        "trustStores": ["ca:trusted"],
        "trustedIdentities": ["*"],
    }
    return json.dumps({"version": "1.0", "trustPolicies": [statement]})

"""Signatures of cosign without a key (OR-5, OR-6): a certificate of Fulcio's for an OIDC identity, entered in a log of
Rekor's. The checks are those of the `sigstore` library, with a trusted root of the user's or the public one.

Sources: the Sigstore client specification, cosign's specification of signatures, Fulcio's OID table.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fluxless.oci.cosign import SIGNATURE, Unverified
from fluxless.patterns import Pattern

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import Bundle
    from sigstore.verify import Verifier

CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"
ENTRY = "dev.sigstore.cosign/bundle"
_ISSUER_V2, _ISSUER, _OTHER_NAME = "1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1", "1.3.6.1.4.1.57264.1.7"
PUBLIC_FOR = 24 * 3600.0
"""Seconds that the public trusted root is used before it is asked for again."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One of `matchOIDCIdentity`: regular expressions of the certificate's issuer and subject."""

    issuer: Pattern
    subject: Pattern


@dataclass(frozen=True, slots=True)
class Identities:
    """Signers by identity; none at all means everyone whom the trusted root certifies, as in Flux."""

    verifier: Verifier
    wanted: Sequence[Identity]

    def check(self, payload: bytes, notes: Mapping[str, str]) -> None:
        """See `Signers`."""
        from sigstore.errors import Error

        try:
            self.verifier.verify_artifact(payload, _promised(notes, payload), self)
        except (Error, ValueError) as problem:
            raise Unverified(_words(problem)) from problem

    def opened(self, bundle: bytes) -> tuple[str, bytes]:
        """See `Signers`."""
        from sigstore.errors import Error
        from sigstore.models import Bundle

        try:
            return self.verifier.verify_dsse(Bundle.from_json(bundle), self)
        except (Error, ValueError) as problem:
            raise Unverified(_words(problem)) from problem

    def verify(self, cert: Certificate) -> None:
        """The policy that the library asks for: raises its VerificationError unless an identity fits."""
        from sigstore.errors import VerificationError

        issuer, subjects = _issuer(cert), _subjects(cert)
        for identity in self.wanted:
            if identity.issuer.found_in(issuer) and any(identity.subject.found_in(subject) for subject in subjects):
                return
        if self.wanted:
            raise VerificationError(f"it is signed by '{', '.join(subjects)}' of issuer '{issuer}'")


def trusting(root: bytes) -> Verifier:
    """A verifier that trusts a `trusted_root.json`. Raises ValueError."""
    from sigstore.errors import Error
    from sigstore.models import TrustedRoot
    from sigstore.verify import Verifier
    from sigstore_models.trustroot.v1 import TrustedRoot as Document

    try:
        return Verifier(trusted_root=TrustedRoot(Document.from_json(root)))
    except (Error, ValueError, RecursionError) as problem:
        raise ValueError(f"is no trusted root of Sigstore: {_words(problem)}") from problem


def public() -> Verifier:
    """A verifier that trusts the public Sigstore. Its root comes by TUF; where that cannot be reached, the one that is
    known from before, or that the library ships, is used. Blocks.
    """
    from sigstore.errors import TUFError
    from sigstore.verify import Verifier

    known, at = _public.get("verifier", (None, 0.0))
    if known is not None and time.monotonic() - at < PUBLIC_FOR:
        return known
    try:
        found = Verifier.production()
    except TUFError:
        found = Verifier.production(offline=True)
    _public["verifier"] = (found, time.monotonic())
    return found


_public: dict[str, tuple[Verifier, float]] = {}


def _promised(notes: Mapping[str, str], payload: bytes) -> Bundle:
    """The bundle that the annotations of cosign's `.sig` tag amount to. The log's promise to enter the signature is all
    that they hold, so the entry is checked by that. Raises ValueError.
    """
    from sigstore.models import Bundle, TransparencyLogEntry

    class Promise(TransparencyLogEntry):
        def _verify(self, keyring: Any) -> None:
            self._verify_set(keyring)

    if not notes.get(CERTIFICATE) or not notes.get(ENTRY):
        raise ValueError("it is made with a key, not with a certificate and an entry in a log")
    try:
        entry = json.loads(notes[ENTRY])
        logged = entry["Payload"]
        body = json.loads(base64.b64decode(logged["body"]))
        material = {
            "x509CertificateChain": {"certificates": [{"rawBytes": _der(notes[CERTIFICATE])}]},
            "tlogEntries": [
                {
                    "logIndex": str(logged["logIndex"]),
                    "logId": {"keyId": base64.b64encode(bytes.fromhex(logged["logID"])).decode()},
                    "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
                    "integratedTime": str(logged["integratedTime"]),
                    "inclusionPromise": {"signedEntryTimestamp": entry["SignedEntryTimestamp"]},
                    "inclusionProof": _NO_PROOF,
                    "canonicalizedBody": logged["body"],
                }
            ],
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("its annotations are malformed") from None
    digest = base64.b64encode(hashlib.sha256(payload).digest()).decode()
    message = {"messageDigest": {"algorithm": "SHA2_256", "digest": digest}, "signature": notes.get(SIGNATURE, "")}
    document = {"mediaType": _V01, "verificationMaterial": material, "messageSignature": message}
    bundle = Bundle.from_json(json.dumps(document))
    bundle._log_entry = Promise(bundle.log_entry._inner)
    return bundle


_V01 = "application/vnd.dev.sigstore.bundle+json;version=0.1"
_NO_PROOF = {"logIndex": "0", "rootHash": "", "treeSize": "1", "hashes": [], "checkpoint": {"envelope": "none"}}
"""What the library wants to see; `Promise` never looks at it."""


def _der(pem: str) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    return base64.b64encode(load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)).decode()


def _issuer(cert: Certificate) -> str:
    from cryptography.x509 import ExtensionNotFound, ObjectIdentifier

    for oid in (_ISSUER_V2, _ISSUER):
        try:
            value: bytes = cert.extensions.get_extension_for_oid(ObjectIdentifier(oid)).value.value  # type: ignore[attr-defined]
        except ExtensionNotFound:
            continue
        return _utf8(value) if oid == _ISSUER_V2 else value.decode(errors="replace")
    return ""


def _subjects(cert: Certificate) -> list[str]:
    from cryptography.x509 import ExtensionNotFound, OtherName, SubjectAlternativeName

    try:
        names = cert.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return []
    found = []
    for name in names:
        if not isinstance(name, OtherName):
            found.append(str(name.value))
        elif name.type_id.dotted_string == _OTHER_NAME:
            found.append(_utf8(name.value))
    return found


def _utf8(der: bytes) -> str:
    """A DER UTF8String."""
    long = der[1] & 0x7F if len(der) > 1 and der[1] & 0x80 else 0
    return der[2 + long :].decode(errors="replace")


def _words(problem: Exception) -> str:
    """In one line, of bounded length."""
    return " ".join(str(problem).split())[:300]

"""A Sigstore of one's own: an authority that certifies identities, a log of certificates and a log of signatures.

What it makes is what Fulcio, its CT log and Rekor v1 make: RFC 6962 timestamps, signed entry timestamps, a Merkle tree
and its signed checkpoint. No servers: `cosign` keeps all of it beside the image.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")


def b64(data: bytes) -> str:
    """As text."""
    return base64.b64encode(data).decode()


def _der(key: Key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _signed(key: Key, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


@dataclass(frozen=True)
class Signer:
    """Somebody with a certificate for an identity."""

    key: Key
    certificate: x509.Certificate

    def sign(self, data: bytes) -> bytes:
        """A signature."""
        return _signed(self.key, data)

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> str:
        """The certificate, in base64."""
        return b64(self.certificate.public_bytes(serialization.Encoding.DER))


class Sigstore:
    """The three services."""

    def __init__(self) -> None:
        self._authority, self._timestamps, self._log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self._now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test fulcio")])
        usage = {
            "digital_signature": False,
            "key_cert_sign": True,
            "crl_sign": True,
            "content_commitment": False,
            "key_encipherment": False,
            "data_encipherment": False,
            "key_agreement": False,
            "encipher_only": False,
            "decipher_only": False,
        }
        self._usage = usage
        self._root = (
            self._builder(name, name, self._authority, days=365)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._authority.public_key()), critical=False)
            .sign(self._authority, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, issuer: x509.Name, key: Key, **life: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - datetime.timedelta(minutes=1))
            .not_valid_after(self._now + datetime.timedelta(**life))
        )

    def certify(self, subject: str, issuer: str) -> Signer:
        """A certificate for an identity (a URI), with the timestamp of the log of certificates in it."""
        key = ec.generate_private_key(ec.SECP256R1())
        text = issuer.encode()
        usage = {**self._usage, "digital_signature": True, "key_cert_sign": False, "crl_sign": False}
        authority = self._authority.public_key()
        builder = (
            self._builder(x509.Name([]), self._root.subject, key, minutes=10)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject)]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER, bytes([0x0C, len(text)]) + text), critical=False)
        )
        before = builder.sign(self._authority, hashes.SHA256()).tbs_certificate_bytes
        scts = x509.UnrecognizedExtension(_SCT_LIST, self._timestamp(before))
        return Signer(key, builder.add_extension(scts, critical=False).sign(self._authority, hashes.SHA256()))

    def _timestamp(self, before: bytes) -> bytes:
        """RFC 6962, 3.2 and 3.3: the list with one timestamp, as an OCTET STRING."""
        at = int(self._now.timestamp() * 1000)
        entry = hashlib.sha256(_der(self._authority)).digest() + struct.pack("!I", len(before))[1:] + before
        data = struct.pack("!BBQH", 0, 0, at, 1) + entry + struct.pack("!H", 0)
        signature = _signed(self._timestamps, data)
        log_id = hashlib.sha256(_der(self._timestamps)).digest()
        sct = struct.pack("!B32sQH", 0, log_id, at, 0) + struct.pack("!BBH", 4, 3, len(signature)) + signature
        listed = struct.pack("!H", len(sct) + 2) + struct.pack("!H", len(sct)) + sct
        length = bytes([len(listed)]) if len(listed) < 128 else b"\x81" + bytes([len(listed)])
        return b"\x04" + length + listed

    def trusted_root(self) -> str:
        """What `cosign trusted-root create` makes."""
        since = (self._now - datetime.timedelta(days=1)).isoformat().replace("+00:00", "Z")

        def log(key: Key, url: str) -> dict[str, Any]:
            public = {"rawBytes": b64(_der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": since}}
            key_id = {"keyId": b64(hashlib.sha256(_der(key)).digest())}
            return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": key_id}

        root = b64(self._root.public_bytes(serialization.Encoding.DER))
        authority = {
            "subject": {"organization": "test", "commonName": "test fulcio"},
            "uri": "https://fulcio.test",
            "certChain": {"certificates": [{"rawBytes": root}]},
            "validFor": {"start": since},
        }
        document = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self._log, "https://rekor.test")],
            "certificateAuthorities": [authority],
            "ctlogs": [log(self._timestamps, "https://ctfe.test")],
        }
        return json.dumps(document)

    # -- the log of signatures --------------------------------------------------------------------------------------

    def enter(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        """An entry of the log, as `tlogEntries` of a bundle has it: promise, proof and checkpoint."""
        body = json.dumps({"apiVersion": "0.0.1", "kind": kind, "spec": spec}, sort_keys=True, separators=(",", ":"))
        log_id, at = hashlib.sha256(_der(self._log)).digest(), int(self._now.timestamp())
        promised = {"body": b64(body.encode()), "integratedTime": at, "logID": log_id.hex(), "logIndex": 0}
        promise = _signed(self._log, json.dumps(promised, sort_keys=True, separators=(",", ":")).encode())
        root = hashlib.sha256(b"\x00" + body.encode()).digest()
        note = f"rekor.test - 1\n1\n{b64(root)}\n"
        line = b64(log_id[:4] + _signed(self._log, note.encode()))
        return {
            "logIndex": "0",
            "logId": {"keyId": b64(log_id)},
            "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": str(at),
            "inclusionPromise": {"signedEntryTimestamp": b64(promise)},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 rekor.test {line}\n"},
            },
            "canonicalizedBody": b64(body.encode()),
        }

    def annotations(self, signer: Signer, payload: bytes) -> dict[str, str]:
        """Those of a layer of the `.sig` tag."""
        signature = b64(signer.sign(payload))
        key = {"content": signature, "publicKey": {"content": b64(signer.pem.encode())}}
        digest = {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}
        entry = self.enter("hashedrekord", {"data": {"hash": digest}, "signature": key})
        logged = {
            "body": entry["canonicalizedBody"],
            "integratedTime": int(entry["integratedTime"]),
            "logIndex": 0,
            "logID": base64.b64decode(entry["logId"]["keyId"]).hex(),
        }
        promise = entry["inclusionPromise"]["signedEntryTimestamp"]
        return {
            "dev.cosignproject.cosign/signature": signature,
            "dev.sigstore.cosign/certificate": signer.pem,
            "dev.sigstore.cosign/chain": self._root.public_bytes(serialization.Encoding.PEM).decode(),
            "dev.sigstore.cosign/bundle": json.dumps({"SignedEntryTimestamp": promise, "Payload": logged}),
        }

    def bundle(self, signer: Signer, kind: str, payload: bytes) -> str:
        """A Sigstore bundle of a DSSE envelope."""
        signature = b64(signer.sign(b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)))
        envelope = {"payload": b64(payload), "payloadType": kind, "signatures": [{"sig": signature}]}
        spec = {
            "envelopeHash": _sha256(json.dumps(envelope).encode()),
            "payloadHash": _sha256(payload),
            "signatures": [{"signature": signature, "verifier": b64(signer.pem.encode())}],
        }
        entry = self.enter("dsse", spec)
        material = {"certificate": {"rawBytes": signer.der}, "tlogEntries": [entry], "timestampVerificationData": {}}
        media_type = "application/vnd.dev.sigstore.bundle.v0.3+json"
        return json.dumps({"mediaType": media_type, "verificationMaterial": material, "dsseEnvelope": envelope})


def _sha256(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}

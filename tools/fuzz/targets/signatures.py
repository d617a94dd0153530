"""Signatures of cosign, and tokens of issuers: `oci.cosign`, `oci.keyless`, `notification.oidc`."""

from __future__ import annotations

import base64
import contextlib
import json
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from fluxless.notification import oidc
from fluxless.notification.signatures import Refused
from fluxless.oci import cosign, keyless
from tools.fuzz import odd
from tools.fuzz.loop import wait

_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
_LOGGED = {"body": "eyJraW5kIjoiaGFzaGVkcmVrb3JkIn0=", "logIndex": 1, "logID": "aa", "integratedTime": 1_700_000_000}
_NOTES = {
    cosign.SIGNATURE: "eA==",
    keyless.CERTIFICATE: _CERTIFICATE,
    keyless.ENTRY: json.dumps({"SignedEntryTimestamp": "eA==", "Payload": _LOGGED}),
}
_ENVELOPE = {"payload": "e30=", "payloadType": cosign.IN_TOTO, "signatures": [{"sig": "eA==", "keyid": ""}]}
_LOG = {
    "logIndex": "1",
    "logId": {"keyId": "eA=="},
    "kindVersion": {"kind": "dsse", "version": "0.0.1"},
    "integratedTime": "1700000000",
    "inclusionPromise": {"signedEntryTimestamp": "eA=="},
    "inclusionProof": {
        "logIndex": "0",
        "rootHash": "eA==",
        "treeSize": "1",
        "hashes": ["eA=="],
        "checkpoint": {"envelope": "x\n1\neA==\n\n— x eA==\n"},
    },
    "canonicalizedBody": "e30=",
}
_BUNDLE = {
    "mediaType": cosign.BUNDLE,
    "verificationMaterial": {"certificate": {"rawBytes": "MAA="}, "tlogEntries": [_LOG]},
    "dsseEnvelope": _ENVELOPE,
}
_CLAIMS = {"iss": "https://issuer", "aud": "a", "exp": 1, "sub": "x"}


def inputs(random: Random) -> tuple[dict[str, str], bytes, str]:
    """Annotations of a layer, a bundle, and a header with a token."""
    notes = odd.changed(random, {**_NOTES, keyless.ENTRY: json.loads(_NOTES[keyless.ENTRY])})
    texts = (
        {str(key): value if isinstance(value, str) else odd.as_json(value).decode() for key, value in notes.items()}
        if isinstance(notes, dict)
        else {}
    )
    bundle = odd.as_json(odd.changed(random, _BUNDLE))
    parts = [
        odd.as_json(odd.changed(random, {"alg": "RS256", "kid": "x", "typ": "JWT"})),
        odd.as_json(odd.changed(random, _CLAIMS)),
        b"x",
    ]
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    if random.random() < 0.2:
        token = odd.bent(random, token.encode(), [b".", b" ", b"=", b"\xff"]).decode(errors="replace")
    return texts, odd.bent(random, bundle) if random.random() < 0.2 else bundle, f"Bearer {token}"


def judge(data: tuple[dict[str, str], bytes, str], folder: Path) -> object:
    """Nobody has signed any of it."""
    notes, bundle, header = data
    for signers in _signers():
        with contextlib.suppress(cosign.Unverified):
            signers.check(b"payload", notes)
            raise AssertionError("the annotations are verified")
        with contextlib.suppress(cosign.Unverified):
            raise AssertionError(f"{signers.opened(bundle)} is verified")
    try:
        return wait(oidc.verified(header, "a", "https://other"))
    except Refused as refused:
        return str(refused)


@lru_cache(maxsize=1)
def _signers() -> tuple[cosign.Signers, ...]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from sigstore.verify import Verifier

    keys: Any = [ec.generate_private_key(ec.SECP256R1()).public_key()]
    return cosign.Keys(keys), keyless.Identities(Verifier.production(offline=True), [])

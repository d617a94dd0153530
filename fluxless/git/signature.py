"""Who signed a commit or a tag (GR-8, GR-26): OpenPGP (RFC 9580) by Sequoia, SSH (PROTOCOL.sshsig) by asyncssh.

Secrets of trusted authors hold `*.sshpub` files, and keyrings in all others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SSH_SUFFIX = ".sshpub"
PGP, SSH = "openpgp", "ssh"
_PGP_HEAD, _SSH_HEAD = b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"
_NAMESPACE = b"git"
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


class InvalidSignature(Exception):
    """The words say why nobody who is trusted has signed."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A detached signature, and the bytes that it is of; both empty when there is none."""

    signature: bytes = b""
    payload: bytes = b""

    @property
    def kind(self) -> str:
        """`openpgp`, `ssh`, or what it seems to be instead."""
        if self.signature.lstrip().startswith(_PGP_HEAD):
            return PGP
        if self.signature.lstrip().startswith(_SSH_HEAD):
            return SSH
        return "unknown" if self.signature else "none"


def split(raw: bytes) -> Signed:
    """An annotated tag carries its signature at its end."""
    starts = [at for at in (raw.rfind(_PGP_HEAD), raw.rfind(_SSH_HEAD)) if at >= 0 and raw[at - 1 : at] == b"\n"]
    return Signed(raw[max(starts) :], raw[: max(starts)]) if starts else Signed()


def verify(signed: Signed, keys: Mapping[str, bytes]) -> str:
    """The key that has signed: the long id of a PGP key, the fingerprint of an SSH key. Raises `InvalidSignature`."""
    ssh = {name: data for name, data in keys.items() if name.endswith(SSH_SUFFIX)}
    pgp = {name: data for name, data in keys.items() if name not in ssh}
    match signed.kind:
        case "openpgp" if not pgp:
            raise InvalidSignature(
                "PGP signature detected but no PGP public keys found in secret (keys with .asc suffix)"
            )
        case "openpgp":
            return _verify_pgp(signed, pgp)
        case "ssh" if not ssh:
            words = f"SSH signature detected but no SSH public keys found in secret (keys with {SSH_SUFFIX} suffix)"
            raise InvalidSignature(words)
        case "ssh":
            return _verify_ssh(signed, ssh)
        case "none":
            raise InvalidSignature("it is not signed")
        case _:
            raise InvalidSignature("unsupported signature type: unknown")


def _verify_pgp(signed: Signed, keys: Mapping[str, bytes]) -> str:
    import pysequoia

    certificates: list[Any] = []
    for name in sorted(keys):
        try:
            certificates += pysequoia.Cert.split_bytes(keys[name])
        except Exception as error:  # Sequoia's errors have no class of their own
            raise InvalidSignature(f"key '{name}' of the secret is no OpenPGP keyring: {error}") from None
    try:
        signature = pysequoia.Sig.from_bytes(signed.signature)
        done = pysequoia.verify(signed.payload, store=lambda _: certificates, signature=signature)
    except Exception as error:
        raise InvalidSignature(f"unable to verify payload with any of the given key rings: {error}") from None
    for valid in done.valid_sigs:
        return str(valid.certificate)[-16:].upper()
    raise InvalidSignature("unable to verify payload with any of the given key rings")


def _verify_ssh(signed: Signed, keys: Mapping[str, bytes]) -> str:
    import asyncssh

    public, digest, signature = _open(signed.signature)
    try:
        name = _take(public)[0].decode("ascii", "replace")
        signer = asyncssh.import_public_key(f"{name} {base64.b64encode(public).decode()}")
    except (asyncssh.KeyImportError, ValueError, struct.error) as error:
        raise InvalidSignature(f"the signature names no key: {error}") from None
    if not any(public in _blobs(data) for data in keys.values()):
        words = f"unable to verify payload with any of the given authorized keys: it is signed by {_print(public)}"
        raise InvalidSignature(words)
    message = b"".join(map(_string, (_NAMESPACE, b"", digest, _HASHES[digest](signed.payload).digest())))
    if not signer.verify(_MAGIC + message, signature):
        raise InvalidSignature("the signature does not match")
    return _print(public)


def _open(armoured: bytes) -> tuple[bytes, bytes, bytes]:
    """(public key, name of the hash, signature) of an SSH signature. Raises `InvalidSignature`."""
    lines = [line for line in armoured.strip().splitlines() if not line.startswith(b"-----")]
    try:
        raw = base64.b64decode(b"".join(lines), validate=True)
        if raw[:6] != _MAGIC or struct.unpack(">I", raw[6:10])[0] != 1:
            raise InvalidSignature("the signature is no SSH signature of version 1")
        public, rest = _take(raw[10:])
        namespace, rest = _take(rest)
        _, rest = _take(rest)
        digest, rest = _take(rest)
        signature, rest = _take(rest)
    except (binascii.Error, struct.error, ValueError):
        raise InvalidSignature("the signature is malformed") from None
    if namespace != _NAMESPACE or digest not in _HASHES or rest:
        raise InvalidSignature(f"the signature is for '{namespace.decode(errors='replace')[:40]}', not for git")
    return public, digest, signature


def _take(data: bytes) -> tuple[bytes, bytes]:
    length = struct.unpack(">I", data[:4])[0]
    if length > len(data) - 4:
        raise ValueError("too short")
    return data[4 : 4 + length], data[4 + length :]


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _blobs(data: bytes) -> list[bytes]:
    """The keys of a file in the format of `authorized_keys`: options may stand before them."""
    found: list[bytes] = []
    for line in data.splitlines():
        for word in line.split():
            try:
                blob = base64.b64decode(word, validate=True)
            except (binascii.Error, ValueError):
                continue
            if len(blob) > 32 and blob[:3] == b"\0\0\0":
                found.append(blob)
    return found


def _print(public: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")

"""Keys for `sops`, by the names under which a Secret holds them (KC-99). Pure.

Where sops wants a file, the file lives in the private folder of one call. Nothing here knows a Flux object.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.door import Gives
from fluxless.go_yaml import load

_ARMOR = re.compile(rb"-----BEGIN PGP PRIVATE KEY BLOCK-----(.*?)-----END PGP PRIVATE KEY BLOCK-----", re.DOTALL)
_DOMAIN = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]+")
_AZURE = {"tenant": "tenantId", "appId": "clientId", "password": "clientSecret"}
"""Fields of `sops.azure-kv` that `az ad sp create-for-rbac` prints, by Flux's names for a Bucket's Secret (AZ-10)."""
_GOOGLE = {
    "service_account": (
        "project_id",
        "private_key_id",
        "private_key",
        "client_email",
        "client_id",
        "universe_domain",
    ),
    "authorized_user": ("client_id", "client_secret", "refresh_token", "quota_project_id", "universe_domain"),
}
"""Kinds of Google's credentials that hold a secret themselves, with their fields: the others name files, addresses and
programs of the host.
"""
_AWS = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
}


class KeyProblem(Problem):
    """A Secret holds a key that cannot be used."""

    def __init__(self, name: str, words: str, next_step: str) -> None:
        super().__init__(Failure(FailureClass.DECRYPT, f"secret '{name}' {words}", next_step=next_step))


@dataclass(frozen=True, slots=True, repr=False)
class File:
    """Something that sops reads from a file: `variable` names the file, or its folder when `folder` is set."""

    variable: str
    name: str
    data: bytes
    folder: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What sops needs. `environment` and `files` hold credentials. `gives` is asked for the identity that opens a Key
    Vault when sops meets one; `who` stands for that identity, so that builds can be told apart by it.

    `principal` is what a Secret says of such an identity (AZ-10), from which the caller makes `gives`.
    `useless` names a Secret that was to hold keys and holds none: that matters once something is encrypted.
    """

    age: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    files: tuple[File, ...] = ()
    principal: Mapping[str, bytes] = field(default_factory=dict)
    gives: Gives | None = None
    who: str = ""
    useless: str = ""

    @classmethod
    def of_secret(cls, data: Mapping[str, bytes], name: str) -> Keys:
        """Read a Secret by the names of its keys; keys of other names are nobody's. Raises `KeyProblem`."""
        age = [_text(value) for key, value in sorted(data.items()) if key.endswith(".agekey")]
        rings = [_dearmored(value, key, name) for key, value in sorted(data.items()) if key.endswith(".asc")]
        files = [File("GNUPGHOME", "secring.gpg", b"".join(rings), folder=True)] if rings else []
        environment: dict[str, str] = {}
        principal = _azure(data["sops.azure-kv"], name) if "sops.azure-kv" in data else {}
        if "sops.vault-token" in data:
            environment["VAULT_TOKEN"] = _text(data["sops.vault-token"]).strip()
        if "sops.aws-kms" in data:
            found = _mapping(data["sops.aws-kms"], "sops.aws-kms", name)
            environment |= {variable: str(found[key]) for key, variable in _AWS.items() if found.get(key)}
        if "sops.gcp-kms" in data:
            environment["GOOGLE_CREDENTIALS"] = _google(data["sops.gcp-kms"], name)
        useless = "" if age or environment or files or principal else name
        return cls("\n".join(age), tuple(sorted(environment.items())), tuple(files), principal, useless=useless)

    def with_age(self, identities: str) -> Keys:
        """These keys and more age identities."""
        text = "\n".join(part for part in (self.age, identities) if part)
        return replace(self, age=text)

    @property
    def fingerprint(self) -> str:
        """A digest of the keys, which are random and long: it cannot be turned back."""
        digest = hashlib.sha256()
        secrets = [f"{name}={value}".encode() for name, value in self.environment]
        secrets += [file.data for file in self.files]
        secrets += [part for key, value in sorted(self.principal.items()) for part in (key.encode(), value)]
        for part in (self.who.encode(), self.age.encode(), *secrets):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()


def _azure(data: bytes, name: str) -> dict[str, bytes]:
    """A service principal with secret or certificate, or the client id of a managed identity of the app."""
    found = {_AZURE.get(key, key): str(value).encode() for key, value in _mapping(data, "sops.azure-kv", name).items()}
    if found.get("clientId") and (
        not found.get("tenantId") or found.get("clientSecret") or found.get("clientCertificate")
    ):
        return found
    step = "give tenantId, clientId and clientSecret (or clientCertificate), or clientId alone for a managed identity"
    raise KeyProblem(name, "has an incomplete key sops.azure-kv", step)


def _google(data: bytes, name: str) -> str:
    """Written anew, with the fields of its kind alone: sops takes a text that is no JSON for the path of a file."""
    found = _mapping(data, "sops.gcp-kms", name)
    kind = str(found.get("type"))
    if kind not in _GOOGLE:
        step = f"give the JSON of a key whose type is {' or '.join(_GOOGLE)}"
        raise KeyProblem(name, f"has a key sops.gcp-kms of type {kind[:40]!r}, which is not taken", step)
    if "universe_domain" in found and not _DOMAIN.fullmatch(str(found["universe_domain"])):
        raise KeyProblem(name, "has a key sops.gcp-kms whose universe_domain is no domain", "correct it")
    return json.dumps({"type": kind, **{key: str(found[key]) for key in _GOOGLE[kind] if key in found}})


def _mapping(data: bytes, key: str, name: str) -> dict[str, Any]:
    try:
        found = load(_text(data), key)
    except Problem:
        found = None
    if not isinstance(found, dict):
        raise KeyProblem(name, f"has a key {key} that is no mapping", "write it as YAML or JSON")
    return found


def _dearmored(data: bytes, key: str, name: str) -> bytes:
    """The private keys of an armored block as a binary ring (RFC 9580, section 6), which sops reads without gpg."""
    found = _ARMOR.findall(data.replace(b"\r\n", b"\n"))
    try:
        rings = [base64.b64decode(_body(block), validate=True) for block in found]
    except (binascii.Error, ValueError):
        rings = []
    if not rings:
        step = "export it by `gpg --export-secret-keys --armor`, without a passphrase"
        raise KeyProblem(name, f"has a key {key} that is no armored PGP private key", step)
    return b"".join(rings)


def _body(block: bytes) -> bytes:
    """Without the headers, which end in an empty line, and without the checksum, which begins with `=`."""
    lines = block.partition(b"\n\n")[2].split(b"\n") if b"\n\n" in block else block.split(b"\n")
    return b"".join(line.strip() for line in lines if not line.startswith(b"="))


def _text(data: bytes) -> str:
    return data.decode(errors="replace")

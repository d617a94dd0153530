"""Keys for `sops`, by the names under which a Secret holds them (KC-99). Pure.

Where sops wants a file, the file lives in the private folder of one call. Nothing here knows a Flux object.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.go_yaml import load

_ARMOR = re.compile(rb"-----BEGIN PGP PRIVATE KEY BLOCK-----(.*?)-----END PGP PRIVATE KEY BLOCK-----", re.DOTALL)
_AZURE = {
    "tenantId": "AZURE_TENANT_ID",
    "tenant": "AZURE_TENANT_ID",
    "clientId": "AZURE_CLIENT_ID",
    "appId": "AZURE_CLIENT_ID",
    "clientSecret": "AZURE_CLIENT_SECRET",
    "password": "AZURE_CLIENT_SECRET",
    "clientCertificatePassword": "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "authorityHost": "AZURE_AUTHORITY_HOST",
}
"""Fields of `sops.azure-kv`, those that `az ad sp create-for-rbac` prints included."""
_AWS = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
}
CREDENTIAL = "AZURE_TOKEN_CREDENTIALS"
"""Says which credential Azure's library may use, so that a wrong one is an error and never falls back to the app's."""


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
    """What sops needs. `environment` and `files` hold credentials; `ambient` lets it use the app's own identity.

    `who` stands for a credential that is made anew every time (a token), so that builds can be told apart by it.
    `useless` names a Secret that was to hold keys and holds none: that matters once something is encrypted.
    """

    age: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    files: tuple[File, ...] = ()
    ambient: bool = True
    who: str = ""
    useless: str = ""

    @classmethod
    def of_secret(cls, data: Mapping[str, bytes], name: str) -> Keys:
        """Read a Secret by the names of its keys; keys of other names are nobody's. Raises `KeyProblem`."""
        age = [_text(value) for key, value in sorted(data.items()) if key.endswith(".agekey")]
        rings = [_dearmored(value, key, name) for key, value in sorted(data.items()) if key.endswith(".asc")]
        files = [File("GNUPGHOME", "secring.gpg", b"".join(rings), folder=True)] if rings else []
        environment: dict[str, str] = {}
        ambient = True
        if "sops.vault-token" in data:
            environment["VAULT_TOKEN"] = _text(data["sops.vault-token"]).strip()
        if "sops.azure-kv" in data:
            variables, certificate = _azure(data["sops.azure-kv"], name)
            environment |= variables
            files += certificate
            ambient = environment[CREDENTIAL] == "ManagedIdentityCredential"
        if "sops.aws-kms" in data:
            found = _mapping(data["sops.aws-kms"], "sops.aws-kms", name)
            environment |= {variable: str(found[field]) for field, variable in _AWS.items() if found.get(field)}
        if "sops.gcp-kms" in data:
            environment["GOOGLE_CREDENTIALS"] = _text(data["sops.gcp-kms"])
        useless = "" if age or environment or files else name
        return cls("\n".join(age), tuple(sorted(environment.items())), tuple(files), ambient, useless=useless)

    @classmethod
    def of_workload(cls, token: str, client_id: str, tenant_id: str, who: str) -> Keys:
        """The identity of a service account, by a token that Entra accepts in place of a secret (KC-22)."""
        environment = (
            ("AZURE_CLIENT_ID", client_id),
            ("AZURE_TENANT_ID", tenant_id),
            (CREDENTIAL, "WorkloadIdentityCredential"),
        )
        return cls(environment=environment, files=(_token_file(token),), ambient=False, who=who)

    def with_age(self, identities: str) -> Keys:
        """These keys and more age identities."""
        text = "\n".join(part for part in (self.age, identities) if part)
        return replace(self, age=text)

    @property
    def fingerprint(self) -> str:
        """A digest of the keys, which are random and long: it cannot be turned back."""
        digest = hashlib.sha256()
        secrets = [] if self.who else [*(f"{name}={value}".encode() for name, value in self.environment)]
        secrets += [] if self.who else [file.data for file in self.files]
        for part in (self.who.encode(), self.age.encode(), *secrets):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()


def _token_file(token: str) -> File:
    return File("AZURE_FEDERATED_TOKEN_FILE", "token", token.encode())


def _azure(data: bytes, name: str) -> tuple[dict[str, str], list[File]]:
    """A service principal with secret or certificate, or the client id of a managed identity of the app."""
    found = _mapping(data, "sops.azure-kv", name)
    variables = {variable: str(found[field]) for field, variable in _AZURE.items() if found.get(field)}
    files: list[File] = []
    principal = "AZURE_TENANT_ID" in variables and "AZURE_CLIENT_ID" in variables
    if principal and "AZURE_CLIENT_SECRET" not in variables and found.get("clientCertificate"):
        files.append(File("AZURE_CLIENT_CERTIFICATE_PATH", "client.pem", str(found["clientCertificate"]).encode()))
        if found.get("clientCertificateSendChain"):
            variables["AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"] = "true"
    if principal and ("AZURE_CLIENT_SECRET" in variables or files):
        return variables | {CREDENTIAL: "EnvironmentCredential"}, files
    if "AZURE_CLIENT_ID" in variables and "AZURE_TENANT_ID" not in variables:
        return {
            "AZURE_CLIENT_ID": variables["AZURE_CLIENT_ID"],
            CREDENTIAL: "ManagedIdentityCredential",
        }, files
    step = "give tenantId, clientId and clientSecret (or clientCertificate), or clientId alone for a managed identity"
    raise KeyProblem(name, "has an incomplete key sops.azure-kv", step)


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

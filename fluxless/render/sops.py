"""Runs the real `sops`: encrypted text in, plain text out, nothing on disk. Knows formats and keys, no Flux objects."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.process import run
from fluxless.render.binaries import binary

SIZE_LIMIT = 5 * 1024 * 1024
"""Bytes of an encrypted file (KC-99)."""
TIMEOUT = 30.0
FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".env": "dotenv", ".ini": "ini"}
_MARKS = {
    "yaml": (b"\nsops:",),
    "json": (b'"sops"',),
    "dotenv": (b"sops_version=", b"sops_mac="),
    "ini": (b"[sops]",),
    "binary": (b'"sops"',),
}
_PASSED_ON = ("AZURE_", "IDENTITY_", "MSI_")
"""Prefixes of the environment that tell sops who we are in Azure, for keys in a Key Vault."""


class DecryptionFailed(Problem):
    """sops refuses; its words never hold plain text."""

    def __init__(self, what: str, words: str, next_step: str = "") -> None:
        step = (
            next_step or "check that the Secret of spec.decryption.secretRef holds the key that this was encrypted for"
        )
        super().__init__(Failure(FailureClass.DECRYPT, f"{what} cannot be decrypted: {words}", next_step=step))


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What sops needs to decrypt; `environment` holds credentials of key services."""

    age: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_secret(cls, data: Mapping[str, bytes], name: str) -> Keys:
        """Read a Secret by the names of its keys (KC-99). Raises `DecryptionFailed` for keys that cannot be used."""
        identities = [value.decode(errors="replace") for key, value in sorted(data.items()) if key.endswith(".agekey")]
        environment: list[tuple[str, str]] = []
        if "sops.vault-token" in data:
            environment.append(("VAULT_TOKEN", data["sops.vault-token"].decode().strip()))
        if "sops.azure-kv" in data:
            environment += _azure(data["sops.azure-kv"].decode(errors="replace"), name)
        if not identities and not environment:
            step = "put an age identity under a key that ends in .agekey; PGP keys (.asc) are not supported yet"
            raise DecryptionFailed(f"secret '{name}' holds no usable key: what is encrypted", "there is no key", step)
        return cls("\n".join(identities), tuple(environment))


def _azure(text: str, name: str) -> list[tuple[str, str]]:
    """A service principal, as JSON or YAML with tenantId, clientId and clientSecret."""
    from fluxless.render.manifests import load

    found = load(text, f"secret {name}, key sops.azure-kv")
    names = {"tenantId": "AZURE_TENANT_ID", "clientId": "AZURE_CLIENT_ID", "clientSecret": "AZURE_CLIENT_SECRET"}
    values = found if isinstance(found, dict) else {}
    return [(variable, str(values[key])) for key, variable in names.items() if values.get(key)]


def format_of(name: str) -> str:
    """The format of a file by its extension; anything else is binary."""
    return FORMATS.get(PurePath(name).suffix, "binary")


def is_encrypted(data: bytes, form: str) -> bool:
    """Whether the text carries sops' own section."""
    return any(mark in b"\n" + data for mark in _MARKS[form])


async def decrypt(data: bytes, form: str, keys: Keys, what: str) -> bytes:
    """The plain text, in the same format. Raises `DecryptionFailed` naming `what`."""
    if len(data) > SIZE_LIMIT:
        raise DecryptionFailed(what, f"it is larger than {SIZE_LIMIT >> 20} MiB", "split it")
    executable = await binary("sops")
    with tempfile.TemporaryDirectory(prefix="fluxless-sops-") as home:
        environment = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        environment |= {
            "HOME": home,
            "XDG_CONFIG_HOME": home,
            "PATH": os.environ.get("PATH", ""),
            **dict(keys.environment),
        }
        if keys.age:
            environment["SOPS_AGE_KEY"] = keys.age
        arguments = ["decrypt", "--ignore-mac", "--input-type", form, "--output-type", form, "/dev/stdin"]
        finished = await run([executable, *arguments], env=environment, stdin=data, timeout=TIMEOUT)
    if finished.code != 0:
        lines = [line.strip() for line in finished.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise DecryptionFailed(what, " ".join(lines)[:500] or f"exit code {finished.code}")
    return finished.stdout


async def decrypt_object(obj: Mapping[str, object], keys: Keys, what: str) -> dict[str, object]:
    """An object with a `sops` field, in plain. Raises `DecryptionFailed`."""
    plain: dict[str, object] = json.loads(await decrypt(json.dumps(obj).encode(), "json", keys, what))
    return plain

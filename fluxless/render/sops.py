"""Runs the real `sops`: encrypted text in, plain text out, none of it on disk. Knows formats, no Flux objects."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePath

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.door import identity_door
from fluxless.auth.purposes import VAULT
from fluxless.process import run
from fluxless.render.binaries import binary, network
from fluxless.render.keys import Keys

SIZE_LIMIT = 5 * 1024 * 1024
"""Bytes of an encrypted file (KC-99)."""
TIMEOUT = 30.0
WORDS = 1500
"""Characters of sops' report that a message keeps."""
FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".env": "dotenv", ".ini": "ini"}
_MARKS = {
    "yaml": (b"\nsops:",),
    "json": (b'"sops"',),
    "dotenv": (b"sops_version=", b"sops_mac="),
    "ini": (b"[sops]",),
    "binary": (b'"sops"',),
}


class DecryptionFailed(Problem):
    """sops refuses; its words never hold plain text."""

    def __init__(self, what: str, words: str, next_step: str = "") -> None:
        step = (
            next_step or "check that the Secret of spec.decryption.secretRef holds the key that this was encrypted for"
        )
        super().__init__(Failure(FailureClass.DECRYPT, f"{what} cannot be decrypted: {words}", next_step=step))


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
    async with contextlib.AsyncExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="fluxless-sops-"))
        arguments = ["decrypt", "--ignore-mac", "--input-type", form, "--output-type", form, "/dev/stdin"]
        environment = _environment(keys, Path(home))
        if keys.gives is not None:
            environment |= await stack.enter_async_context(identity_door(VAULT, keys.gives))
        finished = await run([executable, *arguments], env=environment, stdin=data, timeout=TIMEOUT)
    if finished.code != 0:
        words = _words(finished.stderr.decode(errors="replace")) or f"exit code {finished.code}"
        if keys.useless:
            step = "put an age identity under a key that ends in .agekey, or a PGP key under one that ends in .asc"
            raise DecryptionFailed(what, f"secret '{keys.useless}' holds no usable key ({words})", step)
        raise DecryptionFailed(what, words)
    return finished.stdout


def _words(stderr: str) -> str:
    """sops' report, which it draws as a tree with rulers, in one line."""
    words = (word for word in stderr.split() if word.strip("|-"))
    return " ".join(words)[:WORDS]


def _environment(keys: Keys, home: Path) -> dict[str, str]:
    """What the child sees: its private folder and the keys; nothing of who the app is."""
    environment = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "PATH": os.environ.get("PATH", ""),
        "GNUPGHOME": str(home),
        "SOPS_GPG_EXEC": os.devnull,  # its own OpenPGP reads the ring: no gpg, no agent that outlives the call
        **network(),
        **dict(keys.environment),
    }
    for file in keys.files:
        path = home / file.name
        path.touch(mode=0o600)
        path.write_bytes(file.data)
        environment[file.variable] = str(home if file.folder else path)
    if keys.age:
        environment["SOPS_AGE_KEY"] = keys.age
    return environment


async def decrypt_object(obj: Mapping[str, object], keys: Keys, what: str) -> dict[str, object]:
    """An object with a `sops` field, in plain. Raises `DecryptionFailed`."""
    plain: dict[str, object] = json.loads(await decrypt(json.dumps(obj).encode(), "json", keys, what))
    return plain

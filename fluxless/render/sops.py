"""Runs the real `sops`: encrypted text in, plain text out, none of it on disk. Knows formats, no Flux objects.

An encrypted file says who is to be asked for its key. It finds no program to run and no metadata endpoint. It reaches
Key Vaults and the key services of other clouds by their names, and a Vault of HashiCorp's with a token of its own, at
addresses that the app may call: through proxies of ours, since a host may answer that the key is near the app. What the
file says of them is judged before, since Go goes by no proxy to its own machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path, PurePath

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.auth.door import identity_door
from fluxless.auth.purposes import VAULT, hosts_of
from fluxless.limits import SOPS_CPU, SOPS_INPUT, SOPS_MEMORY, SOPS_OUTPUT, SOPS_TIME
from fluxless.process import Limits, ProcessProblem, run
from fluxless.render import outlet
from fluxless.render.binaries import PROGRAM, binary, trust
from fluxless.render.key_services import NotAKeyService, judge
from fluxless.render.keys import Keys

LIMITS = Limits(SOPS_MEMORY, SOPS_CPU, SOPS_OUTPUT)
_CLOUDS = ("amazonaws.com", "amazonaws.com.cn", "api.aws", "googleapis.com")
"""Where keys of AWS KMS and Google Cloud KMS are."""
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
    if len(data) > SOPS_INPUT:
        raise DecryptionFailed(what, f"it is larger than {SOPS_INPUT >> 20} MiB", "split it")
    try:
        await asyncio.to_thread(judge, data, form)
    except NotAKeyService as refused:
        raise DecryptionFailed(what, str(refused), refused.next_step) from None
    executable = await binary("sops")
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fluxless-sops-")))
        way = await stack.enter_async_context(_way_to_vault(keys))
        clouds = await stack.enter_async_context(outlet.opened(timeout=SOPS_TIME, hosts=_is_key_service))
        environment = {**_environment(keys, folder), "VAULT_PROXY_ADDR": way.url}
        environment |= {"HTTPS_PROXY": clouds.url, "HTTP_PROXY": clouds.url}
        if way.url == outlet.NOWHERE:
            environment["VAULT_MAX_RETRIES"] = "0"
        if keys.gives is not None:
            environment |= await stack.enter_async_context(identity_door(VAULT, keys.gives))
        command: list[str | Path] = [
            executable,
            "decrypt",
            "--ignore-mac",
            "--input-type",
            form,
            "--output-type",
            form,
            "/dev/stdin",
        ]
        try:
            finished = await run(
                command,
                cwd=folder,
                env=environment,
                stdin=data,
                timeout=SOPS_TIME,
                max_output=SOPS_OUTPUT,
                limits=LIMITS,
                launcher=await binary(PROGRAM),
            )
        except ProcessProblem:
            _say_refused(what, way, clouds)
            raise
    if finished.code != 0:
        _say_refused(what, way, clouds)
        words = _words(finished.stderr.decode(errors="replace")) or f"exit code {finished.code}"
        if keys.useless:
            step = "put an age identity under a key that ends in .agekey, or a PGP key under one that ends in .asc"
            raise DecryptionFailed(what, f"secret '{keys.useless}' holds no usable key ({words})", step)
        if outlet.NOWHERE.removeprefix("http://") in words:
            step = "put the token of the Vault into the Secret of spec.decryption.secretRef as sops.vault-token"
            raise DecryptionFailed(what, "no Vault is asked without a token", step)
        raise DecryptionFailed(what, words)
    return finished.stdout


def _say_refused(what: str, *ways: outlet.Outlet) -> None:
    """Raises `DecryptionFailed` for an address that sops was kept from: that is why it came to nothing."""
    for refused in (one for way in ways for one in way.refused):
        raise DecryptionFailed(what, str(refused), refused.next_step)


def _is_key_service(host: str) -> bool:
    return any(host == name or host.endswith(f".{name}") for name in (*hosts_of(VAULT), *_CLOUDS))


@contextlib.asynccontextmanager
async def _way_to_vault(keys: Keys) -> AsyncIterator[outlet.Outlet]:
    """The proxy that sops goes through to every Vault, wherever the file says that it is. Without a token nobody there
    would answer, so there is none.
    """
    if not any(name == "VAULT_TOKEN" for name, _ in keys.environment):
        yield outlet.Outlet(outlet.NOWHERE)
    else:
        async with outlet.opened(timeout=SOPS_TIME, redirects=True) as way:
            yield way


def _words(stderr: str) -> str:
    """sops' report, which it draws as a tree with rulers, in one line."""
    words = (word for word in stderr.split() if word.strip("|-"))
    return " ".join(words)[:WORDS]


def _environment(keys: Keys, home: Path) -> dict[str, str]:
    """What the child sees: its private folder and the keys; nothing of who the app is."""
    environment = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "PATH": str(home),  # no plugins of age
        "GNUPGHOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
        "GCE_METADATA_HOST": outlet.NOWHERE.removeprefix("http://"),
        "SOPS_GPG_EXEC": os.devnull,  # its own OpenPGP reads the ring: no gpg, no agent that outlives the call
        **trust(),
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

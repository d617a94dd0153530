"""Runs the real `notation`: has somebody whom a trust policy trusts signed the image of an OCI layout (OR-5)?

The layout is on disk already, so the child needs no registry and no credential. What it asks is whether a certificate
has been revoked, at an address that the certificate names, in plain HTTP: through a proxy of ours that judges
addresses. Go's HTTP goes by no proxy to this machine's own names, so a certificate that spells one out is refused.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.limits import FETCH_SECONDS, NOTATION_CPU, NOTATION_MEMORY, NOTATION_OUTPUT
from fluxless.process import Limits, run
from fluxless.render import outlet
from fluxless.render.binaries import PROGRAM, binary

SIGNATURE = "application/vnd.cncf.notary.signature"
"""The artifact type of its signatures."""
SKIP = "skip"
LIMITS = Limits(NOTATION_MEMORY, NOTATION_CPU, NOTATION_OUTPUT)
ASKED_WITHIN = 15.0
"""Seconds for one question whether a certificate is revoked; notation itself waits for less."""
_HERE = re.compile(rb"http://(?:[^/?#\x00-\x20]*@)?(?:localhost|127\.|\[)", re.IGNORECASE)
WORDS = 500
"""Characters of notation's report that a message keeps."""


class NotationRefuses(Problem):
    """The policy cannot be used, or nobody whom it trusts has signed."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(Failure(FailureClass.SOURCE_AUTH, message, next_step=next_step))


async def verify(
    layout: Path, digest: str, scope: str, policy: bytes, certificates: Mapping[str, bytes], timeout: float
) -> bool:
    """Whether it is verified; False when the policy says to skip that, or only to log what is wrong. `scope` is the
    repository, as a policy names it; every trust store that the policy names holds all certificates, as in Flux.
    Raises `NotationRefuses`, `ProcessProblem`.
    """
    document = _cleaned(policy)
    await asyncio.to_thread(_stay_away, layout)
    executable = await binary("notation")
    with tempfile.TemporaryDirectory(prefix="fluxless-notation-") as name:
        home = Path(name)
        _configure(home / "notation", document, certificates)
        arguments = ["verify", f"--scope={scope}", "--oci-layout", "--", f"{layout}@{digest}"]
        async with outlet.opened(timeout=ASKED_WITHIN) as way:
            environment = {"HOME": name, "XDG_CONFIG_HOME": name, "NOTATION_EXPERIMENTAL": "1"}
            environment |= {"HTTP_PROXY": way.url, "HTTPS_PROXY": way.url}
            finished = await run(
                [executable, *arguments],
                env=environment,
                timeout=min(timeout, FETCH_SECONDS),
                max_output=NOTATION_OUTPUT,
                limits=LIMITS,
                launcher=await binary(PROGRAM),
            )
    if finished.code != 0 and way.refused:
        words = f"whether a certificate is revoked cannot be asked: {way.refused[0]}"
        raise NotationRefuses(words, way.refused[0].next_step)
    said = " ".join((finished.stdout + b" " + finished.stderr).decode(errors="replace").split())
    if finished.code != 0:
        words = said.rpartition("Error: ")[2].replace(f"{layout}@", f"{scope}@")[:WORDS]
        raise NotationRefuses(words, "sign it with `notation sign`, or correct the Secret of spec.verify.secretRef")
    return "Successfully verified signature" in said and "authenticity was set to" not in said


def _cleaned(policy: bytes) -> dict[str, Any]:
    """The policy; where a statement skips verification, whom it trusts means nothing and is left out."""
    try:
        document = json.loads(policy)
        for statement in document["trustPolicies"]:
            stores = statement.get("trustStores") or []
            if not isinstance(stores, list):
                raise TypeError(stores)
            if statement["signatureVerification"]["level"] == SKIP:
                statement["trustStores"], statement["trustedIdentities"] = [], []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        words = "trustpolicy.json is no trust policy of the Notary Project"
        raise NotationRefuses(words, "correct trustpolicy.json in the Secret of spec.verify.secretRef") from None
    found: dict[str, Any] = document
    return found


def _stay_away(layout: Path) -> None:
    """Raises `NotationRefuses` for a certificate that is to be asked about at an address of this machine."""
    for file in sorted((layout / "blobs").rglob("*")):
        if file.is_file() and any(_HERE.search(text) for text in _texts(file.read_bytes())):
            words = "a certificate of the signature is to be asked about on the app's own machine"
            raise NotationRefuses(words, "sign it with a certificate that names a public OCSP responder or CRL")


def _texts(data: bytes) -> Iterator[bytes]:
    """The bytes, and what stands in base64 in them if they are JSON: certificates, in the envelopes' two forms."""
    yield data
    try:
        stack: list[Any] = [json.loads(data.decode(errors="replace"), object_pairs_hook=list)]
    except ValueError:
        return
    except RecursionError:
        raise NotationRefuses("a signature is nested too deeply", "sign it again") from None
    while stack:
        value = stack.pop()
        if isinstance(value, list | tuple):
            stack += value
        elif isinstance(value, str):
            text = value.translate(_STANDARD)
            try:
                yield base64.b64decode(text + "=" * (-len(text) % 4))
            except (binascii.Error, ValueError):
                continue


_STANDARD = str.maketrans("-_", "+/", "\r\n")


def _configure(folder: Path, document: Mapping[str, Any], certificates: Mapping[str, bytes]) -> None:
    folder.mkdir(mode=0o700)
    stores = {str(store) for statement in document["trustPolicies"] for store in statement.get("trustStores") or []}
    for store in sorted(stores):
        kind, _, name = store.partition(":")
        if not name or {kind, name} & {"", ".", ".."} or "/" in store:
            raise NotationRefuses(f"trustpolicy.json names a trust store '{store}'", "write it like ca:name")
        place = folder / "truststore" / "x509" / kind / name
        place.mkdir(parents=True, exist_ok=True)
        for number, key in enumerate(sorted(certificates)):
            (place / f"{number}.crt").write_bytes(certificates[key])
    file = folder / "trustpolicy.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(document))

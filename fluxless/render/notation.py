"""Runs the real `notation`: has somebody whom a trust policy trusts signed the image of an OCI layout (OR-5)?

The layout is on disk already, so the child needs no registry and no credential.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.process import run
from fluxless.render.binaries import binary, network

SIGNATURE = "application/vnd.cncf.notary.signature"
"""The artifact type of its signatures."""
SKIP = "skip"
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
    executable = await binary("notation")
    with tempfile.TemporaryDirectory(prefix="fluxless-notation-") as name:
        home = Path(name)
        _configure(home / "notation", document, certificates)
        environment = {"HOME": name, "XDG_CONFIG_HOME": name, "NOTATION_EXPERIMENTAL": "1", **network()}
        arguments = ["verify", "--oci-layout", f"{layout}@{digest}", "--scope", scope]
        finished = await run([executable, *arguments], env=environment, timeout=timeout)
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
            if statement["signatureVerification"]["level"] == SKIP:
                statement["trustStores"], statement["trustedIdentities"] = [], []
    except (ValueError, KeyError, TypeError, RecursionError):
        words = "trustpolicy.json is no trust policy of the Notary Project"
        raise NotationRefuses(words, "correct trustpolicy.json in the Secret of spec.verify.secretRef") from None
    found: dict[str, Any] = document
    return found


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

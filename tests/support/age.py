"""Key pairs of age, and sops that encrypts for them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from tools import binaries


@dataclass(frozen=True)
class Age:
    """A key pair."""

    identity: str
    recipient: str

    def encrypt(self, text: str, form: str = "yaml", *options: str) -> str:
        """The text, encrypted by sops."""
        return subprocess.run(
            [
                *(str(binaries.find(binaries.SOPS)), "encrypt", "--age", self.recipient),
                *("--input-type", form, "--output-type", "json" if form == "binary" else form, *options, "/dev/stdin"),
            ],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout


def generate() -> Age:
    """A new pair."""
    keygen = str(binaries.find(binaries.AGE_KEYGEN))
    text = subprocess.run([keygen], capture_output=True, text=True, check=True, timeout=60).stdout
    identity = next(line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY"))
    recipient = next(line for line in text.splitlines() if "public key" in line).rpartition(" ")[2]
    return Age(identity, recipient)

"""The built-in doors for webhooks, which need no object in any cluster. Each checks who sends, reads which repository
it is about, and nothing more: a webhook only says when; what there is to fetch is asked of the repository itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fluxless import limits
from fluxless.notification import signatures


@dataclass(frozen=True, slots=True)
class Answer:
    """What to tell the sender: HTTP status and a sentence. `keys` are those of the repositories (see `directory.py`),
    set when there is something to do; `delivery` tells a replay from a first delivery, where the sender numbers them.
    """

    status: int
    text: str
    keys: tuple[str, ...] = ()
    delivery: str = ""
    kind: str = "text/plain"


def too_large(body: bytes) -> Answer | None:
    """The refusal of a body that nobody should have to parse."""
    if len(body) > limits.CALLER_BODY:
        return Answer(413, f"the body is larger than {limits.CALLER_BODY >> 20} MiB")
    return None


def same(given: str, secret: str) -> bool:
    """Compares in a time that tells nothing; never equal to an empty secret."""
    return bool(secret) and signatures.same(given, secret)


def unset(setting: str) -> Answer:
    """A door without a secret is closed."""
    return Answer(401, f"no webhook secret is configured: set the app setting {setting}")


def texts(found: Any, *fields: str) -> list[str]:
    """The fields of an object that are texts and not empty."""
    if not isinstance(found, Mapping):
        return []
    return [value for field in fields if isinstance(value := found.get(field), str) and value]

"""Function keys: made at the first start, kept in the state folder, checked as Azure checks them."""

from __future__ import annotations

import hmac
import json
import secrets
from pathlib import Path


class Keys:
    """The master key, the default function key and the system key of Durable."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            made = {name: secrets.token_urlsafe(32) for name in ("master", "function", "durable")}
            path.touch(mode=0o600)
            path.write_text(json.dumps(made, indent=1))
        self._keys: dict[str, str] = json.loads(path.read_text())

    @property
    def durable(self) -> str:
        """The system key of the Durable HTTP API."""
        return self._keys["durable"]

    def allows(self, level: str, given: str) -> bool:
        """Whether the key opens a door of that level: anonymous, function, admin or durable."""
        if level == "anonymous":
            return True
        accepted = [self._keys["master"]]
        if level in {"function", "durable"}:
            accepted.append(self._keys[level])
        return any(hmac.compare_digest(given.encode(), key.encode()) for key in accepted)

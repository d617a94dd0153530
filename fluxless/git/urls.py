"""Spellings of a repository's address. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_SCP = re.compile(r"^(?:[^@/]+@)?([^:/]+):(?!//)(.+)$")


def normalise(url: str) -> str:
    """One key for all spellings of a repository: https, ssh, scp-like, with or without `.git`, user, port, any case.

    `https://GitHub.com/Org/App.git`, `ssh://git@github.com/org/app` and `git@github.com:org/app.git` have one key.
    """
    text = url.strip()
    scp = _SCP.match(text) if "://" not in text else None
    if scp is not None:
        host, path = scp[1], scp[2]
    else:
        try:
            parts = urlsplit(text)
            default = {"https": 443, "http": 80, "ssh": 22}.get(parts.scheme)
            host = parts.hostname or ""
            if parts.port not in (None, default):
                host += f":{parts.port}"
        except ValueError:
            return text.lower()
        path = parts.path
    path = unquote(path).strip("/")
    return f"{host}/{path.removesuffix('.git').strip('/')}".lower()

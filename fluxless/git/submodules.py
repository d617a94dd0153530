"""`.gitmodules` (gitmodules(5)): where submodules come from. Pure."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import urlsplit, urlunsplit

from fluxless.git.errors import GitProblem, public

_SECTION = re.compile(r'^\s*\[submodule\s+"((?:[^"\\]|\\.)*)"\s*\]\s*$')
_SCP = re.compile(r"^(?:([^@/\s]+)@)?([^:/\s]+):(?!//)(.+)$")


def read(text: str, parent: str) -> dict[str, str]:
    """URL by path. Relative URLs and the form `git@host:path` are made absolute. Raises `GitProblem` for a URL that is
    neither http, https nor ssh.
    """
    sections: list[dict[str, str]] = []
    for line in text.splitlines():
        if _SECTION.match(line):
            sections.append({})
        elif sections and "=" in line:
            key, _, value = line.partition("=")
            sections[-1][key.strip().lower()] = value.strip().strip('"')
    return {
        section["path"].strip("/"): _absolute(section["url"], parent)
        for section in sections
        if section.get("path") and section.get("url")
    }


def _absolute(url: str, parent: str) -> str:
    if url.startswith(("./", "../")):
        parts = urlsplit(parent)
        path = posixpath.normpath(posixpath.join(parts.path.rstrip("/") or "/", url))
        return urlunsplit(parts._replace(path=path))
    if "://" not in url and (scp := _SCP.match(url)):
        return f"ssh://{scp[1] or 'git'}@{scp[2]}/{scp[3].lstrip('/')}"
    if not url.startswith(("http://", "https://", "ssh://")):
        step = "use an http, https or ssh URL in .gitmodules"
        raise GitProblem(f"submodule URL '{public(url)}' of '{public(parent)}' cannot be fetched", step)
    return url

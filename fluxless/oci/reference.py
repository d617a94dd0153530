"""Names of repositories and of what is in them (OR-1), by the rules of the OCI distribution specification. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fluxless.oci.errors import InvalidReference

SCHEME = "oci://"
DEFAULT_TAG = "latest"
DOCKER_HUB = "index.docker.io"
_HOST = re.compile(r"^(?=.*[.:]|localhost$)(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?$")
_PATH = re.compile(r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$")
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$|^sha512:[0-9a-f]{128}$")
_LOOPBACK = re.compile(r"^(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?$")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of a registry; `host` with its port."""

    host: str
    path: str

    @classmethod
    def parse(cls, url: str) -> Repository:
        """Read `oci://host[:port]/path`. Raises `InvalidReference`."""
        repository, reference = parse(url)
        if reference:
            said = reference if reference.startswith("@") else f":{reference}"
            raise InvalidReference(f"URL must not contain a tag; remove '{said}'", "give the tag in spec.ref.tag")
        return repository

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine, where HTTP without TLS is fine."""
        return bool(_LOOPBACK.match(self.host))

    def __str__(self) -> str:
        """As users write it, without the scheme."""
        return f"{self.host}/{self.path}"


def parse(url: str) -> tuple[Repository, str]:
    """Read `oci://host/path[:tag][@digest]`: the repository, and the tag or `@digest`; empty for neither."""
    if not url.startswith(SCHEME):
        raise InvalidReference("URL must be in format 'oci://<domain>/<org>/<repo>'", "write it like oci://host/path")
    host, _, rest = url.removeprefix(SCHEME).partition("/")
    path, at, digest = rest.partition("@")
    path, _, tag = path.partition(":")
    if not _HOST.match(host):
        raise InvalidReference(f"'{url}' names no registry", "write it like oci://registry.example/org/app")
    if host in {"docker.io", "registry-1.docker.io"}:
        host = DOCKER_HUB
    if not _PATH.match(path):
        step = "use lower-case letters, digits and the separators . _ - /"
        raise InvalidReference(f"'{url}' names no repository: '{path}' is no valid path", step)
    if at:
        return Repository(host, path), f"@{checked_digest(digest)}"
    return Repository(host, path), checked_tag(tag) if tag else ""


def checked_tag(tag: str) -> str:
    """The tag. Raises `InvalidReference` when it cannot be one."""
    if not _TAG.match(tag):
        step = "use letters, digits and . _ -, at most 128, not beginning with . or -"
        raise InvalidReference(f"'{tag}' is no valid tag", step)
    return tag


def checked_digest(digest: str) -> str:
    """The digest. Raises `InvalidReference` when it is none."""
    if not DIGEST.match(digest):
        raise InvalidReference(f"'{digest}' is no digest", "write it like sha256: and 64 hexadecimal digits")
    return digest

"""Credentials for Git over HTTP and SSH, and the one HTTP session that uses them, for `ls_remote.py` and `relay.py`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fluxless import transport
from fluxless.api.failure import FailureClass
from fluxless.git.errors import GitProblem
from fluxless.transport import Proxy, Tls

if TYPE_CHECKING:
    import aiohttp

NO_TLS = Tls()


@dataclass(frozen=True, slots=True, repr=False)
class Auth:
    """What a Secret says (CM-18): `username`, `password`, `bearer` and `tls` for HTTP; `identity`, a private key with
    `password` as its passphrase, and `known_hosts` for SSH. `proxy` is for both.
    """

    username: str = ""
    password: str = ""
    bearer: str = ""
    tls: Tls = NO_TLS
    identity: bytes = b""
    known_hosts: bytes = b""
    proxy: Proxy | None = None

    @classmethod
    def of_secret(cls, data: Mapping[str, bytes], name: str, url: str) -> Auth:
        """Read a Secret's data for a URL; old key names count as well. Raises `GitProblem` for halves of a pair, and
        for what the URL's scheme needs and the Secret lacks.
        """

        def text(key: str) -> str:
            return data.get(key, b"").decode(errors="replace").strip("\n")

        if url.startswith("ssh://"):
            for key in ("identity", "known_hosts"):
                if not data.get(key):
                    raise SecretProblem(name, f"has no key '{key}', which ssh needs")
            return cls(password=text("password"), identity=data["identity"], known_hosts=data["known_hosts"])
        try:
            tls = Tls.of_secret(data)
        except ValueError as error:
            raise SecretProblem(name, str(error)) from None
        auth = cls(text("username"), text("password"), text("bearerToken"), tls)
        if auth.password and not auth.username:
            raise SecretProblem(name, "has a password but no username")
        if auth.bearer and auth.username:
            raise SecretProblem(name, "has both bearerToken and username")
        return auth

    @property
    def header(self) -> str:
        """The Authorization header, or empty."""
        if self.bearer:
            return f"Bearer {self.bearer}"
        if self.username:
            return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return ""

    def for_submodule(self, parent: str, url: str) -> Auth:
        """What a submodule gets to see (GR-10): everything on the same server, on another one only the proxy."""
        here, there = urlsplit(parent), urlsplit(url)
        if (here.scheme, here.netloc.rpartition("@")[2]) == (there.scheme, there.netloc.rpartition("@")[2]):
            return self
        return replace(Auth(), proxy=self.proxy)


class SecretProblem(GitProblem):
    """The Secret of `spec.secretRef` cannot be used."""

    def __init__(self, name: str, what: str) -> None:
        subject = f"secret '{name}'" if name else "the secret"
        super().__init__(f"{subject} {what}", "correct the Secret of spec.secretRef", FailureClass.SOURCE_AUTH)


def session(auth: Auth, timeout: float) -> aiohttp.ClientSession:
    """An HTTP session that authenticates; `timeout` in seconds for one whole request. The caller closes it. Raises
    `GitProblem` for TLS material that cannot be read.
    """
    headers = {"User-Agent": "git/2.40 fluxless"}
    if auth.header:
        headers["Authorization"] = auth.header
    try:
        return transport.session(tls=auth.tls, proxy=auth.proxy, headers=headers, timeout=timeout, decompress=False)
    except ValueError as error:
        raise SecretProblem("", str(error)) from error

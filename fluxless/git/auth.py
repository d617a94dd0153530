"""Credentials for Git over HTTP, and the one HTTP client that uses them, for `ls_remote.py` and `relay.py`."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fluxless.api.failure import FailureClass
from fluxless.git.errors import GitProblem

if TYPE_CHECKING:
    import aiohttp


@dataclass(frozen=True, slots=True, repr=False)
class Auth:
    """What a Secret says (CM-18). `ca`, `certificate` and `key` as PEM."""

    username: str = ""
    password: str = ""
    bearer: str = ""
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""

    @classmethod
    def of_secret(cls, data: Mapping[str, bytes], name: str) -> Auth:
        """Read a Secret's data; old key names count as well. Raises `GitProblem` for halves of a pair."""

        def text(key: str) -> str:
            return data.get(key, b"").decode(errors="replace").strip("\n")

        auth = cls(
            username=text("username"),
            password=text("password"),
            bearer=text("bearerToken"),
            ca=data.get("ca.crt") or data.get("caFile") or b"",
            certificate=data.get("tls.crt") or data.get("certFile") or b"",
            key=data.get("tls.key") or data.get("keyFile") or b"",
        )
        if bool(auth.certificate) != bool(auth.key):
            raise SecretProblem(name, "has only one of tls.crt and tls.key")
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

    def tls(self) -> ssl.SSLContext:
        """The TLS context. Raises `GitProblem` for material that is no PEM; blocking, short."""
        if not self.ca and not self.certificate:
            return _public()
        context = ssl.create_default_context()
        try:
            if self.ca:
                context.load_verify_locations(cadata=self.ca.decode())
            if self.certificate:
                with tempfile.NamedTemporaryFile(prefix="fluxless-tls-") as file:  # ssl takes certificates by path only
                    Path(file.name).write_bytes(self.certificate + b"\n" + self.key)
                    context.load_cert_chain(file.name)
        except (ssl.SSLError, ValueError) as error:
            raise SecretProblem("", f"holds a CA or certificate that cannot be read: {error}") from error
        return context


@cache
def _public() -> ssl.SSLContext:
    """The context of all who bring no certificates: reading the system's authorities takes some 30 ms."""
    return ssl.create_default_context()


class SecretProblem(GitProblem):
    """The Secret of `spec.secretRef` cannot be used."""

    def __init__(self, name: str, what: str) -> None:
        subject = f"secret '{name}'" if name else "the secret"
        super().__init__(f"{subject} {what}", "correct the Secret of spec.secretRef", FailureClass.SOURCE_AUTH)


def session(auth: Auth, timeout: float) -> aiohttp.ClientSession:
    """An HTTP session that authenticates; `timeout` in seconds for one whole request. The caller closes it."""
    import aiohttp

    headers = {"User-Agent": "git/2.40 fluxless"}
    if auth.header:
        headers["Authorization"] = auth.header
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=auth.tls(), limit=4),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=timeout),
        auto_decompress=False,
        trust_env=True,
    )

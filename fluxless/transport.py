"""HTTP clients that trust, show and go through what a user says: TLS material and a proxy. Git, registries, buckets,
Helm repositories and issuers of tokens are all asked by a session of this room, which reaches only what
`addresses.py` allows.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies_environment

from fluxless import addresses, limits

if TYPE_CHECKING:
    import aiohttp


@dataclass(frozen=True, slots=True, repr=False)
class Tls:
    """Authorities to trust and a certificate to show, as PEM; `insecure` trusts everybody."""

    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    insecure: bool = False

    @classmethod
    def of_secret(cls, data: Mapping[str, bytes], *, insecure: bool = False) -> Tls:
        """TLS by the keys of a Secret, old names included (CM-18). Raises ValueError for half of a pair."""
        tls = cls(
            ca=data.get("ca.crt") or data.get("caFile") or b"",
            certificate=data.get("tls.crt") or data.get("certFile") or b"",
            key=data.get("tls.key") or data.get("keyFile") or b"",
            insecure=insecure,
        )
        if bool(tls.certificate) != bool(tls.key):
            raise ValueError("has only one of tls.crt and tls.key")
        return tls

    def context(self) -> ssl.SSLContext:
        """One for all who bring the same; blocking, short. Raises ValueError for material that is no PEM."""
        return _context(self)


@lru_cache(maxsize=128)
def _context(tls: Tls) -> ssl.SSLContext:
    """Reading the system's authorities takes some 30 ms: kept, and left out where everybody is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if tls.insecure else ssl.create_default_context()
    try:
        if tls.ca:
            context.load_verify_locations(cadata=tls.ca.decode())
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"holds a CA that cannot be read: {error}") from error
    if tls.certificate:
        show(context, tls.certificate, tls.key)
    if tls.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Let a context show a certificate; blocking, short. Raises ValueError for what is no PEM, and for a key with a
    passphrase, which OpenSSL would ask the worker's terminal for.
    """
    try:
        with tempfile.NamedTemporaryFile(prefix="fluxless-tls-") as file:  # ssl takes certificates by path only
            Path(file.name).write_bytes(certificate + b"\n" + key)
            context.load_cert_chain(file.name, password=_no_passphrase)
    except (OSError, ValueError) as error:
        raise ValueError(f"holds a certificate or key that cannot be read: {error}") from error


def _no_passphrase() -> bytes:
    raise ValueError("the key is encrypted; give it without a passphrase")


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """`address` is `http://`, `https://` or `socks5://` with host and port, without credentials."""

    address: str
    username: str = ""
    password: str = ""

    @classmethod
    def of_secret(cls, data: Mapping[str, bytes]) -> Proxy:
        """The keys address, username and password. Raises ValueError saying what is wrong with them."""
        address = data.get("address", b"").decode(errors="replace").strip()
        if not address:
            raise ValueError("has no key 'address'")
        if urlsplit(address).scheme not in {"http", "https", "socks5"} or not urlsplit(address).hostname:
            raise ValueError("has an 'address' that is no http://, https:// or socks5:// URL of a proxy")
        username, password = (data.get(key, b"").decode(errors="replace") for key in ("username", "password"))
        if bool(username) != bool(password):
            raise ValueError("has only one of username and password")
        return cls(address, username, password)

    @property
    def url(self) -> str:
        """With its credentials."""
        scheme, _, rest = self.address.partition("://")
        who = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.username else ""
        return f"{scheme}://{who}{rest}"


def proxied() -> bool:
    """Whether the environment names a proxy. Where it does not, aiohttp need not look for one in a thread, with the
    user's netrc, before every request: that took a tenth of the worker's time.
    """
    return bool(getproxies_environment())


def session(
    *,
    tls: Tls | None = None,
    proxy: Proxy | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float,
    decompress: bool = True,
    own_proxy: bool = True,
    response_class: type[aiohttp.ClientResponse] | None = None,
) -> aiohttp.ClientSession:
    """An HTTP session; `timeout` in seconds for one whole request, which an object's own lengthens up to
    `limits.FETCH_SECONDS` only. The caller closes it. Raises ValueError for TLS
    material that cannot be read. Without a proxy of its own it uses that of the environment, unless `own_proxy` says
    that each request brings one. Its requests, redirected ones included, raise OSError for addresses that the app does
    not call (`addresses.AddressRefused`).
    """
    import aiohttp

    from fluxless.connections import Connector, SocksConnector

    context = (tls or Tls()).context()
    named: dict[str, Any] = {}
    if proxy is not None and proxy.address.startswith("socks5://"):
        connector: aiohttp.BaseConnector = SocksConnector(proxy, context, limit=4)
    else:
        connector = Connector(ssl=context, limit=4, own_proxy=own_proxy and proxy is None)
        if proxy is not None:
            named["proxy"] = proxy.url
    if response_class is not None:
        named["response_class"] = response_class
    return aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=min(timeout, limits.FETCH_SECONDS)),
        auto_decompress=decompress,
        trust_env=own_proxy and proxy is None and proxied(),
        **named,
    )


class AnswerTooLarge(OSError):
    """An answer has more bytes than it may have. An OSError: rooms treat it as no answer."""

    def __init__(self, limit: int) -> None:
        size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
        super().__init__(f"the answer is larger than {size}")


async def read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, decompressed where the session does so, of at most `limit` bytes. Raises `AnswerTooLarge` before more
    is in memory, and what else reading raises.
    """
    said = answer.headers.get("Content-Length", "")
    if said.isdigit() and len(said) < 20 and int(said) > limit:
        answer.close()
        raise AnswerTooLarge(limit)
    data = bytearray()
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > limit:
            answer.close()
            raise AnswerTooLarge(limit)
    answer.release()
    return bytes(data)


def words(error: Exception, timeout: float) -> tuple[str, str]:
    """What went wrong on the way, and the next step, for any error that a session raises: those of aiohttp, OSError and
    TimeoutError.
    """
    import aiohttp

    if (refused := addresses.refusal(error)) is not None:
        return str(refused), refused.next_step
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the TLS certificate is not trusted: {error.certificate_error}", "give the CA that signed it as ca.crt"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError) or "[SSL: " in str(error):
        step = "check the TLS settings; a server that asks for a client certificate needs tls.crt and tls.key"
        return f"TLS failure: {error}", step
    if isinstance(error, AnswerTooLarge):
        return str(error), "check the address: no server should answer so much"
    if isinstance(error, asyncio.TimeoutError):
        return f"no answer within {timeout:.0f} s", "raise spec.timeout, or check the server"
    return str(error) or type(error).__name__, "check the address and that the app can reach it; it is tried again"

"""The one client of registries: `/v2` of the OCI distribution specification (OR-1..7), for ACR and all others.

Every manifest and blob is checked against its digest, sizes are limited, lists are paged, and a redirect to another
host (ACR sends blobs from Blob Storage) is followed without the token.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from fluxless import limits
from fluxless.auth.purposes import ACR, HostRefused
from fluxless.disk import Roomy, written
from fluxless.oci import auth, media
from fluxless.oci.auth import ANONYMOUS, Credentials, Tokens
from fluxless.oci.errors import (
    ContentMismatch,
    NotInRegistry,
    RegistryProblem,
    RegistryRefused,
    RegistryUnavailable,
)
from fluxless.oci.reference import DIGEST, DOCKER_HUB, Repository
from fluxless.transport import Proxy, Tls, session, words

if TYPE_CHECKING:
    import aiohttp

MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes of a manifest; the specification's own limit."""
BLOB_LIMIT = 1024 * 1024 * 1024
"""Bytes of one layer."""
LIST_LIMIT = 64 * 1024 * 1024
PAGES = 200
REDIRECTS = 5
CHUNK = 1 << 20
TOKENS = Tokens()
"""Those of this worker."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of a layer or of its config."""

    digest: str
    size: int
    media_type: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: Any) -> Descriptor:
        """Read one. Raises ValueError."""
        digest, size, notes = str(entry["digest"]), entry["size"], entry.get("annotations") or {}
        if not DIGEST.match(digest) or not isinstance(size, int) or size < 0 or not isinstance(notes, dict):
            raise ValueError(digest)
        return cls(digest, size, str(entry.get("mediaType", "")), notes)


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest. `digest` is that of `raw`, its bytes."""

    digest: str
    media_type: str
    raw: bytes
    layers: tuple[Descriptor, ...]
    config: Descriptor | None
    annotations: Mapping[str, str]


class Registry:
    """One repository of a registry; an async context, in which one session is open.

    Raises `RegistryProblem` from every verb. `timeout` is in seconds, for one request.
    """

    def __init__(
        self,
        repository: Repository,
        credentials: Credentials = ANONYMOUS,
        *,
        tls: Tls | None = None,
        proxy: Proxy | None = None,
        insecure: bool = False,
        timeout: float = 60.0,
        push: bool = False,
        tokens: Tokens = TOKENS,
    ) -> None:
        self.repository = repository
        self._who = credentials
        self._tls = replace(tls or Tls(), insecure=True) if insecure else tls or Tls()
        self._proxy = proxy
        self._insecure = insecure
        self._timeout = timeout
        self._scope = f"repository:{repository.path}:{'pull,push' if push else 'pull'}"
        self._share = tokens.share(repository.host, credentials, self._tls, proxy)
        self._base = ""
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Registry:
        try:
            self._http = session(tls=self._tls, proxy=self._proxy, timeout=self._timeout, decompress=False)
        except ValueError as error:
            step = "correct the Secret of spec.certSecretRef"
            raise RegistryRefused(f"the Secret of certificates {error}", step) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    # -- reading ----------------------------------------------------------------------------------------------------

    async def tags(self) -> list[str]:
        """All tags, page by page."""
        found: list[str] = []
        path = f"/v2/{self.repository.path}/tags/list"
        for _ in range(PAGES):
            async with self._request("GET", path) as reply:
                body = await _read(reply, LIST_LIMIT, f"the list of tags of '{self.repository}'")
                following = self._following(reply)
            try:
                found += [str(tag) for tag in json.loads(body).get("tags") or []]
            except (ValueError, AttributeError, TypeError, RecursionError):
                raise RegistryUnavailable(f"'{self.repository.host}' answers no list of tags") from None
            if following is None:
                return found
            path = urlsplit(str(following))._replace(scheme="", netloc="").geturl()
        raise RegistryUnavailable(f"the list of tags of '{self.repository}' does not end")

    def _following(self, reply: aiohttp.ClientResponse) -> Any:
        """The address of the next page, or None."""
        try:
            return reply.links["next"].get("url") if "next" in reply.links else None
        except ValueError:
            words = f"'{self.repository.host}' answers with a malformed header Link"
            raise RegistryUnavailable(words) from None

    async def digest(self, tag: str) -> str:
        """The digest of the manifest of a tag: one HEAD."""
        async with self._request("HEAD", self._manifest(tag), headers=_ACCEPT, fine=(404, 405)) as reply:
            said = reply.headers.get("Docker-Content-Digest", "") if reply.status == 200 else ""
        if DIGEST.match(said):
            return said
        raw, _ = await self._get_manifest(tag)  # a registry that does not answer HEAD
        return _digest_of(raw)

    async def manifest(self, reference: str) -> Manifest:
        """The image manifest of a tag or digest; of an index, that for linux/amd64, else the first."""
        for _ in range(limits.INDEX_DEPTH):
            raw, kind = await self._get_manifest(reference)
            document = self._document(raw, reference)
            kind = str(document.get("mediaType") or kind)
            if kind not in {media.INDEX, media.DOCKER_INDEX}:
                return self._read_manifest(raw, kind, document, reference)
            reference = self._of_index(document, reference)
        words = f"'{self.repository}' has indexes of indexes, more than {limits.INDEX_DEPTH} deep, at '{reference}'"
        raise ContentMismatch(words, "push an index that names manifests")

    def _read_manifest(self, raw: bytes, kind: str, document: Mapping[str, Any], reference: str) -> Manifest:
        try:
            layers = tuple(Descriptor.of(entry) for entry in document.get("layers") or [])
            config = Descriptor.of(document["config"]) if document.get("config") else None
            notes = {str(key): str(value) for key, value in (document.get("annotations") or {}).items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ContentMismatch(f"the manifest '{reference}' of '{self.repository}' is malformed") from None
        return Manifest(_digest_of(raw), kind, raw, layers, config, notes)

    def _of_index(self, document: Mapping[str, Any], reference: str) -> str:
        listed = document.get("manifests")
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        fitting = [entry for entry in entries if _platform(entry) == ("linux", "amd64")]
        for entry in [*fitting, *entries]:
            if DIGEST.match(str(entry.get("digest"))):
                return str(entry["digest"])
        raise ContentMismatch(f"the index '{reference}' of '{self.repository}' names no manifest")

    async def download(self, layer: Descriptor, target: Path, *, limit: int = BLOB_LIMIT) -> None:
        """A blob into a file, in bounded memory."""
        what = f"blob {layer.digest} of '{self.repository}'"
        if layer.size > limit:
            raise ContentMismatch(f"{what} has {layer.size} bytes, more than {limit}", "make the artifact smaller")
        sink = _Sink(layer.digest)
        path = f"/v2/{self.repository.path}/blobs/{layer.digest}"
        with written(target, what) as file:
            async with self._request("GET", path) as reply:
                buffer = bytearray()
                async for chunk in reply.content.iter_any():
                    buffer += chunk
                    if sink.size + len(buffer) > layer.size:
                        raise ContentMismatch(f"{what} is longer than its manifest says")
                    if len(buffer) >= CHUNK:
                        full, buffer = bytes(buffer), bytearray()
                        await asyncio.to_thread(sink.write, file, full)
                await asyncio.to_thread(sink.write, file, bytes(buffer))
        if sink.size != layer.size or not sink.matches():
            raise ContentMismatch(f"{what} does not have its digest", "push the artifact again; it is tried again")

    async def blob(self, layer: Descriptor, *, limit: int = MANIFEST_LIMIT) -> bytes:
        """A small blob, such as a config or a signature."""
        what = f"blob {layer.digest} of '{self.repository}'"
        async with self._request("GET", f"/v2/{self.repository.path}/blobs/{layer.digest}") as reply:
            data = await _read(reply, min(limit, layer.size), what)
        if not _matches(data, layer.digest):
            raise ContentMismatch(f"{what} does not have its digest")
        return data

    async def referrers(self, digest: str, artifact_type: str = "") -> list[Descriptor]:
        """The manifests that refer to a digest: by the referrers API, else by the tag that stands in for it."""
        path = f"/v2/{self.repository.path}/referrers/{digest}"
        async with self._request("GET", path, headers={"Accept": media.INDEX}, fine=(400, 404)) as reply:
            raw = await _read(reply, MANIFEST_LIMIT, "the list of referrers") if reply.status == 200 else b""
        if not raw:
            try:
                raw, _ = await self._get_manifest(digest.replace(":", "-"))
            except NotInRegistry:
                return []
        entries = self._document(raw, "referrers").get("manifests") or []
        try:
            found = [(Descriptor.of(entry), str(entry.get("artifactType", ""))) for entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ContentMismatch(f"the list of referrers of {digest} in '{self.repository}' is malformed") from None
        return [entry for entry, kind in found if not artifact_type or kind == artifact_type]

    # -- writing ----------------------------------------------------------------------------------------------------

    async def push_blob(self, data: bytes | Path, digest: str, size: int) -> None:
        """Upload a blob unless it is there."""
        path = f"/v2/{self.repository.path}/blobs/{digest}"
        async with self._request("HEAD", path, fine=(404,)) as reply:
            if reply.status == 200:
                return
        async with self._request("POST", f"/v2/{self.repository.path}/blobs/uploads/") as reply:
            location = urljoin(str(reply.url), reply.headers.get("Location", ""))
        where = urlsplit(location)
        query = f"{where.query}&digest={digest}" if where.query else f"digest={digest}"
        local = where._replace(scheme="", netloc="", query=query).geturl()
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with contextlib.ExitStack() as stack:
            body: Any = stack.enter_context(data.open("rb")) if isinstance(data, Path) else data
            async with self._request("PUT", local, headers=headers, data=body):
                return

    async def push_manifest(self, raw: bytes, media_type: str, reference: str) -> str:
        """Upload a manifest under a tag or its digest; its digest."""
        async with self._request("PUT", self._manifest(reference), headers={"Content-Type": media_type}, data=raw):
            return _digest_of(raw)

    async def raw_manifest(self, reference: str) -> tuple[bytes, str]:
        """The bytes of a manifest or index, and their media type."""
        return await self._get_manifest(reference)

    # -- on the wire ------------------------------------------------------------------------------------------------

    def _manifest(self, reference: str) -> str:
        return f"/v2/{self.repository.path}/manifests/{reference}"

    async def _get_manifest(self, reference: str) -> tuple[bytes, str]:
        async with self._request("GET", self._manifest(reference), headers=_ACCEPT) as reply:
            raw = await _read(reply, MANIFEST_LIMIT, f"the manifest '{reference}' of '{self.repository}'")
            kind = reply.content_type
        if DIGEST.match(reference) and not _matches(raw, reference):
            raise ContentMismatch(f"the manifest {reference} of '{self.repository}' does not have its digest")
        return raw, kind

    def _document(self, raw: bytes, reference: str) -> Mapping[str, Any]:
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ContentMismatch(f"the manifest '{reference}' of '{self.repository}' is no JSON object")
        return found

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        fine: tuple[int, ...] = (),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp

        try:
            async with contextlib.AsyncExitStack() as stack:
                reply = await self._authorized(stack, method, path, dict(headers or {}), data)
                if reply.status >= 300 and reply.status not in fine:
                    raise await self._refusal(reply, path)
                yield reply
        except HostRefused as problem:
            raise RegistryRefused(problem.failures[0].message, problem.failures[0].next_step) from problem
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            said, step = words(error, self._timeout)
            raise RegistryUnavailable(f"unable to reach '{self.repository.host}': {said}", step) from error

    async def _authorized(
        self, stack: contextlib.AsyncExitStack, method: str, path: str, headers: dict[str, str], data: Any
    ) -> aiohttp.ClientResponse:
        assert self._http is not None  # noqa: S101  (an async context)
        base = await self._where()
        known = await self._token(base, self._share.challenge)
        reply = await self._follow(stack, method, f"{base}{path}", headers, known, data)
        challenge = reply.headers.get("WWW-Authenticate", "")
        if reply.status != 401 or not challenge:
            return reply
        self._share.forget(self._scope)
        self._share.challenge = challenge
        header = await self._token(base, challenge)
        if not header or header == known:
            return reply
        reply.release()  # what it says of the refusal nobody reads, however long it is
        if data is not None and hasattr(data, "seek"):
            data.seek(0)
        return await self._follow(stack, method, f"{base}{path}", headers, header, data)

    async def _token(self, base: str, challenge: str) -> str:
        if not challenge:
            return ""
        assert self._http is not None  # noqa: S101
        self._admit(base)  # before anything that was earned is read, or sent
        share, scope = self._share, self._scope
        if known := share.get(scope):
            return known
        wait = min(self._timeout, limits.TOKEN_SECONDS)
        try:
            async with asyncio.timeout(wait), share.turn(scope):
                if known := share.get(scope):
                    return known
                header, life = await auth.answer(
                    self._http, base, self.repository, challenge, self._who, scope, share, self._entra
                )
                if header:
                    share.put(scope, header, life)
                return header
        except TimeoutError:
            words = f"'{self.repository.host}' gives no token within {wait:.0f} s"
            raise RegistryUnavailable(words, "raise spec.timeout, or check the server of tokens") from None

    async def _follow(
        self,
        stack: contextlib.AsyncExitStack,
        method: str,
        url: str,
        headers: dict[str, str],
        authorization: str,
        data: Any,
    ) -> aiohttp.ClientResponse:
        """Redirects lose the token as soon as they leave the registry, or its TLS."""
        assert self._http is not None  # noqa: S101
        home = urlsplit(url)[:2]
        if authorization:
            self._admit(url)
        for _ in range(REDIRECTS + 1):
            trusted = urlsplit(url)[:2] == home
            sent = {**headers, "Authorization": authorization} if authorization and trusted else headers
            reply = await stack.enter_async_context(
                self._http.request(method, url, headers=sent, data=data, allow_redirects=False)
            )
            location = reply.headers.get("Location")
            if reply.status not in {301, 302, 303, 307, 308} or not location or method not in {"GET", "HEAD"}:
                return reply
            url = urljoin(url, location)
        raise RegistryUnavailable(f"'{self.repository.host}' redirects without end")

    async def _entra(self, url: str) -> str:
        """The identity's token, for this URL. Raises `Problem`."""
        identity = self._who.identity
        return "" if identity is None else await identity.token(ACR, url, tls=self._tls, proxy=self._proxy)

    def _admit(self, url: str) -> None:
        """What an identity has earned at a registry is shown as its token would be: it may have been earned for
        another object, whose TLS and proxy are others. Raises `HostRefused`.
        """
        if self._who.identity is not None:
            self._who.identity.admit(ACR, url, tls=self._tls, proxy=self._proxy)

    async def _where(self) -> str:
        """The address. Only where it is allowed to be insecure is HTTP tried, when HTTPS is not spoken."""
        if self._base:
            return self._base
        host = "registry-1.docker.io" if self.repository.host == DOCKER_HUB else self.repository.host
        scheme = "https"
        if self._insecure or self.repository.loopback:
            scheme = self._share.scheme or await self._spoken(host)
        self._base = f"{scheme}://{host}"
        return self._base

    async def _spoken(self, host: str) -> str:
        """What a registry speaks: HTTP if there is no handshake of TLS with it. No answer, no connection, and one that
        is lost later teach nothing: then it raises what aiohttp raises.
        """
        import aiohttp

        assert self._http is not None  # noqa: S101
        spoken = "https"
        try:
            async with self._http.get(f"https://{host}/v2/", allow_redirects=False):
                pass
        except aiohttp.ClientConnectorCertificateError:
            pass
        except aiohttp.ClientSSLError:
            spoken = "http"
        self._share.scheme = spoken
        return spoken

    async def _refusal(self, reply: aiohttp.ClientResponse, path: str) -> RegistryProblem:
        said = _error_words(await reply.content.read(8192))
        tail = f": {said}" if said else ""
        what = path.removeprefix(f"/v2/{self.repository.path}/").partition("?")[0]
        name = f"'{self.repository}'"
        if reply.status in {401, 403}:
            if self._who.anonymous:
                step = "set spec.secretRef, or spec.provider for an identity"
            elif self._who.identity:
                step = f"give the app's identity the role {ACR.role}"
            else:
                step = "correct the user, password or rights of the Secret's user"
            return RegistryRefused(f"access to {name} denied ({reply.status}){tail}", step)
        if reply.status in {404, 410}:
            return NotInRegistry(f"{what} not found in {name}{tail}", "push it, or correct spec.url and spec.ref")
        if reply.status == 429:
            after = reply.headers.get("Retry-After", "")
            again = f", again after {after} s" if after.isdigit() else ""
            step = "it is tried again; raise spec.interval, or use a registry with a higher limit"
            return RegistryUnavailable(f"too many requests for {name}{again}{tail}", step)
        return RegistryUnavailable(f"'{self.repository.host}' answers {reply.status} for {what} of {name}{tail}")


_ACCEPT = {"Accept": ", ".join(media.ACCEPTED)}


def _platform(entry: Mapping[str, Any]) -> tuple[str, str]:
    platform = entry.get("platform")
    said: Mapping[str, Any] = platform if isinstance(platform, dict) else {}
    return str(said.get("os", "")), str(said.get("architecture", ""))


class _Sink:
    """Writes and digests."""

    def __init__(self, digest: str) -> None:
        self._algorithm, _, self._wanted = digest.partition(":")
        self._hash = hashlib.new(self._algorithm)
        self.size = 0

    def write(self, file: Roomy, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        file.write(data)

    def matches(self) -> bool:
        return self._hash.hexdigest() == self._wanted


def _digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _matches(data: bytes, digest: str) -> bool:
    algorithm, _, wanted = digest.partition(":")
    return hashlib.new(algorithm, data).hexdigest() == wanted


async def _read(reply: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    data = bytearray()
    async for chunk in reply.content.iter_any():
        data += chunk
        if len(data) > limit:
            raise ContentMismatch(f"{what} is larger than {limit} bytes")
    return bytes(data)


def _error_words(body: bytes) -> str:
    """The registry's own words (distribution specification, errors)."""
    try:
        errors = json.loads(body)["errors"]
        return "; ".join(" ".join(filter(None, (str(e.get("code", "")), str(e.get("message", ""))))) for e in errors)[
            :500
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""

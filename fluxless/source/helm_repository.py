"""The HelmRepository controller: from an index of charts to an artifact in the store (HRP and SC rows).

A repository of type oci is no more than an address: nobody reconciles it (HRP-2).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urljoin, urlsplit, urlunsplit

from fluxless import transport
from fluxless.api import reasons
from fluxless.api.failure import Failure, FailureClass
from fluxless.artifacts.pack import Packed
from fluxless.artifacts.repack import hash_file
from fluxless.charts import chart, index
from fluxless.charts.errors import ChartProblem
from fluxless.disk import Roomy, written
from fluxless.reconcile.errors import Transient
from fluxless.reconcile.outcome import Outcome
from fluxless.source import credentials
from fluxless.source.base import SourceController, SourceRun, collect_garbage, invalid
from fluxless.transport import Tls

if TYPE_CHECKING:
    import aiohttp

CHUNK = 1 << 20


class HelmRepositoryRun(SourceRun):
    """The state of the step; for a HelmChart also the access to its repository."""

    OBSERVED: ClassVar[dict[str, str]] = {}

    @property
    def oci(self) -> bool:
        """Whether charts come from a registry."""
        return self.spec.get("type") == "oci"

    @contextlib.asynccontextmanager
    async def server(self) -> AsyncIterator[Server]:
        """The HTTP server, with the credentials of the spec."""
        name = credentials.name_of(self, "secretRef")
        data = await credentials.secret(self, name, "secretRef") if name else {}
        username, password = (data.get(key, b"").decode(errors="replace") for key in ("username", "password"))
        if bool(username) != bool(password):
            words = f"secret '{self.ref.namespace}/{name}' has only one of username and password"
            raise credentials.refused(self, words, "correct the Secret of spec.secretRef")
        tls = await credentials.tls(self)
        try:
            tls = tls if tls != Tls() else Tls.of_secret(data)
            http = transport.session(tls=tls, timeout=self.timeout)
        except ValueError as error:
            words, step = f"secret '{self.ref.namespace}/{name}' {error}", "correct the Secret of spec.secretRef"
            raise credentials.refused(self, words, step) from None
        pair = base64.b64encode(f"{username}:{password}".encode()).decode() if username else ""
        async with http:
            yield Server(self.url, http, pair, everywhere=bool(self.spec.get("passCredentials")), timeout=self.timeout)


class Server:
    """A repository over HTTP. Raises `ChartProblem`."""

    def __init__(self, url: str, http: aiohttp.ClientSession, pair: str, *, everywhere: bool, timeout: float) -> None:
        parts = urlsplit(url)
        self.url = urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/"))
        self._http = http
        self._pair = pair
        self._everywhere = everywhere
        self._timeout = timeout

    async def index(self, target: Path) -> str:
        """Download the index; its digest."""
        return await self._download(self._resolve("index.yaml"), target, index.LIMIT, "index")

    async def chart(self, reference: str, target: Path, digest: str) -> None:
        """Download a packed chart by its URL, absolute or below the repository's."""
        found = await self._download(self._resolve(reference), target, chart.MAX_ARCHIVE, "chart")
        if len(digest) == 64 and found != digest:
            words = f"chart '{_public(reference)}' does not have the digest that the index says"
            raise ChartProblem(words, "publish it again; it is tried again")

    def _resolve(self, reference: str) -> str:
        """Helm's rule: a relative reference keeps the query of the repository."""
        if urlsplit(reference).scheme:
            return reference
        base = urlsplit(self.url)
        joined = urlsplit(urljoin(urlunsplit(base._replace(query="")), reference))
        return urlunsplit(joined._replace(query=joined.query or base.query))

    async def _download(self, url: str, target: Path, limit: int, what: str) -> str:
        import aiohttp

        headers = {"User-Agent": "fluxless"}
        here, there = urlsplit(self.url), urlsplit(url)
        if self._pair and (self._everywhere or (here.scheme, here.netloc) == (there.scheme, there.netloc)):
            headers["Authorization"] = f"Basic {self._pair}"
        digest = hashlib.sha256()
        size = 0
        try:
            async with self._http.get(url, headers=headers) as answer:
                if answer.status in {401, 403}:
                    step = "set spec.secretRef, or correct its username and password"
                    words = f"failed to fetch {_public(url)} : {answer.status} {answer.reason}"
                    raise ChartProblem(words, step, FailureClass.SOURCE_AUTH)
                if answer.status != 200:
                    words = f"failed to fetch {_public(url)} : {answer.status} {answer.reason}"
                    step = "correct spec.url: it is what index.yaml lies below"
                    raise ChartProblem(words, step, FailureClass.SOURCE_NOT_FOUND)
                with written(target, f"{what} {_public(url)}") as file:
                    async for data in answer.content.iter_chunked(CHUNK):
                        size += len(data)
                        if size > limit:
                            step = "split the repository" if what == "index" else "make the chart smaller"
                            raise ChartProblem(f"{what} {_public(url)} has more than {limit >> 20} MiB", step)
                        await asyncio.to_thread(_write, file, data, digest)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            words, step = transport.words(error, self._timeout)
            raise ChartProblem(f"failed to fetch {_public(url)} : {words}", step, FailureClass.INTERNAL) from error
        return digest.hexdigest()


def _write(file: Roomy, data: bytes, digest: Any) -> None:
    digest.update(data)
    file.write(data)


def _public(url: str) -> str:
    """Without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


class HelmRepositoryController(SourceController):
    """Downloads the index, and keeps it as an artifact when it is another one."""

    reason = reasons.FAILED

    @property
    def phases(self) -> Sequence[Any]:
        """The steps, in order."""
        return PHASES

    def in_storage(self, run: HelmRepositoryRun) -> str:
        """Flux's words for this kind."""
        return f"stored artifact: revision '{run.artifact.get('revision', '')}'"


async def reconcile_artifact(run: HelmRepositoryRun) -> Outcome | None:
    """Fetch the index, and keep it when it is another one. FetchFailed, StorageOperationFailed."""
    if run.url.startswith("oci://"):
        words = "invalid Helm repository URL: 'oci' URL scheme cannot be used with 'default' HelmRepository type"
        raise invalid(run, reasons.URL_INVALID, words, "set spec.type to oci")
    with tempfile.TemporaryDirectory(prefix="fluxless-helm-") as folder:
        raw, kept = Path(folder) / "index.yaml", Path(folder) / "index.json"
        try:
            async with run.server() as server:
                run.revision = f"sha256:{await server.index(raw)}"
        except ChartProblem as problem:
            raise _failed(problem, "failed to fetch Helm repository index: ", reasons.FAILED) from problem
        run.fresh = await run.is_current()
        if run.fresh:
            return None
        run.outdated(f"new index revision '{run.revision}'")
        await run.keep()
        try:
            await asyncio.to_thread(index.reencode, raw, kept)
        except ChartProblem as problem:
            raise _failed(problem, "", "IndexationFailed") from problem
        packed: Packed = await asyncio.to_thread(hash_file, kept)
        text = f"stored fetched index of size {human(packed.size)} from '{run.url}'"
        await run.keep_artifact(packed, text, suffix=".yaml")
    return None


def human(size: int) -> str:
    """As Go's units.HumanSize writes it: four significant digits, powers of a thousand."""
    value, units = float(size), ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.4g}{units[0]}"


def _failed(problem: ChartProblem, prefix: str, reason: str) -> Transient:
    if problem.cls is FailureClass.SOURCE_AUTH:
        reason = reasons.AUTHENTICATION_FAILED
    first = problem.failures[0]
    failure = Failure(first.cls, f"{prefix}{first.message}", first.subject, first.origin, first.next_step)
    return Transient(reason, failure, condition=reasons.FETCH_FAILED)


PHASES = (reconcile_artifact, collect_garbage)

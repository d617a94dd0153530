"""A container of Azure Blob Storage (BK-1, BK-23, AZ-10). Beside `artifacts/blob.py` the only import of its SDK."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from fluxless import limits
from fluxless.addresses import refusal
from fluxless.bucket.objects import LARGEST, MOST, BucketProblem, BucketRefused, too_large, too_many
from fluxless.disk import written
from fluxless.transport import AnswerTooLarge, Proxy, session

if TYPE_CHECKING:
    from azure.storage.blob.aio import ContainerClient


RETRIES = {"retry_total": 2, "initial_backoff": 0.2, "increment_base": 1, "random_jitter_range": 0}
"""The SDK's own pauses add up to 40 s; the source is tried again anyway."""


def with_sas(endpoint: str, sas: str) -> str:
    """The endpoint with a shared access signature; what the signature says wins over the endpoint's own query."""
    parts = urlsplit(endpoint)
    signed = dict(parse_qsl(sas.strip().removeprefix("?"), keep_blank_values=True))
    query = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **signed}
    return urlunsplit(parts._replace(query=urlencode(query)))


class AzureContainer:
    """`endpoint` is the account's, with a signature where one is used; `credential` an account key, an SDK credential
    or None. `timeout` in seconds for one request.
    """

    def __init__(
        self, endpoint: str, container: str, credential: Any, *, proxy: Proxy | None = None, timeout: float = 60.0
    ) -> None:
        from azure.storage.blob.aio import ContainerClient

        self._name = container
        parts = urlsplit(endpoint)
        url = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{container}"))
        options: dict[str, Any] = {
            **RETRIES,
            "permit_redirects": False,
            "connection_timeout": min(timeout, 10.0),
            "read_timeout": timeout,
            "transport": _transport(timeout, own_proxy=proxy is None),
        }
        if proxy is not None:
            options["proxies"] = {"http": proxy.url, "https": proxy.url}
        try:
            self._client: ContainerClient = ContainerClient.from_container_url(url, credential=credential, **options)
        except ValueError as error:
            raise BucketRefused(f"container '{container}' cannot be opened: {error}", "correct the Secret") from None

    async def index(self, prefix: str) -> dict[str, str]:
        """See `Objects`. Flux writes Azure's ETags as the hexadecimal digits of their bytes."""
        from azure.core.exceptions import AzureError

        found: dict[str, str] = {}
        try:
            async with asyncio.timeout(limits.FETCH_SECONDS):
                async for blob in self._client.list_blobs(name_starts_with=prefix or None):
                    found[str(blob.name)] = _etag(blob.etag)
                    if len(found) > MOST:
                        raise too_many(self._name)
        except (AzureError, AnswerTooLarge, TimeoutError) as error:
            raise self._problem(error) from error
        return found

    async def fetch(self, key: str, target: Path) -> str | None:
        """See `Objects`."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        try:
            async with asyncio.timeout(limits.FETCH_SECONDS):
                stream = await self._client.download_blob(key)
                if stream.size > LARGEST:
                    raise too_large(self._name, key, stream.size)
                with written(target, f"object '{key}' of container '{self._name}'") as file:
                    async for chunk in stream.chunks():
                        await asyncio.to_thread(file.write, chunk)
                        if file.tell() > LARGEST:
                            raise too_large(self._name, key, file.tell())
                return _etag(stream.properties.etag)
        except ResourceNotFoundError as error:
            if getattr(error, "error_code", "") == "ContainerNotFound":
                raise self._problem(error) from error
            return None
        except (AzureError, AnswerTooLarge, TimeoutError) as error:
            raise self._problem(error) from error

    async def close(self) -> None:
        """See `Objects`."""
        await self._client.close()

    def _problem(self, error: Any) -> BucketProblem:
        status, code = getattr(error, "status_code", None), str(getattr(error, "error_code", "") or "")
        if (refused := refusal(error)) is not None:
            return BucketProblem(f"container '{self._name}' cannot be read: {refused}", refused.next_step)
        first = (str(getattr(error, "message", "") or error).splitlines() or [""])[0][:300]
        if isinstance(error, TimeoutError):
            first = f"not read within {limits.FETCH_SECONDS} s"
        if status == 404:
            return BucketProblem(f"bucket '{self._name}' not found", "create the container, or correct spec.bucketName")
        if status in {401, 403}:
            step = "give the identity the role Storage Blob Data Reader on the container, or correct the Secret"
            return BucketRefused(f"access to container '{self._name}' denied ({code or status}): {first}", step)
        if type(error).__name__ in {"ClientAuthenticationError", "CredentialUnavailableError"}:
            step = "give the app an identity, or a Secret in spec.secretRef"
            return BucketRefused(f"no token for container '{self._name}': {first}", step)
        step = "check spec.endpoint and that the app can reach it; it is tried again"
        return BucketProblem(f"container '{self._name}' cannot be read: {first}", step)


def _transport(timeout: float, *, own_proxy: bool) -> Any:
    """The SDK's transport on a session of ours: its own would reach anything. It tells a proxy with each request."""
    import aiohttp
    from azure.core.exceptions import ServiceResponseError
    from azure.core.pipeline.transport import AioHttpTransport

    class Response(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            answer = await super().start(connection)
            self.content = _Counted(self.content)  # type: ignore[assignment]
            return answer

    class Transport(AioHttpTransport):  # type: ignore[misc]
        session: Any

        async def open(self) -> None:
            if self.session is None:
                self.session = session(timeout=timeout, decompress=False, own_proxy=own_proxy, response_class=Response)
            await super().open()

        async def send(self, request: Any, **config: Any) -> Any:
            answer = await super().send(request, **config)
            if answer.headers.get("Content-Encoding") not in {None, "", "identity"}:
                raise ServiceResponseError("the answer is compressed, which nobody has asked for")
            return answer

    return Transport()


class _Counted:
    """The body of an answer, which is cut where no storage account would go on."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._left = limits.STORAGE_ANSWER

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def read(self, size: int = -1) -> bytes:
        """As of a stream: all, or what is there of so many bytes. Raises `AnswerTooLarge`."""
        if size >= 0:
            return self._count(await self._content.read(size))
        data = bytearray()
        while chunk := self._count(await self._content.readany()):
            data += chunk
        return bytes(data)

    def _count(self, chunk: bytes) -> bytes:
        self._left -= len(chunk)
        if self._left < 0:
            raise AnswerTooLarge(limits.STORAGE_ANSWER)
        return chunk


def _etag(raw: Any) -> str:
    return str(raw).strip('"').encode().hex()  # a download quotes it, a listing does not

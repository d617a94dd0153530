"""The store in Azure Blob Storage (and Azurite): the only import of azure.storage.blob. See `store.py` for the seam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from fluxless import metrics
from fluxless.artifacts.store import PreconditionFailed, Stored, StoreUnavailable
from fluxless.disk import written
from fluxless.transport import proxied

if TYPE_CHECKING:
    from azure.storage.blob.aio import ContainerClient

T = TypeVar("T")
DIGEST = "digest"
"""Metadata key of the digest that a file was uploaded with."""
RETRIES = {
    **{"retry_total": 2, "initial_backoff": 0.2, "increment_base": 2, "random_jitter_range": 0},
    **{"connection_timeout": 5, "read_timeout": 60},
}
"""The SDK's own pauses add up to 40 s; a webhook's sender is gone by then, and the plan tries again anyway."""


class AzureStore:
    """Blobs of one container, which is made when it does not exist yet."""

    def __init__(self, client: Callable[[], ContainerClient]) -> None:
        self._make = client
        self._client: ContainerClient | None = None
        self._opening = asyncio.Lock()
        self._made = asyncio.Lock()

    @classmethod
    def from_connection_string(cls, connection: str, container: str) -> AzureStore:
        """With the key in a connection string: Azurite, tests."""

        def make() -> ContainerClient:
            from azure.storage.blob.aio import ContainerClient

            return ContainerClient.from_connection_string(connection, container, **_options())

        return cls(make)

    @classmethod
    def from_account_url(cls, url: str, container: str, credential: Any) -> AzureStore:
        """With an identity, as in Azure."""

        def make() -> ContainerClient:
            from azure.storage.blob.aio import ContainerClient

            return ContainerClient(url, container, credential=credential, **_options())

        return cls(make)

    async def get(self, name: str) -> tuple[bytes, str] | None:
        """See `Store`."""

        async def read(client: ContainerClient) -> tuple[bytes, str]:
            stream = await client.download_blob(name)
            return await stream.readall(), str(stream.properties.etag)

        return await self._or_none(read)

    async def put(self, name: str, data: bytes, *, if_match: str | None = None, only_if_absent: bool = False) -> str:
        """See `Store`."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

        conditions: dict[str, Any] = {}
        if if_match is not None:
            conditions = {"etag": if_match, "match_condition": MatchConditions.IfNotModified}

        async def write(client: ContainerClient) -> str:
            try:
                blob = client.get_blob_client(name)
                answer = await blob.upload_blob(data, overwrite=not only_if_absent, **conditions)
            except (ResourceExistsError, ResourceModifiedError) as error:
                raise PreconditionFailed(name) from error
            return str(answer["etag"])

        return await self._call(write)

    async def put_file(self, name: str, path: Path, digest: str) -> Stored:
        """See `Store`."""

        async def write(client: ContainerClient) -> Stored:
            size = await asyncio.to_thread(lambda: path.stat().st_size)
            with path.open("rb") as file:
                answer = await client.get_blob_client(name).upload_blob(
                    file, length=size, overwrite=True, metadata={DIGEST: digest}
                )
            return Stored(name, size, str(answer["etag"]), digest, answer["last_modified"].timestamp())

        return await self._call(write)

    async def get_file(self, name: str, path: Path) -> bool:
        """See `Store`."""

        async def read(client: ContainerClient) -> bool:
            stream = await client.download_blob(name)
            with written(path, f"blob {name}") as file:
                await stream.readinto(cast("IO[bytes]", file))
            return True

        return bool(await self._or_none(read))

    async def stat(self, name: str) -> Stored | None:
        """See `Store`."""

        async def read(client: ContainerClient) -> Stored:
            return _stored(await client.get_blob_client(name).get_blob_properties())

        return await self._or_none(read)

    async def delete(self, name: str) -> None:
        """See `Store`."""

        async def remove(client: ContainerClient) -> None:
            await client.delete_blob(name)

        await self._or_none(remove)

    async def list(self, prefix: str) -> AsyncIterator[Stored]:
        """See `Store`."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        client = await self._container()
        try:
            async for properties in client.list_blobs(name_starts_with=prefix, include=["metadata"]):
                yield _stored(properties)
        except ResourceNotFoundError:
            return
        except AzureError as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        """See `Store`."""
        if self._client is not None:
            await self._client.close()

    async def _container(self) -> ContainerClient:
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._make)  # the import takes a third of a second
            return self._client

    async def _or_none(self, call: Callable[[ContainerClient], Awaitable[T]]) -> T | None:
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        client = await self._container()
        try:
            return await call(client)
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            raise _unavailable(error) from error

    async def _call(self, call: Callable[[ContainerClient], Awaitable[T]]) -> T:
        """A write: makes the container when that is what is missing."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        client = await self._container()
        try:
            try:
                return await call(client)
            except ResourceNotFoundError:
                await self._make_container(client)
                return await call(client)
        except AzureError as error:
            raise _unavailable(error) from error

    async def _make_container(self, client: ContainerClient) -> None:
        from azure.core.exceptions import ResourceExistsError

        async with self._made:
            try:
                await client.create_container()
            except ResourceExistsError:
                return


def _options() -> dict[str, Any]:
    sizes = {"max_single_put_size": 4 * 1024 * 1024, "max_block_size": 4 * 1024 * 1024}
    return {**RETRIES, **sizes, "use_env_settings": proxied(), "raw_response_hook": _count}


def _count(answer: Any) -> None:
    metrics.STORE_REQUESTS.add(str(answer.http_response.status_code), str(answer.http_request.method))


def _stored(properties: Any) -> Stored:
    return Stored(
        name=properties.name,
        size=properties.size,
        etag='"' + str(properties.etag).strip('"') + '"',  # lists tell them without quotes
        digest=(properties.metadata or {}).get(DIGEST, ""),
        modified=properties.last_modified.timestamp(),
    )


def _unavailable(error: Exception) -> StoreUnavailable:
    words = str(getattr(error, "message", "") or error).splitlines()
    step = "check that the storage account is reachable and that the app's identity may use it; it is tried again"
    return StoreUnavailable(f"blob storage: {words[0] if words else type(error).__name__}", step)

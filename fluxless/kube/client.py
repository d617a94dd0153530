"""Speaks to one API server in plain dicts: `connect.py` makes a `Cluster`, every room above uses it.

Never builds generated models and never raises anything but `ApiProblem` (and cancellation).
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from fluxless import limits, metrics
from fluxless.addresses import refusal
from fluxless.kube import answers, discovery, pages
from fluxless.kube.errors import NoSuchKind, NotFound, TooManyRequests, Unreachable, from_answer
from fluxless.kube.resource import Resource

if TYPE_CHECKING:
    import aiohttp
    from kubernetes.aio.client import ApiClient

AT_ONCE = 24
"""Requests in flight per cluster: above about 16 an API server only queues them (measured)."""
ATTEMPTS = 4
"""How often a request is sent that the API server throttles or whose idle connection has died."""
CONNECTED_WITHIN = 5.0
SILENT_FOR = 10.0
"""Seconds without a byte of an answer after which nobody is there."""
LONGEST_PAUSE = 5.0
"""Seconds; the most that a `Retry-After` may hold one request up."""
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PATCHES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}


class Cluster:
    """One API server. `counts` is the number of requests sent, by HTTP method. Objects are plain dicts. One that an
    object names has a `budget`.
    """

    def __init__(
        self,
        name: str,
        api: ApiClient,
        authorization: Callable[[], Awaitable[str]],
        budget: answers.Budget | None = None,
    ) -> None:
        self.name = name
        self._budget = budget
        self._authorization = authorization
        self.counts: Counter[str] = Counter()
        self._api = api
        self._host = str(api.configuration.host).rstrip("/")
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._resources: dict[tuple[str, str], Resource] = {}
        self._discovery: asyncio.Task[None] | None = None
        self._user = ""
        self._closed = False
        self.unknown = False
        """Whether the API server has said that it does not know us, or not any more."""
        self._self = self
        self._views: dict[str, Cluster] = {}

    def impersonating(self, user: str) -> Cluster:
        """The same cluster, where every request but discovery is sent as that user (CM-14: no groups are named).

        The view shares connections, limits and counts with this one; only this one is closed.
        """
        if user not in self._views:
            view = copy.copy(self)
            view._user = user
            self._views[user] = view
        return self._views[user]

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,
        limit: int = limits.OBJECT,
    ) -> dict[str, Any]:
        """Send one request and decode the JSON answer, of at most `limit` bytes. Throttled requests are sent again.
        Raises `ApiProblem`.
        """
        data = await self._answer(method, path, query, body, content_type, accept, timeout, limit)
        return answers.decode(self.name, data, limit)

    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,
        limit: int = limits.OBJECT,
    ) -> bytes:
        url = self._host + path + (f"?{urlencode(query)}" if query else "")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._gate:
                    status, phrase, data, pause = await self._send(
                        method, url, body, content_type, accept, timeout, limit
                    )
            except _Dropped as dropped:
                if attempt == ATTEMPTS:
                    raise Unreachable(f"cluster {self.name!r}: {dropped}") from dropped
                continue
            if 200 <= status < 300:
                if self._budget is not None:
                    self._budget.spend(self.name, data)
                return data
            self._self.unknown |= status == 401
            problem = from_answer(status, data, phrase)
            if not isinstance(problem, TooManyRequests) or attempt == ATTEMPTS:
                raise problem
            await asyncio.sleep(min(pause, LONGEST_PAUSE))
        raise Unreachable(f"cluster {self.name!r}: no answer after {ATTEMPTS} attempts")

    async def _send(
        self, method: str, url: str, body: Any, content_type: str, accept: str, timeout: float, most: int
    ) -> tuple[int, str, bytes, float]:
        import aiohttp

        self._in_use()
        self.counts[method] += 1
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": "fluxless"}
        if authorization := await self._authorization():
            headers["Authorization"] = authorization
        if self._user:
            headers["Impersonate-User"] = self._user
        try:
            limit = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECTED_WITHIN, sock_read=SILENT_FOR)
            answer = await self._api.call_api(
                method, url, headers, body, _request_timeout=limit, _preload_content=False
            )
            data = await answers.read(self.name, answer.response, most)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError) as error:
            metrics.API_REQUESTS.add(self.name, "<error>", method)
            raise _Dropped(f"the connection was closed: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            metrics.API_REQUESTS.add(self.name, "<error>", method)
            words = "no answer in time" if isinstance(error, TimeoutError) else str(refusal(error) or error)
            raise Unreachable(f"cluster {self.name!r} cannot be reached: {words}") from error
        metrics.API_REQUESTS.add(self.name, str(answer.status), method)
        return answer.status, str(answer.reason), data, answers.pause(answer.headers)

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request as it is and give the answer as it comes, whatever it says: for programs that speak through
        us (`door.py`). Raises `Unreachable`.
        """
        import aiohttp
        from yarl import URL

        self._in_use()
        self.counts[method] += 1
        sent = {**headers, **({"Impersonate-User": self._user} if self._user else {})}
        if authorization := await self._authorization():
            sent["Authorization"] = authorization
        http: Any = self._api.rest_client.pool_manager
        limit = aiohttp.ClientTimeout(total=None, sock_connect=CONNECTED_WITHIN)
        try:
            async with http.request(
                method, URL(self._host + path, encoded=True), headers=sent, data=body, timeout=limit
            ) as answer:
                metrics.API_REQUESTS.add(self.name, str(answer.status), method)
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"cluster {self.name!r} cannot be reached: {refusal(error) or error}") from error

    async def resource(self, api_version: str, kind: str) -> Resource:
        """What discovery says of a kind. A miss asks the API server once more. Raises `NoSuchKind`."""
        key, base = (api_version, kind), self._self
        if key not in base._resources:
            await base._discover()
        try:
            return base._resources[key]
        except KeyError:
            raise NoSuchKind(api_version, kind) from None

    async def named(self, name: str) -> Resource:
        """The resource that people call so, as kubectl takes it: `deploy`, `pods`, `Ingress`, `helmreleases.helm.…`.

        Of several groups the one without a dot wins, then the first by name. Raises `NoSuchKind`.
        """
        base = self._self
        for attempt in (1, 2):
            wanted, _, group = name.lower().partition(".")
            found = [
                resource
                for resource in base._resources.values()
                if wanted in {resource.kind.lower(), *resource.names}
                and (not group or resource.group.startswith(group))
            ]
            if found:
                return min(found, key=lambda resource: ("." in resource.group, resource.group))
            if attempt == 1:
                await base._discover()
        raise NoSuchKind("any version", name)

    async def _discover(self) -> None:
        """Read discovery; callers that come while a reading has not begun to answer share it."""
        if self._discovery is None:
            self._discovery = asyncio.create_task(self._read_discovery())
        await asyncio.shield(self._discovery)

    async def _read_discovery(self) -> None:
        try:
            await asyncio.sleep(0)
            documents = await asyncio.gather(
                *(self.request("GET", path, accept=discovery.ACCEPT, limit=limits.ANSWER) for path in discovery.PATHS)
            )
            try:
                self._resources = discovery.parse(documents)
            except (KeyError, TypeError, AttributeError) as error:
                words = f"cluster {self.name!r} does not say which kinds it has: no API server is there"
                raise Unreachable(words) from error
        finally:
            self._discovery = None

    async def get(self, resource: Resource, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The object, or None when there is none. Raises `ApiProblem`."""
        try:
            return await self.request("GET", resource.path(namespace, name))
        except NotFound:
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        metadata_only: bool = False,
        limit: int = 2000,
    ) -> list[dict[str, Any]]:
        """All objects, each with its apiVersion and kind, in pages of `limit`, or fewer where those are too large.
        Raises `ApiProblem`.
        """
        query = {"labelSelector": labels} if labels else {}
        accept = METADATA_ONLY if metadata_only else "application/json"

        async def ask(asked: Mapping[str, str]) -> bytes:
            return await self._answer("GET", resource.path(namespace), asked, accept=accept, limit=limits.ANSWER)

        items = await pages.all_of(self.name, resource.plural, ask, query, limit)
        for item in items:
            item["apiVersion"], item["kind"] = resource.api_version, resource.kind
        return items

    async def apply(
        self, obj: dict[str, Any], *, manager: str, force: bool = True, dry_run: bool = False
    ) -> dict[str, Any]:
        """Server-side apply (with strict field validation, as Flux does). Raises `ApiProblem`."""
        metadata = obj["metadata"]
        resource = await self.resource(obj["apiVersion"], obj["kind"])
        query = {"fieldManager": manager, "force": "true" if force else "false", "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        return await self.request("PATCH", path, query=query, body=obj, content_type="application/apply-patch+yaml")

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        body: Any,
        kind: Literal["merge", "json"] = "merge",
        subresource: str = "",
        manager: str = "fluxless",
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """A JSON merge patch, or a JSON patch. Raises `ApiProblem`."""
        query = {"fieldManager": manager}
        if dry_run:
            query["dryRun"] = "All"
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, query=query, body=body, content_type=_PATCHES[kind])

    async def create(self, obj: dict[str, Any], *, manager: str = "fluxless") -> dict[str, Any]:
        """Create. Raises `AlreadyExists` or another `ApiProblem`."""
        resource = await self.resource(obj["apiVersion"], obj["kind"])
        path = resource.path(obj["metadata"].get("namespace", ""))
        return await self.request("POST", path, query={"fieldManager": manager}, body=obj)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        propagation: str = "Background",
        uid: str = "",
        resource_version: str = "",
    ) -> bool:
        """Delete; False when it was gone already. Raises `Conflict` when it is not the object meant."""
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        meant = {"uid": uid, "resourceVersion": resource_version}
        if preconditions := {key: value for key, value in meant.items() if value}:
            body["preconditions"] = preconditions
        try:
            await self.request("DELETE", resource.path(namespace, name), body=body)
        except NotFound:
            return False
        return True

    async def close(self) -> None:
        """Give back the connections."""
        self._self._closed = True
        await self._api.close()

    def _in_use(self) -> None:
        """Raises `Unreachable` after the end: the SDK's session would raise what is no `ApiProblem`."""
        if self._self._closed:
            raise Unreachable(f"cluster {self.name!r}: the connection was closed")


class _Dropped(Exception):
    """A kept-alive connection turned out to be dead; the request was not answered."""

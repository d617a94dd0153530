"""An API server that a kubeConfig names may be anybody's: whatever it answers ends, in bounded memory, as a problem."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fluxless.kube.client import Cluster
from fluxless.kube.connect import Brought, connect_brought
from fluxless.kube.door import Door, opened
from fluxless.kube.errors import ApiProblem, TooManyRequests
from fluxless.kube.resource import Resource

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
THINGS = Resource("example.com", "v1", "Thing", "things", namespaced=True)
SECONDS = 20.0
"""No attack here may take longer, and none of them would end by itself."""


@contextlib.asynccontextmanager
async def hostile(answer: Answer) -> AsyncIterator[Cluster]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = {
        "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "users": [{"name": "a", "user": {"token": "t"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    cluster = await connect_brought(Brought("hostile", json.dumps(config)))
    try:
        async with asyncio.timeout(SECONDS):
            yield cluster
    finally:
        await cluster.close()
        await runner.cleanup()


def says(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers={"Content-Type": "application/json", **(headers or {})})

    return answer


def bomb() -> bytes:
    packer = gzip.compress(b'{"a":"' + b"a" * (80 << 20) + b'"}', compresslevel=1)
    assert len(packer) < 1 << 20
    return packer


NONSENSE = {
    "a gzip bomb": lambda: says(bomb(), headers={"Content-Encoding": "gzip"}),
    "a billion small values": lambda: says(b'{"items":[' + b"{}," * 4_100_000 + b"{}]}"),
    "deep JSON": lambda: says(b'{"items":' + b"[" * 200_000),
    "a page": lambda: says(b"<html>sign in</html>"),
    "bytes": lambda: says(b"\xff\xfe\x00\x01\x02"),
    "a text": lambda: says(b'"text"'),
    "a list": lambda: says(b"[1, 2]"),
    "a number without end": lambda: says(b'{"a":' + b"9" * 100_000 + b"}"),
    "a deep refusal": lambda: says(b"[" * 200_000, 403),
    "a refusal of many words": lambda: says(json.dumps({"kind": "Status", "message": "x" * (8 << 20)}).encode(), 403),
}


@pytest.mark.parametrize("attack", NONSENSE)
async def test_nonsense_is_a_problem(attack: str) -> None:
    async with hostile(NONSENSE[attack]()) as cluster:
        with pytest.raises(ApiProblem) as caught:
            await cluster.request("GET", "/version")
    assert len(str(caught.value)) < 64 << 10


@pytest.mark.parametrize("page", [{"items": [1]}, {"items": "x"}, {"items": [{}]}, {"items": [], "metadata": 1}])
async def test_a_list_of_something_else_is_a_problem(page: dict[str, Any]) -> None:
    async with hostile(says(json.dumps(page).encode())) as cluster:
        with pytest.raises(ApiProblem, match="no list of objects"):
            await cluster.list(THINGS)


@pytest.mark.parametrize("document", [{"items": [{}]}, {"items": ["x"]}, {"items": [{"metadata": None}]}])
async def test_kinds_that_are_none_are_a_problem(document: dict[str, Any]) -> None:
    async with hostile(says(json.dumps(document).encode())) as cluster:
        with pytest.raises(ApiProblem):
            await cluster.resource("v1", "Secret")


async def test_an_endless_answer_is_cut() -> None:
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        reply = web.StreamResponse()
        await reply.prepare(request)
        while True:
            await reply.write(b" " * (1 << 20))
            sent += 1 << 20

    async with hostile(answer) as cluster:
        with pytest.raises(ApiProblem, match="larger than 16 MiB"):
            await cluster.request("GET", "/version")
    assert sent < 32 << 20


async def test_a_dripping_answer_ends_with_the_request() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        while True:
            await reply.write(b" ")
            await asyncio.sleep(0.1)

    async with hostile(answer) as cluster:
        with pytest.raises(ApiProblem, match="no answer in time"):
            await cluster.request("GET", "/version", timeout=1.0)


def _page(names: int, token: str) -> dict[str, Any]:
    items = [{"metadata": {"name": f"n{number}"}} for number in range(names)]
    return {"items": items, "metadata": {"continue": token}}


async def _endless(request: web.Request) -> web.StreamResponse:
    return web.json_response(_page(0, "again"))


async def _expired(request: web.Request) -> web.StreamResponse:
    if "continue" in request.query:
        return web.json_response({"kind": "Status", "code": 410}, status=410)
    return web.json_response(_page(1, "again"))


@pytest.mark.parametrize("answer", [_endless, _expired])
async def test_a_list_without_end_ends(answer: Answer) -> None:
    async with hostile(answer) as cluster:
        with pytest.raises(ApiProblem, match="does not end"):
            await cluster.list(THINGS)


async def test_a_slow_list_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    from fluxless import limits

    monkeypatch.setattr(limits, "LIST_WITHIN", 1)

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.json_response(_page(1, "again"))

    async with hostile(answer) as cluster:
        with pytest.raises(ApiProblem, match="does not end"):
            await cluster.list(THINGS)


async def test_a_list_is_no_larger_in_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    from fluxless import limits

    monkeypatch.setattr(limits, "LIST", 1 << 20)

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(_page(2000, "again"))

    async with hostile(answer) as cluster:
        with pytest.raises(ApiProblem, match="list of things is too large"):
            await cluster.list(THINGS)


async def test_many_large_answers_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    from fluxless import limits

    monkeypatch.setattr(limits, "REMOTE_VALUES", 50_000)
    body = {"metadata": {"name": "a"}, "data": {f"k{number}": "" for number in range(20_000)}}
    async with hostile(says(json.dumps(body).encode())) as cluster:
        tenant = cluster.impersonating("system:serviceaccount:a:b")
        await cluster.get(THINGS, "a", "a")
        await tenant.get(THINGS, "a", "a")
        with pytest.raises(ApiProblem, match="in a minute"):
            await tenant.get(THINGS, "a", "a")


async def test_large_objects_come_in_smaller_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    from fluxless import limits

    monkeypatch.setattr(limits, "ANSWER", 1 << 20)
    objects = [{"metadata": {"name": f"n{number}"}, "data": "x" * 10_000} for number in range(300)]

    async def answer(request: web.Request) -> web.StreamResponse:
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        token = str(start + limit) if start + limit < len(objects) else ""
        return web.json_response({"items": objects[start : start + limit], "metadata": {"continue": token}})

    async with hostile(answer) as cluster:
        assert [item["metadata"]["name"] for item in await cluster.list(THINGS)] == [f"n{n}" for n in range(300)]


@pytest.mark.parametrize("said", ["Wed, 21 Oct 2026 07:28:00 GMT", "nan", "inf", "-1", "1e9", "soon", "²"])
async def test_any_retry_after_is_understood(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with hostile(says(b"{}", 429, {"Retry-After": said})) as cluster:
        monkeypatch.setattr("fluxless.kube.client.asyncio.sleep", sleep)
        with pytest.raises(TooManyRequests):
            await cluster.request("GET", "/version")
        monkeypatch.undo()
    assert slept
    assert all(0 < seconds <= 5 for seconds in slept)


@pytest.mark.parametrize("path", ["/api/v1/namespaces/a/configmaps", "/apis"])
async def test_helm_is_handed_no_endless_answer(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    from fluxless import limits

    for name in ("TO_HELM", "ANSWER"):
        monkeypatch.setattr(limits, name, 1 << 20)

    async def answer(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        while True:
            await reply.write(b" " * (1 << 16))

    got = 0
    async with (
        hostile(answer) as cluster,
        opened(cluster, Door("helm", "a", "a")) as url,
        aiohttp.ClientSession() as http,
    ):
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"{url}{path}") as reply:
                if reply.status == 200:
                    async for chunk in reply.content.iter_any():
                        got += len(chunk)
    assert got <= 1 << 20

"""An endpoint of buckets may be anybody's: it fills neither memory nor disk, and holds nobody up for long."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from fluxless import limits
from fluxless.bucket.azure import AzureContainer
from fluxless.bucket.objects import BucketProblem
from fluxless.bucket.s3 import S3Bucket


@contextlib.asynccontextmanager
async def served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[S3Bucket]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"127.0.0.1:{runner.addresses[0][1]}"
    bucket = S3Bucket(host, "bucket", key="a", secret="b", region="r", secure=False, timeout=30.0)
    try:
        async with asyncio.timeout(25):
            yield bucket
    finally:
        await bucket.close()
        await runner.cleanup()


async def _endless(request: web.Request) -> web.StreamResponse:
    reply = web.StreamResponse()
    await reply.prepare(request)
    while True:
        await reply.write(b" " * (1 << 20))


class Dripping:
    """`gone` is set once the client has hung up."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        try:
            while True:
                await reply.write(b" ")
                await asyncio.sleep(0.05)
        finally:
            self.gone.set()


async def test_a_list_without_end_is_cut() -> None:
    async with served(_endless) as bucket:
        with pytest.raises(BucketProblem, match="larger than 16 MiB"):
            await bucket.index("")


async def test_an_object_without_end_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("fluxless.bucket.s3.LARGEST", 4 << 20)
    async with served(_endless) as bucket:
        with pytest.raises(BucketProblem, match="MiB, more than"):
            await bucket.fetch("key", tmp_path / "object")
    assert (tmp_path / "object").stat().st_size <= 4 << 20


@pytest.mark.parametrize("given_up", [False, True])
async def test_a_server_that_drips_holds_no_thread(monkeypatch: pytest.MonkeyPatch, given_up: bool) -> None:
    monkeypatch.setattr(limits, "FETCH_SECONDS", 60 if given_up else 1)
    server = Dripping()
    async with served(server.answer) as bucket:
        if given_up:  # the step has ended, by its own time
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(bucket.index(""), 1)
        else:
            with pytest.raises(BucketProblem, match="no end of an answer"):
                await bucket.index("")
        await bucket.close()
        async with asyncio.timeout(5):
            await server.gone.wait()


@contextlib.asynccontextmanager
async def account(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[AzureContainer]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    container = AzureContainer(f"http://127.0.0.1:{runner.addresses[0][1]}/account", "bucket", None, timeout=30.0)
    try:
        async with asyncio.timeout(25):
            yield container
    finally:
        await container.close()
        await runner.cleanup()


async def test_a_list_of_a_storage_account_without_end_is_cut() -> None:
    async with account(_endless) as container:
        with pytest.raises(BucketProblem, match="larger than 64 MiB"):
            await container.index("")


async def test_a_part_of_an_object_without_end_is_cut(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(status=206, headers={"Content-Range": "bytes 0-9/10", "ETag": '"x"'})
        await reply.prepare(request)
        while True:
            await reply.write(b" " * (1 << 20))

    async with account(answer) as container:
        with pytest.raises(BucketProblem, match="larger than 64 MiB"):
            await container.fetch("key", tmp_path / "object")


async def test_a_list_of_a_storage_account_that_is_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * (256 << 20), 1)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip", "Content-Type": "application/xml"})

    async with account(answer) as container:
        with pytest.raises(BucketProblem, match="compressed"):
            await container.index("")


async def test_a_storage_account_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FETCH_SECONDS", 1)
    async with account(Dripping().answer) as container:
        with pytest.raises(BucketProblem, match="not read within 1 s"):
            await container.index("")

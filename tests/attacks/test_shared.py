"""What all tenants of a worker share does not serve one of them against another: names that are looked up, what is
known of Git servers and issuers, and the way to an API server.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from aiohttp import web

from fluxless import connections, limits
from fluxless.auth.identity import Identity
from fluxless.auth.purposes import STORAGE, HostRefused
from fluxless.fair_slots import tenant
from fluxless.git import ls_remote as room
from fluxless.git.auth import Auth
from fluxless.git.errors import RemoteUnavailable
from fluxless.kube.connect import ClusterConfig, connect
from fluxless.kube.door import Door, opened
from fluxless.notification import oidc
from fluxless.notification.signatures import Refused
from fluxless.transport import Proxy

COMMIT = "1" * 40


@asynccontextmanager
async def _served(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("ask", ["git", "dial"])
async def test_names_that_nobody_answers_hold_up_no_other_tenant(monkeypatch: pytest.MonkeyPatch, ask: str) -> None:
    """A lookup goes on in its thread after everybody has given up."""
    real, over = socket.getaddrinfo, threading.Event()

    def slow(host: Any, *rest: Any, **named: Any) -> Any:
        if "evil" in str(host):
            over.wait(30)
            raise socket.gaierror("no answer")
        return real(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def evil(number: int) -> None:
        tenant.set("evil")
        url, host = f"http://evil{number}.example/x", f"evil{number}.example"
        asked = room.ls_remote(url, Auth(), timeout=0.3) if ask == "git" else connections.dial(host, 22, timeout=0.3)
        with pytest.raises((RemoteUnavailable, TimeoutError)):
            await asked

    try:
        await asyncio.gather(*(evil(number) for number in range(2 * limits.LOOKUPS)))
        async with asyncio.timeout(2):
            await asyncio.to_thread(lambda: None)
            assert await connections.found("localhost", 80)
    finally:
        over.set()


def _pkt(*lines: str) -> bytes:
    return b"".join(f"{len(line) + 5:04x}{line}\n".encode() for line in lines) + b"0000"


class Git:
    """A server of version 2; `formats` are the lines of object formats that it says."""

    def __init__(self, *formats: str) -> None:
        self.formats = formats
        self.questions: list[bytes] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            said = ["version 2", "ls-refs", *(f"object-format={name}" for name in self.formats)]
            return web.Response(body=_pkt(*said), content_type="application/x-git-upload-pack-advertisement")
        self.questions.append(await request.read())
        refs = b"0000" if b"sha256" in self.questions[-1] else _pkt(f"{COMMIT} refs/heads/main")
        return web.Response(body=refs, content_type="application/x-git-upload-pack-result")


async def test_what_a_proxy_says_of_a_git_server_is_not_believed_of_it() -> None:
    right, lying = Git("sha1"), Git("sha256")
    async with _served(right.answer) as url, _served(lying.answer) as proxy:
        lied = await room.ls_remote(f"{url}/r", Auth(proxy=Proxy(proxy)), timeout=5)
        assert lied.commits == {}
        found = await room.ls_remote(f"{url}/r", Auth(), timeout=5)
        assert found.commits == {"refs/heads/main": COMMIT}


async def test_a_git_server_is_asked_anew_after_it_named_no_reference() -> None:
    server = Git("sha256")
    async with _served(server.answer) as url:
        assert (await room.ls_remote(url, Auth(), timeout=5)).commits == {}
        server.formats = ("sha1",)
        assert (await room.ls_remote(url, Auth(), timeout=5)).commits == {"refs/heads/main": COMMIT}


async def test_little_is_kept_of_a_git_server() -> None:
    server = Git(*(f"x{number}" for number in range(1000)), "sha1")
    async with _served(server.answer) as url:
        await room.ls_remote(url, Auth(), timeout=5)
    assert len(server.questions[-1]) < 1000


async def test_an_issuer_that_fails_is_not_asked_by_every_delivery() -> None:
    asked = 0

    async def fail(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=500)

    async with _served(fail) as issuer:
        header = "Bearer " + jwt.encode({"iss": issuer}, "k" * 40, algorithm="HS256")
        for _ in range(20):
            with pytest.raises(Refused) as caught:
                await oidc.verified(header, "a", issuer)
            assert caught.value.status == 503
    assert asked == 1


async def test_a_slow_issuer_is_heard_though_its_caller_has_gone() -> None:
    asked, go_on = 0, asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        await go_on.wait()
        return web.json_response({"jwks_uri": f"{issuer}/keys", "keys": []})

    async with _served(slow) as issuer:
        header = "Bearer " + jwt.encode({"iss": issuer}, "k" * 40, algorithm="HS256")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await oidc.verified(header, "a", issuer)
        go_on.set()
        with pytest.raises(Refused, match="has no key"):
            await oidc.verified(header, "a", issuer)
    assert asked == 2  # its configuration and its keys, once


@pytest.mark.parametrize("path", ["/api/v1/configmaps/..%2f..%2fb", "/api/v1/configmaps/x%3Fwatch=1"])
async def test_a_program_reaches_the_path_that_it_wrote(path: str) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        return web.json_response({})

    async with _served(answer) as url:
        text = (
            f'{{"clusters": [{{"name": "c", "cluster": {{"server": "{url}"}}}}], "users": [], "current-context": "c",'
            '"contexts": [{"name": "c", "context": {"cluster": "c"}}]}'
        )
        cluster = await connect(ClusterConfig("own", kubeconfig_inline=text))
        async with opened(cluster, Door("m", "t", "t")) as door:
            host, _, token = door.removeprefix("http://").partition("/")
            reader, writer = await asyncio.open_connection(*host.split(":"))
            writer.write(f"GET /{token}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            await reader.read()
            writer.close()
        await cluster.close()
    assert seen == [path]


@pytest.mark.parametrize("name", ["fluxst", "fluxst-secondary", "fluxst-microsoftrouting", "FLUXST-internetrouting"])
def test_the_apps_own_store_is_known_by_all_of_its_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("FLUXLESS_BLOB_ACCOUNT_URL", "https://fluxst.blob.core.windows.net")
    with pytest.raises(HostRefused):
        Identity(None, rules=True).admit(STORAGE, f"https://{name}.blob.core.windows.net")
    Identity(None, rules=True).admit(STORAGE, "https://another.blob.core.windows.net")

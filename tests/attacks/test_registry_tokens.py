"""What one tenant's session with a registry has learnt or earned is for nobody whose TLS or proxy are others: his proxy
may say anything in the registry's name. Tokens are small, last for a while, and are few.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fluxless.api.failure import Problem
from fluxless.auth.earned import Earned
from fluxless.auth.identity import Identity
from fluxless.git import github
from fluxless.git.errors import GitProblem
from fluxless.oci.auth import ANONYMOUS, Credentials, Tokens
from fluxless.oci.client import Registry
from fluxless.oci.errors import RegistryProblem
from fluxless.oci.reference import Repository
from fluxless.transport import Proxy

BOB = Credentials("bob", "password-of-bob")
HANGS = 4
"""Seconds that one who hangs is waited for."""
REFRESH = "what-the-app-has-earned"


class Place:
    """A registry with its server of tokens, as the one that is meant or as somebody's proxy sees fit. `realm` is where
    it sends people for tokens, `given` what it gives there, and `seen` all that came.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.realm = ""
        self.given: dict[str, Any] | bytes = {"token": "good", "expires_in": 300}
        self.hangs = False
        self.hung = asyncio.Event()
        """Somebody hangs."""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        self._proxy = await asyncio.start_server(self._as_proxy, "127.0.0.1", 0)
        self.proxy = Proxy(f"http://127.0.0.1:{self._proxy.sockets[0].getsockname()[1]}")

    async def stop(self) -> None:
        self._proxy.close()
        await self._runner.cleanup()

    def asked(self) -> list[str]:
        """Requests for tokens."""
        return [said for said in self.seen if "/token" in said or "/exchange" in said]

    async def _answer(self, request: web.Request) -> web.Response:
        self.seen.append(f"{request.path_qs} {request.headers.get('Authorization')} {await request.text()}")
        if request.path == "/oauth2/exchange":
            return web.json_response({"refresh_token": REFRESH})
        if request.path in {"/token", "/oauth2/token"}:
            if self.hangs:
                self.hung.set()
                await asyncio.sleep(60)
            body = self.given if isinstance(self.given, bytes) else json.dumps(self.given).encode()
            return web.Response(body=body, content_type="application/json")
        if request.headers.get("Authorization"):
            return web.json_response({"tags": ["1.0.0"]})
        realm = self.realm or f"http://{request.host}/token"
        return web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'})

    async def _as_proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Who wants TLS gets none; what comes in plain is answered here, whomever it was meant for."""
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"CONNECT"):
            self.seen.append(head.decode())
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()
            return
        host, _, port = self.host.partition(":")
        there, back = await asyncio.open_connection(host, int(port))
        back.write(head)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    target.write(data)
            target.close()

        await asyncio.gather(pump(reader, back), pump(there, writer))


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Callable[[], Awaitable[Place]]]:
    started: list[Place] = []

    async def start() -> Place:
        started.append(Place())
        await started[-1].start()
        return started[-1]

    yield start
    for one in started:
        await one.stop()


Start = Callable[[], Awaitable[Place]]


async def _tags(worker: Tokens, place: Place, who: Credentials = ANONYMOUS, path: str = "b/app", **named: Any) -> Any:
    named = {"insecure": True, "timeout": 5.0, **named}
    async with Registry(Repository(place.host, path), who, tokens=worker, **named) as registry:
        return await registry.tags()


async def test_a_password_goes_to_no_realm_that_anothers_proxy_has_named(place: Start) -> None:
    worker, registry, rogue = Tokens(), await place(), await place()
    rogue.realm = f"http://{rogue.host}/token"
    await _tags(worker, registry, proxy=rogue.proxy)
    rogue.seen.clear()
    assert await _tags(worker, registry, BOB) == ["1.0.0"]
    assert await _tags(worker, registry, Credentials(refresh="refresh-of-bob")) == ["1.0.0"]
    assert rogue.seen == []
    assert len(registry.asked()) == 2


async def test_tokens_of_anothers_proxy_are_shown_to_no_registry(place: Start) -> None:
    worker, registry, rogue = Tokens(), await place(), await place()
    rogue.given = {"token": "of-the-rogue", "expires_in": 300}
    await _tags(worker, registry, proxy=rogue.proxy)
    await _tags(worker, registry)
    assert not any("of-the-rogue" in said for said in registry.seen)


class _Sdk:
    async def get_token(self, *_: str) -> Any:
        return SimpleNamespace(token="entra")


@pytest.mark.parametrize("through", [True, False], ids=["through a proxy", "by TLS that nobody checks"])
async def test_what_the_apps_identity_has_earned_leaves_by_no_way_that_is_not_admitted(
    place: Start, monkeypatch: pytest.MonkeyPatch, through: bool
) -> None:
    """Where one repository is known, another one of the registry costs no exchange: its refresh token is at hand."""
    monkeypatch.setenv("FLUXLESS_ACR_SUFFIXES", "127.0.0.1")
    worker, registry, rogue = Tokens(), await place(), await place()
    app = Credentials(identity=Identity(_Sdk(), "app/", shared=True))
    assert await _tags(worker, registry, app, insecure=False) == ["1.0.0"]
    assert any(REFRESH in said for said in registry.seen)
    registry.seen.clear()
    for _ in range(2):
        with pytest.raises(Problem, match="not given away"):
            await _tags(worker, registry, app, "a/other", proxy=rogue.proxy if through else None)
    assert not any(secret in said for said in registry.seen + rogue.seen for secret in (REFRESH, "entra"))
    assert await _tags(worker, registry, app, "b/other", insecure=False) == ["1.0.0"]
    assert not any("exchange" in said for said in registry.seen), "the honest still share"


TOKENS: dict[str, dict[str, Any]] = {
    "another header": {"token": "x\r\nX-A: b"},
    "no ASCII": {"token": "tökén"},
    "a blank": {"token": "a b"},
    "no text": {"token": ["a"]},
    "a megabyte": {"token": "a" * 1_000_000},
}


@pytest.mark.parametrize("case", TOKENS)
async def test_what_no_header_should_carry_is_no_token(place: Start, case: str) -> None:
    worker, registry = Tokens(), await place()
    registry.given = {**TOKENS[case], "expires_in": 1e9}
    with pytest.raises(RegistryProblem, match="visible ASCII"):
        await _tags(worker, registry)
    registry.given = {"token": "good"}
    assert await _tags(worker, registry) == ["1.0.0"]


@pytest.mark.parametrize("life", ["1e15", "1" + "0" * 400, "NaN", "Infinity", "-1", "true"])
async def test_no_life_that_a_server_claims_does_harm(place: Start, monkeypatch: pytest.MonkeyPatch, life: str) -> None:
    worker, registry = Tokens(), await place()
    registry.given = f'{{"token":"good","expires_in":{life}}}'.encode()
    assert await _tags(worker, registry) == ["1.0.0"]
    later = time.monotonic() + 4 * 3600
    monkeypatch.setattr("fluxless.auth.earned.time", SimpleNamespace(monotonic=lambda: later), raising=False)
    registry.seen.clear()
    assert await _tags(worker, registry) == ["1.0.0"]
    assert len(registry.asked()) == 1, "after four hours none is used any more"


async def test_the_turn_of_one_whose_proxy_hangs_is_not_waited_for(place: Start) -> None:
    worker, registry, rogue = Tokens(), await place(), await place()
    rogue.hangs = True
    began, asked = time.monotonic(), range(4)
    held = [
        asyncio.create_task(_tags(worker, registry, path=f"a/{i}", proxy=rogue.proxy, timeout=HANGS)) for i in asked
    ]
    await rogue.hung.wait()
    assert await _tags(worker, registry) == ["1.0.0"]
    assert not any(one.done() for one in held)
    ended = await asyncio.gather(*held, return_exceptions=True)
    assert all(isinstance(one, RegistryProblem) for one in ended)
    assert time.monotonic() - began < len(asked) * HANGS, "nobody's wait is the sum of others'"


async def test_repositories_of_one_registry_do_not_wait_for_each_others_tokens(place: Start) -> None:
    worker, registry = Tokens(), await place()
    await _tags(worker, registry)
    registry.hangs = True
    held = asyncio.create_task(_tags(worker, registry, path="a/app", timeout=HANGS))
    await registry.hung.wait()
    registry.hangs = False
    assert await _tags(worker, registry, path="b/other") == ["1.0.0"]
    assert not held.done()
    with pytest.raises(RegistryProblem, match=f"no token within {HANGS} s"):
        await held


async def test_what_anothers_proxy_swallows_teaches_nothing_of_the_registry(place: Start) -> None:
    worker, registry = Tokens(), await place()
    hole = await asyncio.start_server(lambda *_: asyncio.sleep(30), "127.0.0.1", 0)
    proxy = Proxy(f"http://127.0.0.1:{hole.sockets[0].getsockname()[1]}")
    with pytest.raises(RegistryProblem):
        await _tags(worker, registry, proxy=proxy, timeout=0.3)
    assert await _tags(worker, registry) == ["1.0.0"]
    hole.close()


async def test_a_timeout_of_ones_own_teaches_nothing_either(place: Start) -> None:
    """The proxy is slow once, and then it is not."""
    worker, registry, rogue = Tokens(), await place(), await place()
    slow = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not slow.is_set():
            slow.set()
            await asyncio.sleep(2)
            writer.close()
            return
        await rogue._as_proxy(reader, writer)

    server = await asyncio.start_server(late, "127.0.0.1", 0)
    proxy = Proxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(RegistryProblem):
        await _tags(worker, registry, proxy=proxy, timeout=0.3)
    assert await _tags(worker, registry, proxy=proxy) == ["1.0.0"]
    server.close()


async def test_who_has_not_set_insecure_sends_nothing_in_plain(place: Start) -> None:
    worker, rogue = Tokens(), await place()
    repository = Repository("registry.example", "b/app")
    async with Registry(repository, BOB, proxy=rogue.proxy, insecure=True, timeout=5, tokens=worker) as registry:
        await registry.tags()
    rogue.seen.clear()
    with pytest.raises(RegistryProblem):
        async with Registry(repository, BOB, proxy=rogue.proxy, timeout=5, tokens=worker) as registry:
            await registry.tags()
    assert rogue.seen
    assert all(said.startswith("CONNECT") for said in rogue.seen)


async def test_all_who_come_alike_share_one_token(place: Start) -> None:
    worker, registry = Tokens(), await place()
    await _tags(worker, registry, BOB)
    await asyncio.gather(*(_tags(worker, registry, BOB) for _ in range(50)))
    assert len(registry.asked()) == 1


KEY = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


async def _github(place: Place, app: str, **named: Any) -> str:
    data = {"githubAppID": app, "githubAppInstallationID": "1", "githubAppBaseURL": f"http://{place.host}"}
    secret = {key: value.encode() for key, value in data.items()} | {"githubAppPrivateKey": KEY}
    return await github.token(secret | named.pop("more", {}), "n", **{"proxy": None, "timeout": 5, **named})


class GitHub(Place):
    async def _answer(self, request: web.Request) -> web.Response:
        self.seen.append(request.path)
        return web.json_response(self.given)


@pytest_asyncio.fixture
async def api() -> AsyncIterator[GitHub]:
    found = GitHub()
    await found.start()
    github._known.clear()
    yield found
    github._known.clear()
    await found.stop()


@pytest.mark.parametrize("case", TOKENS)
async def test_githubs_tokens_are_held_to_the_same(api: GitHub, case: str) -> None:
    api.given = TOKENS[case]
    with pytest.raises(GitProblem, match="visible ASCII"):
        await _github(api, "1")
    assert not len(github._known)


async def test_githubs_tokens_are_few(api: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(github, "_known", Earned(3))
    for app in range(6):
        await _github(api, str(app))
    assert len(github._known) == 3
    api.seen.clear()
    await _github(api, "5")
    assert api.seen == [], "the last ones are kept"


async def test_githubs_token_of_anothers_proxy_is_his_alone(api: GitHub) -> None:
    rogue = GitHub()
    await rogue.start()
    rogue.given = {"token": "of-the-rogue"}
    try:
        assert await _github(api, "1", proxy=rogue.proxy) == "of-the-rogue"
        assert await _github(api, "1") == "good"
        assert await _github(api, "1", proxy=rogue.proxy) == "of-the-rogue"
    finally:
        await rogue.stop()

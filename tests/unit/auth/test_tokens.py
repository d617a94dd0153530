"""A token that cannot be had: the error of the real SDK, with the identity, the scope and the role."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiohttp import web

from fluxless.api.failure import Problem
from fluxless.auth.identity import credential
from fluxless.auth.purposes import ACR, ALL, Purpose


@contextlib.asynccontextmanager
async def endpoint(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[None]:
    """The identity endpoint of an app."""
    app = web.Application()
    app.router.add_get("/msi/token", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}/msi/token")
        patch.setenv("IDENTITY_HEADER", "header")
        credential.cache_clear()
        yield
        credential.cache_clear()
    await runner.cleanup()


@pytest_asyncio.fixture
async def no_such_identity() -> AsyncIterator[None]:
    """The app has another identity, or none."""

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"statusCode": 400, "message": "No User Assigned Identity found"}, status=400)

    async with endpoint(refuse):
        yield


@pytest.mark.parametrize("purpose", [purpose for purpose in ALL if purpose.scope])
async def test_the_error_names_identity_scope_and_role(no_such_identity: None, purpose: Purpose) -> None:
    identity = credential("client-1")
    with pytest.raises(Problem) as raised:
        await identity.token(purpose, f"https://{purpose.hosts[0]}")
    await identity.close()
    (failure,) = raised.value.failures
    assert f"no Entra token for {purpose.scope} as app/client-1" in failure.message
    assert "FLUXLESS_IDENTITY_CLIENT_ID" in failure.next_step
    assert f"needs {purpose.role}" in failure.next_step


@pytest.mark.parametrize(("client_id", "asked"), [(None, None), ("client-1", "client-1")])
async def test_the_system_assigned_identity_has_no_name_and_a_user_assigned_one_has(
    client_id: str | None, asked: str | None
) -> None:
    seen: list[dict[str, str]] = []

    async def give(request: web.Request) -> web.Response:
        seen.append(dict(request.query))
        token = {"access_token": f"token-{len(seen)}", "resource": request.query["resource"]}
        return web.json_response(token | {"expires_on": str(int(time.time()) + 86400)})

    async with endpoint(give):
        assert credential(client_id) is credential(client_id)
        identity = credential(client_id)
        url = "https://a.azurecr.io"
        assert [await identity.token(ACR, url) for _ in range(2)] == ["token-1", "token-1"]
        await identity.close()
    assert [query.get("client_id") for query in seen] == [asked]

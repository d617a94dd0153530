"""A token that cannot be had: the error of the real SDK, with the identity, the scope and the role."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from fluxless.api.failure import Problem
from fluxless.identity import ROLES, credential


@pytest_asyncio.fixture
async def no_such_identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The identity endpoint of an app that has another identity, or none."""

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"statusCode": 400, "message": "No User Assigned Identity found"}, status=400)

    app = web.Application()
    app.router.add_get("/msi/token", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{runner.addresses[0][1]}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    credential.cache_clear()
    yield
    credential.cache_clear()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("scope", "role"),
    [*ROLES.items(), ("https://example.org/.default", None)],
)
async def test_the_error_names_identity_scope_and_role(no_such_identity: None, scope: str, role: str | None) -> None:
    identity = credential("client-1")
    with pytest.raises(Problem) as raised:
        await identity.token(scope)
    await identity.sdk.close()
    (failure,) = raised.value.failures
    assert f"no Entra token for {scope} as app/client-1" in failure.message
    assert "FLUXLESS_IDENTITY_CLIENT_ID" in failure.next_step
    assert ("needs" in failure.next_step) == (role is not None)
    assert (role or "") in failure.next_step

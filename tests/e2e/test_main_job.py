"""The main job through the real function_app.py: webhook, timer, chain, keys, statuses."""

import hashlib
import hmac
import json
import uuid

import pytest

from fluxless.reconcile.status import RECONCILE_ANNOTATION
from tests.support.flux import Flux, ready
from tests.support.hosted import Hosted, passed_on, until
from tests.support.repositories import Repo, config_map, deployment
from tools.environment import SECRET


async def _ready(user: Flux, *names: str) -> bool:
    return all([ready(await user.ks(name))[0] == "True" for name in names])


async def test_the_timer_alone_brings_a_chain_into_the_cluster(hosted: Hosted, user: Flux, pushed: Repo) -> None:
    pushed.push({"infra/i.yaml": config_map("i"), "apps/web.yaml": deployment("web")})
    await user.source(pushed)
    await user.kustomization("infra", path="infra", wait=True)
    await user.kustomization("apps", path="apps", wait=True, dependsOn=[{"name": "infra"}])
    await until(lambda: _ready(user, "infra", "apps"), "the chain to be ready")
    status = await hosted.status()
    assert status["name"] == "sync"
    assert status["runtimeStatus"] in {"Running", "Completed"}


async def test_a_signed_push_is_answered_at_once_and_applied_in_a_second_or_so(
    hosted: Hosted, user: Flux, pushed: Repo
) -> None:
    """The answer comes before the work is done, unless the machine kept the sender waiting for it."""
    pushed.push({"a.yaml": config_map("a", "0")})
    await user.source(pushed)
    await user.kustomization("app")
    await until(lambda: _ready(user, "app"), "the first commit")
    name = pushed.url.rpartition("/")[2].removesuffix(".git")
    at_once = 0
    for number in range(1, 5):
        pushed.push({"a.yaml": config_map("a", str(number))})
        status, text, seconds = await hosted.push(name)
        at_once += await user.value("a") != str(number)
        assert (status, sum(passed_on(text))) == (202, 1)

        async def applied(number: int = number) -> bool:
            return await user.value("a") == str(number)

        took = await until(applied, f"commit {number}")
        print(f"answered in {seconds:.2f} s, applied {took:.2f} s later")
    assert at_once >= 2


@pytest.mark.parametrize(
    ("spelling", "match"),
    [("ssh://git@{host}/{name}.git", True), ("http://{host}/{upper}", True), ("http://{host}/other", False)],
)
async def test_any_spelling_of_the_repository_is_found(
    hosted: Hosted, user: Flux, pushed: Repo, spelling: str, match: bool
) -> None:
    await _fetched(user, pushed)
    host, _, name = pushed.url.removeprefix("http://").removesuffix(".git").partition("/")
    url = spelling.format(host=host, name=name, upper=name.upper())
    status, text = await _deliver(hosted, {"repository": {"clone_url": url}})
    assert status == 202
    assert passed_on(text)[0] <= match
    if match:
        await until(lambda: _requested(user), "the object to be told")
    else:
        assert not await _requested(user)


async def _fetched(user: Flux, repo: Repo) -> None:
    """A source that a plan has seen: webhooks know it from then on."""
    repo.push({"a.yaml": config_map("a")})
    await user.source(repo)

    async def is_ready() -> bool:
        return ready(await user.repository())[0] == "True"

    await until(is_ready, "the source")


async def _requested(user: Flux) -> bool:
    return RECONCILE_ANNOTATION in ((await user.repository())["metadata"].get("annotations") or {})


async def _deliver(hosted: Hosted, document: object, **headers: str) -> tuple[int, str]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    given = {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": signature,
    } | headers
    return await hosted.post(body, {name.replace("_", "-"): value for name, value in given.items()})


async def test_a_delivery_is_taken_once(hosted: Hosted, user: Flux, pushed: Repo) -> None:
    await _fetched(user, pushed)
    delivery = {"X_GitHub_Delivery": str(uuid.uuid4())}
    document = {"repository": {"clone_url": pushed.url}}
    first = await _deliver(hosted, document, **{"X-GitHub-Delivery": delivery["X_GitHub_Delivery"]})
    again = await _deliver(hosted, document, **{"X-GitHub-Delivery": delivery["X_GitHub_Delivery"]})
    assert (first[0], sum(passed_on(first[1]))) == (202, 1)
    assert again[0] == 202
    assert "received before" in again[1]


async def test_what_is_no_delivery_of_ours_is_refused(hosted: Hosted) -> None:
    document = {"repository": {"clone_url": "https://example.com/a/b"}}
    assert (await _deliver(hosted, document, **{"X-Hub-Signature-256": "sha256=00"}))[0] == 401
    assert (await _deliver(hosted, document, **{"X-Hub-Signature-256": ""}))[0] == 401
    assert (await _deliver(hosted, b"{no json"))[0] == 400
    assert (await _deliver(hosted, b" " * (5 * 1024 * 1024)))[0] == 413
    assert (await _deliver(hosted, {"zen": "x"}, **{"X-GitHub-Event": "ping"}))[0] in {200, 202}


async def test_waking_needs_a_function_key_and_a_known_cluster(hosted: Hosted) -> None:
    import aiohttp

    url, key = hosted.env.functions_url, {"x-functions-key": hosted.env.functions_key}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{url}/api/sync") as answer:
            assert answer.status == 401
        async with http.post(f"{url}/api/sync/dev", headers=key) as answer:
            assert answer.status == 202
        async with http.post(f"{url}/api/sync/nope", headers=key) as answer:
            assert answer.status == 404
            assert "known are dev" in await answer.text()

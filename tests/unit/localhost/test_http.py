"""HTTP functions: routes, access keys, the durable client, and what the host itself answers."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator

import pytest

from tests.unit.localhost.hosting import APPS, LocalHost


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHost]:
    with LocalHost(APPS / "web", tmp_path_factory.mktemp("web")) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/open/a", (200, {"name": "a"})),
        ("/api/open/a/12", (200, {"name": "a", "size": "12"})),
        ("/api/open/a%20b", (200, {"name": "a b"})),
        ("/api/open/a/big", (404, None)),
        ("/open/a", (404, None)),
    ],
)
def test_routes(host: LocalHost, path: str, answer: tuple[int, object]) -> None:
    status, text = host.ask(path)
    assert (status, json.loads(text) if status == 200 else None) == answer


@pytest.mark.parametrize(
    ("key", "closed", "inner"),
    [(None, 401, 401), ("wrong", 401, 401), ("function", 200, 401), ("durable", 401, 401), ("master", 200, 200)],
)
def test_auth_levels(host: LocalHost, key: str | None, closed: int, inner: int) -> None:
    text = host.keys.get(key or "", key)
    headers = {"x-functions-key": text} if text else {}
    assert host.ask("/api/closed", "x", **headers)[0] == closed
    assert host.ask("/api/inner", **headers)[0] == inner
    assert host.ask(f"/api/inner?code={text or ''}")[0] == inner


def test_the_durable_api_wants_its_key(host: LocalHost) -> None:
    assert host.ask("/runtime/webhooks/durabletask/instances/x")[0] == 401


def test_keys_are_the_owners_alone(host: LocalHost) -> None:
    assert stat.S_IMODE((host.state / "keys.json").stat().st_mode) == 0o600


def test_a_failed_function_answers_500_and_tells_the_log_only(host: LocalHost) -> None:
    assert host.ask("/api/failing") == (500, "")
    assert "not for the caller" in host.log


def test_the_durable_client_starts_raises_waits_and_purges(host: LocalHost) -> None:
    steps = json.loads(host.ask("/api/client/through")[1])
    assert steps == [False, True, [{"a": 1}, {"b": 2}], 1] or steps[2:] == [['{"a": 1}', {"b": 2}], 1]


def test_the_host_says_that_it_runs(host: LocalHost) -> None:
    assert host.ask("/")[0] == 200
    status, text = host.ask("/admin/host/status")
    assert (status, json.loads(text)["state"]) == (200, "Running")

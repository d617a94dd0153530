"""The GitHub door: signature first, then as little of the body as possible."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from fluxless.engine.doors.github import github
from fluxless.limits import CALLER_BODY

SECRET = "s3cret"
PUSH = {"ref": "refs/heads/main", "repository": {"clone_url": "https://github.com/acme/fleet.git"}}


def deliver(body: bytes, secret: str = SECRET, configured: str = SECRET, **headers: str) -> tuple[int, tuple[str, ...]]:
    sent = {
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        "x-github-event": "push",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = github(sent, body, configured)
    return answer.status, answer.keys


def test_a_signed_push_names_its_repository() -> None:
    assert deliver(json.dumps(PUSH).encode()) == (202, ("git:github.com/acme/fleet",))


def test_a_ping_is_answered() -> None:
    assert deliver(b'{"zen": "x"}', x_github_event="ping") == (200, ())


def test_other_events_are_taken_and_ignored() -> None:
    assert deliver(b"{}", x_github_event="star") == (202, ())


REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "wrong secret": (401, {"body": b"{}", "secret": "other"}),
    "no signature": (401, {"body": b"{}", "x_hub_signature_256": ""}),
    "signature of another scheme": (401, {"body": b"{}", "x_hub_signature_256": "sha1=abc"}),
    "signature that is not ASCII": (401, {"body": b"{}", "x_hub_signature_256": "sha256=\u00e4"}),
    "no secret configured": (401, {"body": b"{}", "secret": "", "configured": ""}),
    "too large": (413, {"body": b" " * (CALLER_BODY + 1)}),
    "not JSON": (400, {"body": b"{"}),
    "JSON of another shape": (400, {"body": b"[1]"}),
    "nested without end": (400, {"body": b"[" * 100_000}),
    "repository is a number": (400, {"body": b'{"repository": 1}'}),
    "no repository": (400, {"body": b'{"ref": "x"}'}),
    "repository without URL": (400, {"body": b'{"repository": {}}'}),
    "no event": (400, {"body": b"{}", "x_github_event": ""}),
    "delivery id that is a path": (400, {"body": json.dumps(PUSH).encode(), "x_github_delivery": "../../state"}),
}


@pytest.mark.parametrize(("status", "delivery"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(status: int, delivery: dict[str, Any]) -> None:
    assert deliver(**delivery) == (status, ())

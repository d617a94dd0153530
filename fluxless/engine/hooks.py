"""GitHub push webhooks (`POST /api/hooks/github`): who sent this, and which GitRepositories does it concern?

A webhook only says when. The signature is checked over the raw body before anything is read from it; of the body only
the repository's URLs are used, to find the objects to reconcile; what there is to fetch is asked of Git itself.
Source: GitHub's documentation of webhook events and of `X-Hub-Signature-256`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes. A push of many commits may be large; anything above this is refused before it is parsed."""
DELIVERIES = "deliveries/github/"
"""The folder of blobs that remember delivery ids."""
DELIVERY = re.compile(r"^[0-9A-Za-z-]{8,64}$")


@dataclass(frozen=True, slots=True)
class Answer:
    """What to tell the sender: HTTP status and a sentence. `urls` are the repository's, set for a push to act on."""

    status: int
    text: str
    urls: tuple[str, ...] = ()
    delivery: str = ""


def github(headers: Mapping[str, str], body: bytes, secret: str) -> Answer:
    """Check a delivery. Headers are looked up in lower case."""
    if len(body) > BODY_LIMIT:
        return Answer(413, f"the body is larger than {BODY_LIMIT // 1024 // 1024} MiB")
    if not secret:
        return Answer(401, "no webhook secret is configured: set the app setting FLUXLESS_GITHUB_WEBHOOK_SECRET")
    if not _signed(headers.get("x-hub-signature-256", ""), body, secret):
        return Answer(401, "X-Hub-Signature-256 is absent or does not match the webhook secret")
    event = headers.get("x-github-event", "")
    delivery = headers.get("x-github-delivery", "")
    if not event or not DELIVERY.match(delivery):
        return Answer(400, "X-GitHub-Event or X-GitHub-Delivery is absent or malformed")
    try:
        payload = json.loads(body)
        repository = payload["repository"] if event == "push" else {}
        urls = tuple(
            str(repository[field]) for field in ("clone_url", "ssh_url", "html_url", "git_url") if repository.get(field)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Answer(400, "the body is not the JSON of a GitHub event")
    if event == "ping":
        return Answer(200, "pong")
    if event != "push":
        return Answer(202, f"nothing to do for event {event[:40]!r}")
    if not urls:
        return Answer(400, "the push names no repository URL")
    return Answer(202, "accepted", urls, delivery)


def _signed(header: str, body: bytes, secret: str) -> bool:
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(header.encode("utf-8", "replace"), expected.encode())


def delivery_name(delivery: str) -> str:
    """The blob that remembers a delivery id, so that a replay is ignored."""
    return f"{DELIVERIES}{delivery}"


def spec_url(obj: Mapping[str, Any]) -> str:
    """The URL of a GitRepository."""
    return str((obj.get("spec") or {}).get("url", ""))

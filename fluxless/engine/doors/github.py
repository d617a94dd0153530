"""GitHub push webhooks (`POST /api/hooks/github`).

The signature is checked over the raw body before anything is read from it.
Source: GitHub's documentation of webhook events and of `X-Hub-Signature-256`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

from fluxless.engine.directory import git_key
from fluxless.engine.doors import Answer, same, texts, too_large, unset
from fluxless.notification.signatures import parsed

DELIVERY = re.compile(r"^[0-9A-Za-z-]{8,64}$")
SETTING = "FLUXLESS_GITHUB_WEBHOOK_SECRET"


def github(headers: Mapping[str, str], body: bytes, secret: str) -> Answer:
    """Check a delivery. Headers are looked up in lower case."""
    if refused := too_large(body):
        return refused
    if not secret:
        return unset(SETTING)
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not same(headers.get("x-hub-signature-256", ""), wanted):
        return Answer(401, "X-Hub-Signature-256 is absent or does not match the webhook secret")
    event = headers.get("x-github-event", "")
    delivery = headers.get("x-github-delivery", "")
    if not event or not DELIVERY.match(delivery):
        return Answer(400, "X-GitHub-Event or X-GitHub-Delivery is absent or malformed")
    payload = parsed(body)
    if not isinstance(payload, dict):
        return Answer(400, "the body is not the JSON of a GitHub event")
    if event == "ping":
        return Answer(200, "pong")
    if event != "push":
        return Answer(202, f"nothing to do for event {event[:40]!r}")
    urls = texts(payload.get("repository"), "clone_url", "ssh_url", "html_url", "git_url")
    if not urls:
        return Answer(400, "the body is not the JSON of a GitHub event: the push names no repository URL")
    return Answer(202, "accepted", tuple(map(git_key, urls)), f"github-{delivery}")

"""Did the sender of a webhook know the receiver's token (RT-1..11)? Pure, by type; the body is what was received."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}
CD_EVENTS = ("context", "subject")
"""The objects that every CDEvent has, and the fields of its context (CDEvents 0.4)."""
CD_CONTEXT = ("version", "id", "source", "type", "timestamp")


class Refused(Exception):
    """The words are for the app's log; the sender learns no more than the status."""

    def __init__(self, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.status = status


def check(kind: str, headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
    """The body as filters see it. Headers are looked up in lower case. Raises `Refused`.

    The types with tokens of somebody else (generic-oidc, gcr) are checked by `oidc.py`; here their body is read.
    """
    try:
        rule = RULES[kind]
    except KeyError:
        raise Refused(f"receiver type '{kind}' is not supported") from None
    return rule(headers, body, token, events)


def hmac_of(header: str, body: bytes, token: str) -> bool:
    """Whether `<algorithm>=<hex>` is the HMAC of the body; sha1, sha256 and sha512 as in GitHub's library."""
    algorithm, _, given = header.partition("=")
    if algorithm not in HASHES:
        return False
    wanted = hmac.new(token.encode(), body, HASHES[algorithm]).hexdigest()
    return same(given.lower(), wanted)


def same(given: str, wanted: str) -> bool:
    """Compares in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))


def _allowed(name: str, event: str, events: Sequence[str]) -> None:
    if events and event.lower() not in {known.lower() for known in events}:
        raise Refused(f"the {name} event '{event[:60]}' is not authorised")


def parsed(body: bytes) -> Any:
    """The JSON, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _json(name: str, body: bytes) -> dict[str, Any]:
    found = parsed(body)
    if not isinstance(found, dict):
        raise Refused(f"cannot decode {name} webhook payload")
    return found


def _generic(headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
    return body


def _generic_hmac(headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
    if not hmac_of(headers.get("x-signature", ""), body, token):
        raise Refused("unable to validate HMAC signature")
    return body


def _hub(name: str, event_header: str) -> Callable[..., bytes]:
    """GitHub's signature, which Gitea and Bitbucket use as well."""

    def rule(headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
        header = headers.get("x-hub-signature-256") or headers.get("x-hub-signature") or ""
        if not hmac_of(header, body, token):
            raise Refused(f"the {name} signature header is invalid")
        _allowed(name, headers.get(event_header, ""), events)
        return body

    return rule


def _gitlab(headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
    if not same(headers.get("x-gitlab-token", ""), token):
        raise Refused("the X-Gitlab-Token header value does not match the receiver token")
    _allowed("GitLab", headers.get("x-gitlab-event", ""), events)
    return body


def _harbor(headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
    if not same(headers.get("authorization", ""), token):
        raise Refused("the Harbor Authorization header value does not match the receiver token")
    return body


def _decoded(name: str) -> Callable[..., bytes]:
    """No signature: the secret is in the path."""

    def rule(headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
        _json(name, body)
        return body

    return rule


def _gcr(headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
    """A message of Pub/Sub, in which the event is wrapped."""
    message = _json("GCR", body).get("message")
    try:
        inner = json.loads(base64.b64decode(str(message["data"]), validate=True)) if isinstance(message, dict) else None
    except (ValueError, KeyError, binascii.Error, RecursionError):
        inner = None
    if not isinstance(inner, dict):
        raise Refused("cannot decode GCR webhook body")
    return json.dumps({key: inner.get(key, "") for key in ("action", "digest", "tag")}).encode()


def _nexus(headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
    if not hmac_of(f"sha1={headers.get('x-nexus-webhook-signature', '')}", body, token):
        raise Refused("invalid Nexus signature")
    _json("Nexus", body)
    return body


def _cdevents(headers: Mapping[str, str], body: bytes, token: str, events: Sequence[str]) -> bytes:
    event = _json("CDEvents", body)
    context = event.get("context")
    missing = [name for name in CD_EVENTS if not isinstance(event.get(name), dict)]
    if not missing and isinstance(context, dict):
        missing = [f"context.{name}" for name in CD_CONTEXT if not isinstance(context.get(name), str)]
    if missing:
        raise Refused(f"unable to validate CDEvent event: {', '.join(missing)} missing")
    _allowed("CDEvent", headers.get("ce-type", ""), events)
    return body


RULES: dict[str, Callable[..., bytes]] = {
    "generic": _generic,
    "generic-hmac": _generic_hmac,
    "generic-oidc": _generic,
    "github": _hub("GitHub", "x-github-event"),
    "gitlab": _gitlab,
    "bitbucket": _hub("Bitbucket server", "x-event-key"),
    "harbor": _harbor,
    "dockerhub": _decoded("DockerHub"),
    "quay": _decoded("Quay"),
    "acr": _decoded("ACR"),
    "gcr": _gcr,
    "nexus": _nexus,
    "cdevents": _cdevents,
}

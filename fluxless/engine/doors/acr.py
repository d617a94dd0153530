"""Pushes to ACR: its own webhook (`POST /api/hooks/acr`), and Event Grid by HTTP (`/api/hooks/eventgrid`) or by queue.

Sources: Azure's reference of the ACR webhook schema, of ACR as an Event Grid source and of endpoint validation;
CloudEvents 1.0, HTTP 1.1 Web Hooks for Event Delivery.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fluxless.engine.directory import oci_key
from fluxless.engine.doors import Answer, same, too_large, unset
from fluxless.notification.signatures import parsed

SETTING = "FLUXLESS_ACR_WEBHOOK_SECRET"
EVENTS = {"Microsoft.ContainerRegistry.ImagePushed", "Microsoft.ContainerRegistry.ChartPushed"}
VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
_ACTIONS = {"push", "chart_push"}


def acr(headers: Mapping[str, str], body: bytes, secret: str) -> Answer:
    """Check a delivery of ACR's webhook: it carries the secret in a custom header, `Authorization: Bearer <secret>` or
    `X-Fluxless-Token`.
    """
    if refused := too_large(body):
        return refused
    if not secret:
        return unset(SETTING)
    given = headers.get("x-fluxless-token") or headers.get("authorization", "").removeprefix("Bearer ")
    if not same(given, secret):
        return Answer(401, "the custom header with the webhook secret is absent or does not match")
    payload = parsed(body)
    if not isinstance(payload, dict):
        return Answer(400, "the body is not the JSON of an ACR webhook")
    action = str(payload.get("action", ""))
    if action == "ping":
        return Answer(200, "pong")
    if action not in _ACTIONS:
        return Answer(202, f"nothing to do for action {action[:40]!r}")
    key = _key(payload)
    if not key:
        return Answer(400, "the push names no registry and repository")
    return Answer(202, "accepted", (key,))


def event_grid(body: bytes) -> Answer:
    """Read a delivery whose sender is known: the handshake of a new subscription, or events in either schema."""
    if refused := too_large(body):
        return refused
    payload = parsed(body)
    events = payload if isinstance(payload, list) else [payload]
    if not events or not all(isinstance(event, dict) for event in events):
        return Answer(400, "the body is neither an event of Event Grid nor a list of them")
    for event in events:
        if _type(event) == VALIDATION:
            data = event.get("data")
            code = data.get("validationCode") if isinstance(data, dict) else None
            if not isinstance(code, str):
                return Answer(400, "the validation event has no code")
            return Answer(200, json.dumps({"validationResponse": code}), kind="application/json")
    keys = tuple(dict.fromkeys(_keys(events)))
    return Answer(202, "accepted" if keys else "no push among the events", keys)


def _keys(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        data = event.get("data")
        if _type(event) in EVENTS and isinstance(data, dict) and (key := _key(data)):
            yield key


def _type(event: Mapping[str, Any]) -> str:
    """`eventType` in Event Grid's schema, `type` in CloudEvents'."""
    return str(event.get("eventType") or event.get("type") or "")


def _key(payload: Mapping[str, Any]) -> str:
    target, request = payload.get("target"), payload.get("request")
    if not isinstance(target, dict) or not isinstance(request, dict):
        return ""
    host, repository = request.get("host"), target.get("repository")
    return oci_key(host, repository) if isinstance(host, str) and isinstance(repository, str) else ""

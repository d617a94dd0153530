"""Webhooks of the built-in doors and of receivers, genuine ones: whoever has the secret may still send anything."""

from __future__ import annotations

import hmac
from pathlib import Path
from random import Random
from typing import Any

from fluxless.engine.doors.acr import acr, event_grid
from fluxless.engine.doors.cluster import admission, token_of
from fluxless.engine.doors.git_hosts import azure_devops, gitlab
from fluxless.engine.doors.github import github
from fluxless.notification.delivery import genuine
from fluxless.notification.signatures import RULES, Refused
from tools.fuzz import odd
from tools.fuzz.loop import wait

SECRET = "token"
_URLS = {
    "clone_url": "https://h/x.git",
    "ssh_url": "git@h:x.git",
    "git_http_url": "https://h/x",
    "remoteUrl": "https://o.visualstudio.com/x",
}
_BODY = {
    "repository": _URLS,
    "project": _URLS,
    "resource": {"repository": _URLS},
    "eventType": "git.push",
    "action": "push",
    "target": {"repository": "x", "tag": "1"},
    "request": {"host": "h.azurecr.io", "uid": "u"},
    "context": {"version": "1", "id": "a", "source": "b", "type": "c", "timestamp": "d"},
    "subject": {"id": "a", "type": "b", "content": {}},
    "message": {"data": "eyJhY3Rpb24iOiAiSU5TRVJUIn0="},
}
_EVENT = {"eventType": "Microsoft.ContainerRegistry.ImagePushed", "data": _BODY}
_VALIDATION = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "c"}}
_HEADERS = {
    "x-github-event": "push",
    "x-github-delivery": "12345678-1234",
    "x-gitlab-event": "Push Hook",
    "x-event-key": "repo:push",
    "ce-type": "dev.cdevents",
    "content-type": "application/json",
}


def inputs(random: Random) -> tuple[dict[str, str], bytes]:
    """Headers and a body."""
    kind = random.random()
    sound: Any = _BODY if kind < 0.5 else [_EVENT, _VALIDATION] if kind < 0.8 else _VALIDATION
    body = odd.as_json(odd.changed(random, sound))
    if random.random() < 0.2:
        body = odd.bent(random, body)
    headers = {name: value if random.random() < 0.9 else str(odd.scalar(random)) for name, value in _HEADERS.items()}
    return headers, body


def judge(data: tuple[dict[str, str], bytes], folder: Path) -> object:
    """Every door and every type of receiver."""
    headers, body = data
    signed = {**headers, **_signed(body)}
    said: list[Any] = [
        github(signed, body, SECRET),
        gitlab(signed, body, SECRET),
        azure_devops({**signed, "authorization": "Basic eDp0b2tlbg=="}, body, SECRET),
        azure_devops({**signed, "authorization": headers["content-type"]}, body, SECRET),
        acr(signed, body, SECRET),
        event_grid(body),
        admission("c", token_of(SECRET, "c"), body, SECRET),
    ]
    for kind in RULES:
        if kind not in {"gcr", "generic-oidc"}:
            said.append(_receiver(kind, signed, body))
    return said


def _signed(body: bytes) -> dict[str, str]:
    def signature(algorithm: str) -> str:
        return hmac.new(SECRET.encode(), body, algorithm).hexdigest()

    return {
        "x-hub-signature-256": f"sha256={signature('sha256')}",
        "x-signature": f"sha256={signature('sha256')}",
        "x-nexus-webhook-signature": signature("sha1"),
        "x-gitlab-token": SECRET,
        "x-fluxless-token": SECRET,
        "authorization": SECRET,
    }


def _receiver(kind: str, headers: dict[str, str], body: bytes) -> object:
    resources = [{"kind": "GitRepository", "name": "x", "filter": "true"}]
    receiver = {
        "metadata": {"name": "r", "namespace": "n"},
        "spec": {"type": kind, "secretRef": {"name": "s"}, "resources": resources, "events": []},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }

    async def secrets(namespace: str, name: str) -> dict[str, bytes]:
        return {"token": SECRET.encode()}

    try:
        return wait(genuine(receiver, headers, body, secrets))
    except Refused as refused:
        return str(refused)

"""The built-in doors: the secret first, then as little of the body as possible."""

import base64
import json
from typing import Any

import pytest

from fluxless.engine.doors import Answer
from fluxless.engine.doors.acr import acr, event_grid
from fluxless.engine.doors.cluster import admission, token_of
from fluxless.engine.doors.git_hosts import azure_devops, gitlab
from fluxless.limits import CALLER_BODY

S = "s3cret"
GITLAB = {"x-gitlab-token": S, "x-gitlab-event": "Push Hook"}
PROJECT = {"project": {"git_http_url": "https://gitlab.example/a/b.git", "git_ssh_url": "git@gitlab.example:a/b.git"}}
DEVOPS = {"authorization": "Basic " + base64.b64encode(f"any:{S}".encode()).decode()}
PUSHED = {
    "eventType": "git.push",
    "resource": {"repository": {"remoteUrl": "https://acme.visualstudio.com/DefaultCollection/shop/_git/app"}},
}
ACR = {"authorization": f"Bearer {S}"}
IMAGE = {
    "action": "push",
    "target": {"repository": "apps/web", "tag": "1"},
    "request": {"host": "Acme.azurecr.io"},
}
KEY = ("oci:acme.azurecr.io/apps/web",)
GRID = {"eventType": "Microsoft.ContainerRegistry.ImagePushed", "data": IMAGE}
CLOUD = {"type": "Microsoft.ContainerRegistry.ChartPushed", "specversion": "1.0", "data": IMAGE}


def _send(door: str, headers: dict[str, str], payload: Any, secret: str = S) -> Answer:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    doors = {"gitlab": gitlab, "devops": azure_devops, "acr": acr}
    return event_grid(body) if door == "grid" else doors[door](headers, body, secret)


CASES: dict[str, tuple[str, dict[str, str], Any, int, tuple[str, ...]]] = {
    "gitlab push": ("gitlab", GITLAB, PROJECT, 202, ("git:gitlab.example/a/b",) * 2),
    "gitlab tag": (
        "gitlab", GITLAB | {"x-gitlab-event": "Tag Push Hook"}, PROJECT, 202, ("git:gitlab.example/a/b",) * 2
    ),
    "gitlab other event": ("gitlab", GITLAB | {"x-gitlab-event": "Note Hook"}, {}, 202, ()),
    "gitlab other token": ("gitlab", GITLAB | {"x-gitlab-token": "x"}, PROJECT, 401, ()),
    "gitlab no token": ("gitlab", {}, PROJECT, 401, ()),
    "gitlab no JSON": ("gitlab", GITLAB, b"{", 400, ()),
    "gitlab no project": ("gitlab", GITLAB, {"project": {"git_http_url": 1}}, 400, ()),
    "gitlab too large": ("gitlab", GITLAB, b" " * (CALLER_BODY + 1), 413, ()),
    "devops push": (
        "devops", DEVOPS, PUSHED, 202,
        ("git:acme.visualstudio.com/defaultcollection/shop/_git/app", "git:dev.azure.com/acme/shop/_git/app"),
    ),
    "devops other event": ("devops", DEVOPS, {"eventType": "build.complete"}, 202, ()),
    "devops other password": ("devops", {"authorization": "Basic YTpi"}, PUSHED, 401, ()),
    "devops no base64": ("devops", {"authorization": "Basic ###"}, PUSHED, 401, ()),
    "devops bearer": ("devops", {"authorization": f"Bearer {S}"}, PUSHED, 401, ()),
    "devops no repository": ("devops", DEVOPS, {"eventType": "git.push", "resource": []}, 400, ()),
    "devops a list": ("devops", DEVOPS, [], 400, ()),
    "acr push": ("acr", ACR, IMAGE, 202, KEY),
    "acr chart": ("acr", {"x-fluxless-token": S}, IMAGE | {"action": "chart_push"}, 202, KEY),
    "acr ping": ("acr", ACR, {"action": "ping"}, 200, ()),
    "acr delete": ("acr", ACR, IMAGE | {"action": "delete"}, 202, ()),
    "acr other secret": ("acr", {"authorization": "Bearer x"}, IMAGE, 401, ()),
    "acr no secret": ("acr", {}, IMAGE, 401, ()),
    "acr no host": ("acr", ACR, IMAGE | {"request": None}, 400, ()),
    "acr no JSON": ("acr", ACR, b"x", 400, ()),
    "grid list": ("grid", {}, [GRID, GRID], 202, KEY),
    "grid cloud event": ("grid", {}, CLOUD, 202, KEY),
    "grid other event": ("grid", {}, [GRID | {"eventType": "Microsoft.ContainerRegistry.ImageDeleted"}], 202, ()),
    "grid half an event": ("grid", {}, [GRID | {"data": {"target": 1}}], 202, ()),
    "grid no JSON": ("grid", {}, b"x", 400, ()),
    "grid numbers": ("grid", {}, [1], 400, ()),
    "grid nothing": ("grid", {}, [], 400, ()),
    "grid too large": ("grid", {}, b" " * (CALLER_BODY + 1), 413, ()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_delivery(case: str) -> None:
    door, headers, payload, status, keys = CASES[case]
    answer = _send(door, headers, payload)
    assert (answer.status, answer.keys) == (status, keys), answer.text
    assert S not in answer.text


@pytest.mark.parametrize("door", ["gitlab", "devops", "acr"])
def test_a_door_without_a_secret_is_closed(door: str) -> None:
    for headers in ({}, GITLAB | {"x-gitlab-token": ""}, {"authorization": "Basic YTo="}, {"authorization": "Bearer "}):
        answer = _send(door, headers, PROJECT, secret="")
        assert answer.status == 401
        assert "FLUXLESS_" in answer.text


def test_the_handshake_of_event_grid() -> None:
    event = {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "c0de"}}
    answer = _send("grid", {}, [event])
    assert (answer.status, json.loads(answer.text)) == (200, {"validationResponse": "c0de"})
    assert answer.keys == ()


def test_an_api_server_is_always_answered_that_it_may() -> None:
    body = json.dumps({"request": {"uid": "u1", "object": {}}}).encode()
    answer = admission("prod", token_of(S, "prod"), body, S)
    assert json.loads(answer.text)["response"] == {"uid": "u1", "allowed": True}
    assert (answer.status, answer.keys) == (200, ("prod",))
    for cluster, token, secret in (("other", token_of(S, "prod"), S), ("prod", "", S), ("prod", "x", "")):
        assert admission(cluster, token, body, secret).status == 401
    for bad in (b"{", b"[]", b'{"request": 1}', b'{"request": {"uid": 1}}'):
        assert admission("prod", token_of(S, "prod"), bad, S).status == 400

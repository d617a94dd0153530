"""Who knows the token of a receiver, by type (RT-1..11)."""

import base64
import hashlib
import hmac
import json

import pytest

from fluxless.api.notification import TYPES
from fluxless.notification.signatures import RULES, Refused, check

TOKEN = "t0ken"
BODY = b'{"a": 1}'
EVENT = {
    "context": {"version": "0.4.1", "id": "1", "source": "/ci", "type": "dev.cdevents.change.merged.0.2.0",
                "timestamp": "2026-01-01T00:00:00Z"},
    "subject": {"id": "1", "content": {}},
}  # fmt: skip
WRAPPED = {"action": "INSERT", "digest": "r/a@sha256:1", "tag": "r/a:1"}
PUB_SUB = json.dumps({"message": {"data": base64.b64encode(json.dumps(WRAPPED | {"x": 1}).encode()).decode()}}).encode()


def signed(algorithm: str = "sha256", body: bytes = BODY, token: str = TOKEN) -> str:
    return f"{algorithm}={hmac.new(token.encode(), body, algorithm).hexdigest()}"


SHA1 = hmac.new(TOKEN.encode(), BODY, hashlib.sha1).hexdigest()
TAKEN: dict[str, tuple[str, dict[str, str], bytes, list[str]]] = {
    "RT-1 generic": ("generic", {}, b"anything", []),
    "RT-2 sha1": ("generic-hmac", {"x-signature": signed("sha1")}, BODY, []),
    "RT-2 sha256": ("generic-hmac", {"x-signature": signed()}, BODY, []),
    "RT-2 sha512": ("generic-hmac", {"x-signature": signed("sha512")}, BODY, []),
    "RT-3 body": ("generic-oidc", {}, b"anything", []),
    "RT-4 sha256": ("github", {"x-hub-signature-256": signed(), "x-github-event": "push"}, BODY, ["push", "ping"]),
    "RT-4 sha1": ("github", {"x-hub-signature": signed("sha1")}, BODY, []),
    "RT-4 event by any case": ("github", {"x-hub-signature-256": signed(), "x-github-event": "PUSH"}, BODY, ["push"]),
    "RT-5": ("gitlab", {"x-gitlab-token": TOKEN, "x-gitlab-event": "Push Hook"}, b"", ["Push Hook"]),
    "RT-6": ("bitbucket", {"x-hub-signature": signed(), "x-event-key": "repo:push"}, BODY, ["repo:push"]),
    "RT-7": ("harbor", {"authorization": TOKEN}, b"", []),
    "RT-8 dockerhub": ("dockerhub", {}, BODY, []),
    "RT-8 quay": ("quay", {}, BODY, []),
    "RT-8 acr": ("acr", {}, b'{"action": "push", "target": {"repository": "a", "tag": "1"}}', []),
    "RT-9 body": ("gcr", {}, PUB_SUB, []),
    "RT-10": ("nexus", {"x-nexus-webhook-signature": SHA1}, BODY, []),
    "RT-11": ("cdevents", {"ce-type": "cd.change.merged.v1"}, json.dumps(EVENT).encode(), ["cd.change.merged.v1"]),
}
REFUSED: dict[str, tuple[str, dict[str, str], bytes, list[str]]] = {
    "RT-2 no signature": ("generic-hmac", {}, BODY, []),
    "RT-2 other body": ("generic-hmac", {"x-signature": signed(body=b"x")}, BODY, []),
    "RT-2 other token": ("generic-hmac", {"x-signature": signed(token="x")}, BODY, []),
    "RT-2 unknown hash": ("generic-hmac", {"x-signature": "md5=00"}, BODY, []),
    "RT-2 not ASCII": ("generic-hmac", {"x-signature": "sha256=\u00e4"}, BODY, []),
    "RT-4 no signature": ("github", {"x-github-event": "push"}, BODY, []),
    "RT-4 other event": ("github", {"x-hub-signature-256": signed(), "x-github-event": "star"}, BODY, ["push"]),
    "RT-5 other token": ("gitlab", {"x-gitlab-token": "x"}, b"", []),
    "RT-5 no token": ("gitlab", {}, b"", []),
    "RT-5 other event": ("gitlab", {"x-gitlab-token": TOKEN, "x-gitlab-event": "Note Hook"}, b"", ["Push Hook"]),
    "RT-6 other event": ("bitbucket", {"x-hub-signature": signed(), "x-event-key": "x"}, BODY, ["repo:push"]),
    "RT-7 other token": ("harbor", {"authorization": f"Bearer {TOKEN}"}, b"", []),
    "RT-8 no JSON": ("acr", {}, b"{", []),
    "RT-8 a list": ("quay", {}, b"[]", []),
    "RT-8 nested without end": ("dockerhub", {}, b"[" * 100_000, []),
    "RT-9 no message": ("gcr", {}, b"{}", []),
    "RT-9 no base64": ("gcr", {}, b'{"message": {"data": "###"}}', []),
    "RT-9 no JSON": ("gcr", {}, b'{"message": {"data": "YQ=="}}', []),
    "RT-10 no signature": ("nexus", {}, BODY, []),
    "RT-10 other token": ("nexus", {"x-nexus-webhook-signature": "00"}, BODY, []),
    "RT-11 no subject": ("cdevents", {}, json.dumps({"context": EVENT["context"]}).encode(), []),
    "RT-11 no id": ("cdevents", {}, json.dumps(EVENT | {"context": {"version": "0.4.1"}}).encode(), []),
    "RT-11 other event": ("cdevents", {"ce-type": "x"}, json.dumps(EVENT).encode(), ["cd.change.merged.v1"]),
    "no such type": ("other", {}, b"", []),
}


@pytest.mark.parametrize("case", TAKEN)
def test_taken(case: str) -> None:
    kind, headers, body, events = TAKEN[case]
    seen = check(kind, headers, body, TOKEN, events)
    assert seen == body if kind != "gcr" else json.loads(seen) == WRAPPED


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    kind, headers, body, events = REFUSED[case]
    with pytest.raises(Refused) as refused:
        check(kind, headers, body, TOKEN, events)
    assert refused.value.status == 400
    assert TOKEN not in str(refused.value)


def test_every_type_of_the_api_has_a_rule() -> None:
    assert set(RULES) == set(TYPES)

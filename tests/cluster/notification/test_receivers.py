"""Receivers on a real API server (RC-1..13, RT-1..11): status, paths, and what a webhook does."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa

from fluxless.engine.intake import Acceptance
from fluxless.kube.errors import Invalid
from fluxless.notification import oidc
from fluxless.reconcile.status import RECONCILE_ANNOTATION
from tests.support.flux import SOURCE, Flux, Obj, message, ready
from tests.support.issuer import Issuer

NOTIFY = "notification.toolkit.fluxcd.io/v1"
TOKEN = "t0ken"


async def _receiver(flux: Flux, name: str, kind: str = "generic", **spec: Any) -> Obj:
    base: dict[str, Any] = {"type": kind, "resources": [{"kind": "GitRepository", "name": "repo"}]}
    if kind != "generic-oidc":
        base["secretRef"] = {"name": "token"}
    return await flux.put(NOTIFY, "Receiver", name, base | spec)


async def _path(flux: Flux, name: str) -> str:
    found = await flux.get(NOTIFY, "Receiver", name)
    assert found is not None
    assert ready(found) == ("True", "Succeeded"), message(found)
    return str(found["status"]["webhookPath"])


async def _send(flux: Flux, name: str, body: bytes = b"", **headers: str) -> Acceptance:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return await flux.engine.intake.hook(await _path(flux, name), sent, body)


async def _requested(flux: Flux, kind: str = "GitRepository", name: str = "repo") -> str:
    found = await flux.source_of(kind, name)
    return str((found["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION, ""))


@pytest_asyncio.fixture(loop_scope="session")
async def sources(flux: Flux) -> AsyncIterator[Flux]:
    """Two suspended sources with labels: a webhook may request them, and nothing is fetched."""
    await flux.secret("token", {"token": TOKEN})
    for name, team in (("repo", "a"), ("other", "b")):
        url = "https://127.0.0.1:9/x.git"
        spec = {"interval": "1h", "url": url, "suspend": True}
        await flux.put(SOURCE, "GitRepository", name, spec)
        await flux.patch(SOURCE, "GitRepository", name, {"metadata": {"labels": {"team": team}}})
    yield flux


async def test_the_path_is_fluxs(sources: Flux) -> None:
    """It is made of token, name and namespace, and anew when the token changes (RC-10, RC-11)."""
    await _receiver(sources, "push")
    await sources.run()
    wanted = hashlib.sha256(f"{TOKEN}push{sources.namespace}".encode()).hexdigest()
    assert await _path(sources, "push") == f"/hook/{wanted}"
    found = await sources.get(NOTIFY, "Receiver", "push")
    assert found is not None
    assert message(found) == f"Receiver initialized for path: /hook/{wanted}"
    await sources.secret("token", {"token": "another"})
    await sources.request("Receiver", "push")
    await sources.run()
    wanted = hashlib.sha256(f"another{'push'}{sources.namespace}".encode()).hexdigest()
    assert await _path(sources, "push") == f"/hook/{wanted}"


async def test_what_is_wrong_with_a_receiver(sources: Flux) -> None:
    await sources.secret("empty", {"other": "x"})
    await _receiver(sources, "no-secret", secretRef={"name": "none"})
    await _receiver(sources, "no-token", secretRef={"name": "empty"})
    await _receiver(sources, "no-cel", resourceFilter="res.")
    await _receiver(sources, "no-bool", resources=[{"kind": "GitRepository", "name": "repo", "filter": "'x'"}])
    await _receiver(sources, "no-claims", resourceFilter="claims.sub == 'x'")
    twice = [{"issuerURL": "https://x", "validations": [{"expression": "true", "message": "m"}]}] * 2
    await _receiver(sources, "twice", "generic-oidc", oidcProviders=twice)
    await sources.run(patience=0.3)
    expected = {
        "no-secret": ("TokenNotFound", "unable to read token from secret"),
        "no-token": ("TokenNotFound", "required fields 'token'"),
        "no-cel": ("InvalidCELExpression", "invalid resourceFilter expression"),
        "no-bool": ("InvalidCELExpression", "invalid resources[0].filter expression"),
        "no-claims": ("InvalidCELExpression", "claims"),
        "twice": ("ValidationFailed", "duplicate issuerURL 'https://x'"),
    }
    for name, (reason, text) in expected.items():
        found = await sources.get(NOTIFY, "Receiver", name)
        assert found is not None
        assert ready(found) == ("False", reason), message(found)
        assert text in message(found), message(found)
        assert not (found["status"].get("webhookPath"))
    for spec in ({"type": "github", "secretRef": None}, {"type": "generic-oidc", "secretRef": None}):
        with pytest.raises(Invalid):
            await _receiver(sources, "refused", **spec)  # type: ignore[arg-type]


async def test_a_webhook_requests_what_the_receiver_names(sources: Flux) -> None:
    """By name, or by labels; each webhook anew (RC-4, RC-12)."""
    await _receiver(sources, "one")
    by_label = [{"kind": "GitRepository", "name": "*", "matchLabels": {"team": "b"}}]
    await _receiver(sources, "labels", resources=by_label)
    await sources.run()
    answer = await _send(sources, "one")
    assert (answer.status, answer.woken) == (200, ("test",))
    first = await _requested(sources)
    assert first
    assert not await _requested(sources, name="other")
    await _send(sources, "one")
    assert await _requested(sources) > first
    assert (await _send(sources, "labels")).status == 200
    assert await _requested(sources, name="other")


async def test_answers(sources: Flux) -> None:
    """The status code says what is wrong, and a suspended receiver is away (RC-13)."""
    await _receiver(sources, "good")
    await _receiver(sources, "suspended")
    await _receiver(sources, "gone", resources=[{"kind": "GitRepository", "name": "*"}])
    await _receiver(sources, "foreign", resources=[{"kind": "GitRepository", "name": "x", "namespace": "default"}])
    await _receiver(sources, "signed", "generic-hmac")
    await sources.run()
    assert (await sources.engine.intake.hook("/hook/none", {}, b"")).status == 404
    assert (await _send(sources, "good", b" " * (3 * 1024 * 1024 + 1))).status == 413
    assert (await _send(sources, "signed", b"x", x_signature="sha256=00")).status == 400
    assert (await _send(sources, "gone")).status == 500  # no labels beside the star
    assert (await _send(sources, "foreign")).status == 200  # deleted since, for all we know
    path = await _path(sources, "suspended")
    await sources.patch(NOTIFY, "Receiver", "suspended", {"spec": {"suspend": True}})
    await sources.run()
    assert (await sources.engine.intake.hook(path, {}, b"")).status == 503
    sources.configure(no_cross_namespace_refs=True)
    assert (await _send(sources, "foreign")).status == 500
    assert (await _send(sources, "good")).status == 200


async def test_every_type_with_a_secret_lets_its_sender_in(sources: Flux) -> None:
    body = b'{"action": "push", "message": {"data": "e30="}}'
    sha256 = f"sha256={hmac.new(TOKEN.encode(), body, hashlib.sha256).hexdigest()}"
    sha1 = hmac.new(TOKEN.encode(), body, hashlib.sha1).hexdigest()
    context = dict.fromkeys(("version", "id", "source", "type", "timestamp"), "x")
    event = json.dumps({"context": context, "subject": {}}).encode()
    kinds: dict[str, tuple[bytes, dict[str, str]]] = {
        "generic": (b"", {}),
        "generic-hmac": (body, {"x_signature": sha256}),
        "github": (body, {"x_hub_signature_256": sha256, "x_github_event": "push"}),
        "gitlab": (body, {"x_gitlab_token": TOKEN}),
        "bitbucket": (body, {"x_hub_signature": sha256}),
        "harbor": (body, {"authorization": TOKEN}),
        "dockerhub": (body, {}),
        "quay": (body, {}),
        "acr": (body, {}),
        "nexus": (body, {"x_nexus_webhook_signature": sha1}),
        "cdevents": (event, {"ce_type": "x"}),
    }
    for kind in kinds:
        await _receiver(sources, kind, kind)
    await sources.run()
    before = ""
    for kind, (sent, headers) in kinds.items():
        answer = await _send(sources, kind, sent, **headers)
        assert answer.status == 200, kind
        after = await _requested(sources)
        assert after > before, kind
        before = after


async def test_filters_choose(sources: Flux) -> None:
    """By object and body: the receiver's filter, that of an entry, and both (RC-5, RC-6)."""
    everything = {"kind": "GitRepository", "name": "*", "matchLabels": {}}
    await _receiver(sources, "top", resources=[everything], resourceFilter="res.metadata.name == req.repo")
    both = [everything | {"filter": "res.kind == 'GitRepository' && req.tag.startsWith('v')"}]
    await _receiver(sources, "both", resources=both, resourceFilter="res.metadata.labels.team == req.team")
    await _receiver(sources, "named", resources=[{"kind": "GitRepository", "name": "repo", "filter": "req.x == 1"}])
    await sources.run()
    content = "application/json; charset=utf-8"
    assert (await _send(sources, "top", b'{"repo": "other"}', content_type=content)).text.startswith("1 object")
    assert await _requested(sources, name="other")
    assert not await _requested(sources)
    taken = await _send(sources, "both", b'{"team": "a", "tag": "v1"}', content_type=content)
    assert taken.text.startswith("1 object")
    left = await _send(sources, "both", b'{"team": "a", "tag": "1"}', content_type=content)
    assert (left.status, left.text) == (200, "0 object(s) will be reconciled")
    assert left.woken == ()
    assert (await _send(sources, "named", b'{"x": 2}', content_type=content)).text.startswith("0 object")
    assert (await _send(sources, "named", b"{", content_type=content)).status == 500
    assert (await _send(sources, "named", b"{}", content_type="text/plain")).status == 500  # req.x is not there


async def test_tokens_of_an_issuer(sources: Flux) -> None:
    """The issuer's keys, the audience, and all validations have to fit (RT-3, RC-8)."""
    issuer = Issuer()
    url = await issuer.start()
    try:
        provider = {
            "issuerURL": url,
            "audience": "fluxless",
            "variables": [{"name": "repo", "expression": "claims.repository.split('/')[1]"}],
            "validations": [
                {"expression": "vars.repo == 'app'", "message": "another repository"},
                {"expression": "claims.ref == 'refs/heads/main'", "message": "another branch"},
            ],
        }
        other = {"issuerURL": "https://other.example", "validations": [{"expression": "true", "message": "m"}]}
        everything = [{"kind": "GitRepository", "name": "*", "matchLabels": {}}]
        await _receiver(
            sources, "oidc", "generic-oidc", oidcProviders=[other, provider], resources=everything,
            resourceFilter="res.metadata.name == claims.target",
        )  # fmt: skip
        await sources.run()
        good: dict[str, Any] = {"aud": "fluxless", "repository": "acme/app", "ref": "refs/heads/main", "target": "repo"}
        answer = await _send(sources, "oidc", authorization=issuer.token(**good))
        assert (answer.status, answer.text) == (200, "1 object(s) will be reconciled")
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        wrong = {
            "no token": "",
            "no bearer": "Basic x",
            "no JWT": "Bearer x",
            "another audience": issuer.token(**good | {"aud": "x"}),
            "another issuer": issuer.token(**good | {"iss": "https://evil.example"}),
            "ended": issuer.token(**good | {"exp": 1}),
            "endless": issuer.token(**good | {"exp": None}),
            "another key": issuer.token(key=stranger, **good),
            "unknown key": issuer.token(key=stranger, kid="unknown", **good),
            "another repository": issuer.token(**good | {"repository": "acme/other"}),
            "another branch": issuer.token(**good | {"ref": "refs/heads/x"}),
            "no claim": issuer.token(**good | {"repository": None}),
        }
        for name, header in wrong.items():
            assert (await _send(sources, "oidc", authorization=header)).status == 400, name
        assert issuer.asked <= 2  # keys are kept; one that is not known is looked for now and then
        issuer.rotate("two")
        for place in oidc._issuers.values():
            place.asked -= oidc.AGAIN_AFTER
        assert (await _send(sources, "oidc", authorization=issuer.token(**good))).status == 200
    finally:
        await issuer.stop()


async def test_tokens_of_google(sources: Flux, monkeypatch: pytest.MonkeyPatch) -> None:
    """Address and audience of the token have to be those of the Secret (RT-9)."""
    issuer = Issuer()
    url = await issuer.start()
    monkeypatch.setattr(oidc, "GOOGLE", url)
    try:
        await sources.secret("token", {"token": TOKEN, "email": "push@x.iam", "audience": "https://app/hook"})
        await sources.secret("half", {"token": TOKEN})
        await _receiver(sources, "gcr", "gcr")
        await _receiver(sources, "half", "gcr", secretRef={"name": "half"})
        await sources.run()
        inner = base64.b64encode(b'{"action": "INSERT", "digest": "d", "tag": "t"}').decode()
        body = json.dumps({"message": {"data": inner}}).encode()
        good: dict[str, Any] = {"aud": "https://app/hook", "email": "push@x.iam", "email_verified": True}
        assert (await _send(sources, "gcr", body, authorization=issuer.token(**good))).status == 200
        wrong: list[dict[str, Any]] = [{"email": "other@x.iam"}, {"email_verified": False}, {"aud": "x"}]
        for claims in wrong:
            assert (await _send(sources, "gcr", body, authorization=issuer.token(**good | claims))).status == 400
        assert (await _send(sources, "half", body, authorization=issuer.token(**good))).status == 400
    finally:
        await issuer.stop()

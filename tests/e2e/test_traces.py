"""A commit is one trace in Application Insights, from the webhook to the objects that were applied; and one line a step
in the log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid

from fluxless.telemetry import trace_id
from tests.support.flux import Flux, ready
from tests.support.hosted import Hosted, until
from tests.support.repositories import Repo, config_map
from tools.environment import SECRET


async def test_a_push_is_one_trace_from_webhook_to_objects(hosted: Hosted, user: Flux, pushed: Repo) -> None:
    pushed.push({"a.yaml": config_map("a", "1")})
    await user.source(pushed)
    await user.kustomization("app")

    async def is_ready() -> bool:
        return ready(await user.ks("app"))[0] == "True"

    await until(is_ready, "the first commit")
    commit = pushed.push({"a.yaml": config_map("a", "2")})
    body = json.dumps({"repository": {"clone_url": pushed.url}, "after": commit}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    names = {"X-GitHub-Event": "push", "X-GitHub-Delivery": str(uuid.uuid4())}
    assert (await hosted.post(body, {**names, "X-Hub-Signature-256": f"sha256={signature}"}))[0] == 202
    trace = f"{trace_id(f'sha1:{commit}'):032x}"
    mine: list[dict[str, object]] = []

    async def told() -> bool:
        mine[:] = [span for span in hosted.insights.spans() if span["trace"] == trace]
        return {"webhook", "reconcile GitRepository", "reconcile Kustomization"} <= {str(one["span"]) for one in mine}

    await until(told, "the trace", 20)
    fetched = next(span for span in mine if span["span"] == "reconcile GitRepository")
    applied = next(span for span in mine if span["span"] == "reconcile Kustomization")
    assert applied["parent"] == fetched["id"]
    assert (applied["cluster"], applied["namespace"], applied["name"]) == ("dev", user.namespace, "app")
    assert applied["applied"] == f"ConfigMap/{user.namespace}/a configured"
    line = next(one for one in hosted.log().splitlines() if f"kind=Kustomization namespace={user.namespace}" in one)
    assert " name=app " in line
    assert f"revision=main@sha1:{commit}" in hosted.log()
    assert "azure.core.pipeline" not in hosted.log()  # SDKs would tell every request

"""What an API server tells of Flux objects (`POST /api/hooks/cluster/<cluster>/<token>`): an AdmissionReview, which is
always allowed. `fluxless install --push` registers it.

Source: Kubernetes' reference of dynamic admission control (admission.k8s.io/v1).
"""

from __future__ import annotations

import hashlib
import hmac
import json

from fluxless.engine.doors import Answer, same, unset
from fluxless.notification.signatures import parsed

SETTING = "FLUXLESS_PUSH_SECRET"


def token_of(secret: str, cluster: str) -> str:
    """What a cluster shows: another for each, so that none can speak for another."""
    return hmac.new(secret.encode(), f"push/{cluster}".encode(), hashlib.sha256).hexdigest()[:40]


def admission(cluster: str, token: str, body: bytes, secret: str) -> Answer:
    """Check a review; `keys` is the cluster when it is to be planned. The body is not trusted beyond its uid."""
    if not secret:
        return unset(SETTING)
    if not same(token, token_of(secret, cluster)):
        return Answer(401, "the path does not hold the token of this cluster")
    review = parsed(body)
    request = review.get("request") if isinstance(review, dict) else None
    uid = request.get("uid") if isinstance(request, dict) else None
    if not isinstance(uid, str):
        return Answer(400, "the body is no AdmissionReview")
    answer = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": uid, "allowed": True},
    }
    return Answer(200, json.dumps(answer), (cluster,), kind="application/json")

"""A webhook for a receiver: is it genuine, and which objects does it concern (RC-3..8, RC-12, RC-13)?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fluxless.api import conditions
from fluxless.api.failure import Problem
from fluxless.api.kinds import by_name
from fluxless.kube.client import Cluster
from fluxless.notification import claims as cel
from fluxless.notification import oidc, signatures
from fluxless.notification.receiver import OIDC, variables_of
from fluxless.notification.signatures import Refused
from fluxless.reconcile.expressions import expression

Obj = dict[str, Any]
Target = tuple[str, str, str, str]
"""(apiVersion, kind, namespace, name)."""
Secrets = Callable[[str, str], Awaitable[Mapping[str, bytes] | None]]
"""(namespace, name) to the data of a Secret, or None."""


async def genuine(receiver: Obj, headers: Mapping[str, str], body: bytes, secrets: Secrets) -> dict[str, Any]:
    """The variables for its filters: `req`, and `claims` of a generic-oidc receiver. Raises `Refused`."""
    spec, kind = receiver["spec"], str(receiver["spec"]["type"])
    if spec.get("suspend"):
        raise Refused("receiver is suspended", 503)
    if not conditions.is_true(receiver, "Ready"):
        raise Refused("receiver is not ready", 503)
    data = await _secret(receiver, secrets)
    token = data.get("token", b"").decode(errors="replace")
    variables: dict[str, Any] = {}
    authorization = headers.get("authorization", "")
    if kind == OIDC:
        variables["claims"] = await _claims(spec, authorization)
    if kind == "gcr":
        email, audience = (data.get(key, b"").decode(errors="replace") for key in ("email", "audience"))
        if not email or not audience:
            raise Refused("invalid secret data: required fields 'email' and 'audience' for GCR receiver")
        await oidc.google(authorization, email, audience)
    seen = signatures.check(kind, headers, body, token, spec.get("events") or [])
    return variables | {"req": _request(receiver, headers, seen)}


async def _secret(receiver: Obj, secrets: Secrets) -> Mapping[str, bytes]:
    name = (receiver["spec"].get("secretRef") or {}).get("name")
    if not name:
        return {}
    namespace = receiver["metadata"]["namespace"]
    data = await secrets(namespace, str(name))
    if data is None or "token" not in data:
        raise Refused(f"invalid '{namespace}/{name}' secret data: required field 'token'")
    return data


async def _claims(spec: Mapping[str, Any], authorization: str) -> dict[str, Any]:
    providers = {str(provider["issuerURL"]): provider for provider in spec.get("oidcProviders") or []}
    audiences = {str(provider.get("audience") or cel.AUDIENCE) for provider in providers.values()}
    found: dict[str, Any] = {}
    refused: Refused | None = None
    for audience in sorted(audiences):
        mine = [name for name, one in providers.items() if str(one.get("audience") or cel.AUDIENCE) == audience]
        try:
            found = await oidc.verified(authorization, audience, *mine)
        except Refused as error:
            refused = error
            continue
        cel.validate(providers[str(found["iss"])], found)
        return found
    raise refused or Refused("generic-oidc receiver has no oidcProviders configured")


def _request(receiver: Obj, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The body, where a filter asks for it and it is JSON."""
    spec = receiver["spec"]
    if not (spec.get("resourceFilter") or any(entry.get("filter") for entry in spec["resources"])):
        return {}
    content = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content != "application/json" and not content.endswith("+json"):
        return {}
    found = signatures.parsed(body)
    if not isinstance(found, dict):
        raise Refused("failed to parse request body as JSON", 500)
    return found


async def targets(
    receiver: Obj, variables: Mapping[str, Any], cluster: Cluster, *, no_cross_namespace: bool
) -> tuple[list[Target], list[str]]:
    """What is to be reconciled, and what is wrong with the other entries."""
    found = await asyncio.gather(
        *(_entry(receiver, entry, variables, cluster, no_cross_namespace) for entry in receiver["spec"]["resources"])
    )
    named = list(dict.fromkeys(one for entry, _ in found for one in entry))
    return named, [words for _, words in found if words]


async def _entry(
    receiver: Obj, entry: Obj, variables: Mapping[str, Any], cluster: Cluster, no_cross_namespace: bool
) -> tuple[list[Target], str]:
    kind, name, home = str(entry["kind"]), str(entry["name"]), receiver["metadata"]["namespace"]
    namespace = str(entry.get("namespace") or home)
    shown = f"{kind}/{namespace}/{name}"
    if namespace != home and no_cross_namespace:
        return [], f"{shown}: cross-namespace references are not allowed"
    api_version = str(entry.get("apiVersion") or by_name(kind).api_version)
    filters = [text for text in (receiver["spec"].get("resourceFilter"), entry.get("filter")) if text]
    try:
        resource = await cluster.resource(api_version, kind)
        if name == "*":
            labels = entry.get("matchLabels")
            if labels is None:
                return [], f"{shown}: matchLabels field not set when using wildcard '*' as name"
            selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
            objects = await cluster.list(resource, namespace, labels=selector)
        elif filters:
            one = await cluster.get(resource, name, namespace)
            if one is None:
                return [], f"{shown}: not found"
            objects = [one]
        else:
            return [(api_version, kind, namespace, name)], ""
        names = variables_of(str(receiver["spec"]["type"]))
        kept = [
            str(obj["metadata"]["name"])
            for obj in objects
            if all(expression(text, *names).holds({"res": _metadata(obj), **variables}) for text in filters)
        ]
    except Problem as problem:
        return [], f"{shown}: {problem.failures[0].message}"
    return [(api_version, kind, namespace, found) for found in kept], ""


def _metadata(obj: Obj) -> Obj:
    """What filters see of an object."""
    return {key: obj[key] for key in ("apiVersion", "kind", "metadata")}

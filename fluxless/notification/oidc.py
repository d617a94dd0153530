"""Tokens that somebody else has signed: OpenID Connect discovery, keys, claims (RT-3, RT-9), and Event Grid's of Entra.

Sources: OpenID Connect Discovery 1.0 and Core 1.0 (ID token validation). Keys are kept for ten minutes, and fetched
again at once, but not more often than every ten seconds, when a token names one that is not known or the issuer
failed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fluxless import limits, transport
from fluxless.notification.signatures import Refused

KEYS_FOR = 600.0
AGAIN_AFTER = 10.0
TIMEOUT = 5.0
"""Seconds for one request to an issuer."""
LEEWAY = 30
"""Seconds by which clocks may differ."""
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")
GOOGLE = "https://accounts.google.com"


@dataclass(slots=True)
class _Issuer:
    keys: dict[str, Any] = field(default_factory=dict)
    fetched: float = float("-inf")
    asked: float = float("-inf")
    """When it was asked last, whatever it answered."""
    failed: str = ""
    fetching: asyncio.Task[None] | None = None


_issuers: OrderedDict[tuple[int, str], _Issuer] = OrderedDict()
"""By event loop and URL, those that were asked for last at the end."""


async def verified(header: str, audience: str, *issuers: str, discovery: str = "") -> dict[str, Any]:
    """The claims of a bearer token that one of the issuers has signed for the audience. Raises `Refused`.

    Keys are found by the discovery document of the token's issuer, or that at `discovery`.
    """
    import jwt

    scheme, _, token = header.partition(" ")
    if scheme != "Bearer" or not token.strip():
        raise Refused("the Authorization header is missing or malformed")
    try:
        head = jwt.get_unverified_header(token)
        said = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except jwt.PyJWTError:
        raise Refused("the bearer token is no JWT") from None
    if said not in issuers:
        raise Refused(f"no oidcProvider configured for issuer '{str(said)[:100]}'")
    key = await _key(discovery or str(said), str(head.get("kid") or ""))
    try:
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=list(ALGORITHMS), audience=audience, leeway=LEEWAY,
            options={"require": ["exp", "iss", "aud"]},
        )  # fmt: skip
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise Refused(f"failed to verify OIDC token: {error}") from None
    return claims


async def google(header: str, email: str, audience: str) -> None:
    """A token of Google's Pub/Sub for a service account (RT-9). Raises `Refused`."""
    claims = await verified(header, audience, GOOGLE, GOOGLE.partition("://")[2], discovery=GOOGLE)
    if claims.get("email") != email or claims.get("email_verified") is not True:
        raise Refused("the token is not that of the service account in the secret")


def _place(issuer: str) -> _Issuer:
    """What is known of an issuer; who has not been asked for longest is forgotten for a new one."""
    key = (id(asyncio.get_running_loop()), issuer)
    place = _issuers.setdefault(key, _Issuer())
    _issuers.move_to_end(key)
    if len(_issuers) > limits.ISSUERS:
        _issuers.popitem(last=False)
    return place


async def _key(issuer: str, identifier: str) -> Any:
    place = _place(issuer)
    now = time.monotonic()
    if identifier in place.keys and now - place.fetched <= KEYS_FOR:
        return place.keys[identifier]
    if place.fetching is None and now - place.asked > AGAIN_AFTER:
        place.fetching = asyncio.create_task(_refresh(place, issuer))
    if place.fetching is not None:  # it goes on for whoever comes next, when this caller gives up
        await asyncio.shield(place.fetching)
    if place.failed:
        raise Refused(place.failed, 503)
    if identifier in place.keys:
        return place.keys[identifier]
    if not identifier and len(place.keys) == 1:
        return next(iter(place.keys.values()))
    raise Refused(f"failed to verify OIDC token: the issuer has no key '{identifier[:60]}'")


async def _refresh(place: _Issuer, issuer: str) -> None:
    try:
        place.keys, place.failed = await _fetch(issuer), ""
        place.fetched = time.monotonic()
    except Refused as problem:
        place.failed = str(problem)
    finally:
        place.asked, place.fetching = time.monotonic(), None


async def _fetch(issuer: str) -> dict[str, Any]:
    import aiohttp
    import jwt

    try:
        async with transport.session(timeout=TIMEOUT) as http:
            document = await _get(http, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            keys = (await _get(http, str(document["jwks_uri"]))).get("keys") or []
            if not isinstance(keys, list):
                raise ValueError("its keys are no list")
    except (aiohttp.ClientError, OSError, TimeoutError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"failed to initialize OIDC provider for issuer '{issuer}': {error}", 503) from None
    found: dict[str, Any] = {}
    for entry in keys:
        try:
            if entry.get("use", "sig") == "sig":
                found[str(entry.get("kid") or "")] = jwt.PyJWK(entry).key
        except (jwt.PyJWTError, AttributeError, ValueError):
            continue  # a kind of key that nobody here can use
    return found


async def _get(http: Any, url: str) -> Mapping[str, Any]:
    async with http.get(url, allow_redirects=False) as answer:
        body = await transport.read(answer, limits.TOKEN_ANSWER)
        if answer.status != 200:
            raise ValueError(f"{url} answers {answer.status}")
    try:
        found = json.loads(body)
    except RecursionError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{url} answers no JSON object")
    return found

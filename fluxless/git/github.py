"""Tokens of a GitHub App's installation (GR-5): a JWT signed with the app's key earns one for an hour.

Source: GitHub's documentation of authenticating as an app installation.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from fluxless import limits, transport
from fluxless.auth.earned import Earned, key_of, sound
from fluxless.git.auth import SecretProblem
from fluxless.git.errors import GitProblem, RemoteUnavailable
from fluxless.transport import Proxy, Tls

APP_ID = "githubAppID"
INSTALLATION = "githubAppInstallationID"
OWNER = "githubAppInstallationOwner"
KEY = "githubAppPrivateKey"
BASE = "githubAppBaseURL"
PUBLIC_API = "https://api.github.com"
USERNAME = "x-access-token"
LIFE = 3300.0
"""Seconds; a token lives for an hour."""
_known = Earned(limits.GITHUB_TOKENS)


async def token(data: Mapping[str, bytes], name: str, *, proxy: Proxy | None, timeout: float) -> str:
    """A token of the installation that a Secret names, kept until shortly before its end. Raises `GitProblem`."""
    values = {key: data.get(key, b"").decode(errors="replace").strip() for key in (APP_ID, INSTALLATION, OWNER, BASE)}
    missing = [key for key in (APP_ID, KEY) if not data.get(key)]
    if missing or not (values[INSTALLATION] or values[OWNER]):
        raise SecretProblem(name, f"has no key '{(missing or [f'{INSTALLATION}, nor {OWNER}'])[0]}'")
    tls = Tls(ca=data.get("ca.crt", b""))
    key = key_of(*values.values(), data[KEY].hex(), tls=tls, proxy=proxy)
    if known := _known.get(key):
        return known
    base = values[BASE].rstrip("/") or PUBLIC_API
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {_jwt(values[APP_ID], data[KEY], name)}",
    }
    async with transport.session(tls=tls, proxy=proxy, headers=headers, timeout=timeout) as http:
        installation = values[INSTALLATION] or await _installation(http, base, values[OWNER], timeout)
        url = f"{base}/app/installations/{installation}/access_tokens"
        fresh = (await _ask(http, "POST", url, timeout)).get("token")
    if not fresh:
        raise RemoteUnavailable(base, "GitHub answers without a token")
    if not isinstance(fresh, str) or not sound(fresh):
        words = f"GitHub answers with a token that is not of visible ASCII characters, at most {limits.TOKEN_BYTES}"
        raise RemoteUnavailable(base, words)
    _known.put(key, fresh, LIFE)
    return fresh


async def _installation(http: Any, base: str, owner: str, timeout: float) -> str:
    for kind in ("orgs", "users"):
        found = await _ask(http, "GET", f"{base}/{kind}/{owner}/installation", timeout, missing=kind == "orgs")
        if found.get("id"):
            return str(found["id"])
    raise GitProblem(f"the GitHub App is not installed for '{owner}'", "install it, or give its installation's id")


async def _ask(http: Any, method: str, url: str, timeout: float, *, missing: bool = False) -> Mapping[str, Any]:
    import aiohttp

    try:
        async with http.request(method, url, allow_redirects=False) as answer:
            body = await transport.read(answer, limits.TOKEN_ANSWER)
            if answer.status in {401, 403, 404} and not (missing and answer.status == 404):
                said = _message(body)
                raise SecretProblem("", f"names a GitHub App that gets no token: {answer.status} {said}")
            if answer.status >= 500:
                raise RemoteUnavailable(url, f"GitHub answers {answer.status}")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise RemoteUnavailable(url, *transport.words(error, timeout)) from error
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])[:200]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _jwt(app: str, key: bytes, name: str) -> str:
    import jwt

    now = int(time.time())
    try:
        return jwt.encode({"iat": now - 60, "exp": now + 540, "iss": app}, key.decode(), algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        raise SecretProblem(name, f"has a '{KEY}' that is no PEM of an RSA key") from None

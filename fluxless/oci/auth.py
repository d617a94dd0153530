"""Who we are to a registry: nobody, a user, the holder of a docker token, or an identity of Entra that ACR knows.

Sources: the distribution specification's token authentication (`WWW-Authenticate: Bearer`), Docker's OAuth2 form of it,
and Azure's page on authenticating with ACR, whose `/oauth2/exchange` turns an Entra token into a refresh token (AZ-11).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from weakref import WeakValueDictionary

from fluxless import limits, metrics
from fluxless.auth.earned import Earned, key_of, sound
from fluxless.auth.purposes import ACR
from fluxless.oci.errors import RegistryRefused, RegistryUnavailable
from fluxless.oci.reference import DOCKER_HUB, Repository
from fluxless.patterns import InvalidPattern, glob
from fluxless.transport import Proxy, Tls, read

if TYPE_CHECKING:
    import aiohttp

    from fluxless.auth.identity import Identity

ACR_REFRESH_SECONDS = 3 * 3600.0 - 600.0
"""A refresh token of ACR lives for three hours."""
ACR_REFRESH = "oauth2/exchange"
"""Where the cache keeps refresh tokens, which are for all repositories."""
DEFAULT_LIFE = 60.0
"""Seconds that a token lives when the server does not say."""
SCHEME_SECONDS = 600.0
"""For so long a registry that may be insecure is not asked again whether it speaks TLS."""
_CHALLENGE = re.compile(r'([A-Za-z_]+)="([^"]*)"')


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Of one registry. `refresh` is docker's `identitytoken`, `bearer` its `registrytoken`; `identity` is asked for a
    token of Entra, and then the others are empty.
    """

    username: str = ""
    password: str = ""
    refresh: str = ""
    bearer: str = ""
    identity: Identity | None = None

    @property
    def anonymous(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.username or self.refresh or self.bearer or self.identity)

    @property
    def basic(self) -> str:
        """The header of basic authentication, or empty."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def fingerprint(self) -> str:
        """Tells credentials apart without holding them."""
        who = self.identity.name if self.identity else ""
        text = repr((self.username, self.password, self.refresh, self.bearer, who))
        return hashlib.sha256(text.encode()).hexdigest()


ANONYMOUS = Credentials()


def of_docker_config(data: Mapping[str, bytes], repository: Repository) -> Credentials | None:
    """What a Secret of type `kubernetes.io/dockerconfigjson` (or the older `dockercfg`) has for a repository, or None
    when it has nothing for it. Raises ValueError saying what is wrong with the Secret.
    """
    key = next((key for key in (".dockerconfigjson", ".dockercfg") if data.get(key)), "")
    if not key:
        raise ValueError("has no key '.dockerconfigjson'")
    try:
        document = json.loads(data[key])
        auths = document.get("auths", {}) if key == ".dockerconfigjson" else document
        entries: list[tuple[str, Mapping[str, Any]]] = sorted(auths.items(), reverse=True)
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise ValueError(f"has a key '{key}' that is no docker configuration") from None
    for name, entry in entries:
        if _covers(name, repository):
            return _of_entry(entry, key, name)
    return None


def _covers(name: str, repository: Repository) -> bool:
    """Kubernetes' rule: the host may have wildcards by label, the path is a prefix."""
    bare = name.partition("://")[2] or name
    host, _, path = bare.partition("/")
    if host in {"docker.io", "registry-1.docker.io"}:
        host = DOCKER_HUB
    if host == DOCKER_HUB and path in {"v1/", "v2/", "v1", "v2"}:
        path = ""
    wanted, have = host.split("."), repository.host.split(".")
    same = len(wanted) == len(have) and all(_means(a, b) for a, b in zip(wanted, have, strict=True))
    return same and (not path.strip("/") or f"{repository.path}/".startswith(f"{path.strip('/')}/"))


def _means(wanted: str, label: str) -> bool:
    try:
        return glob(wanted).matches(label)
    except InvalidPattern:
        return False


def _of_entry(entry: Mapping[str, Any], key: str, name: str) -> Credentials:
    if not isinstance(entry, Mapping):
        raise ValueError(f"has an entry '{name}' in '{key}' that is no object")
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if not username and entry.get("auth"):
        try:
            username, _, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError(f"has an 'auth' of '{name}' in '{key}' that is no base64") from None
    refresh, bearer = str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    if bearer and not sound(bearer):
        raise ValueError(f"has a 'registrytoken' of '{name}' in '{key}' that no header can carry")
    return Credentials(username, password, refresh, bearer)


class Tokens:
    """Authorization headers by registry and scope, while they last, and how each registry asks for them; all of it
    shared only by those who come as the same, over the same TLS and proxy (`Share`).

    One per worker: a hundred objects of one registry then cost one exchange.
    """

    def __init__(self, limit: int = 2000) -> None:
        self.headers = Earned(limit)
        self.challenges = Earned(limit)
        self.schemes = Earned(limit)
        self.turns: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()

    def share(self, host: str, who: Credentials, tls: Tls, proxy: Proxy | None) -> Share:
        """What they have in common who ask this registry so."""
        return Share(self, key_of(host, who.fingerprint, tls=tls, proxy=proxy))

    def clear(self) -> None:
        """Forget all."""
        for kept in (self.headers, self.challenges, self.schemes):
            kept.clear()


class Share:
    """The part of `Tokens` that is meant for some: nothing is read or kept beside it."""

    def __init__(self, tokens: Tokens, key: str) -> None:
        self._all = tokens
        self._key = key

    def turn(self, scope: str) -> asyncio.Lock:
        """Whoever holds it asks the registry for a token; the others wait, and find it."""
        key = (id(asyncio.get_running_loop()), self._of(scope))
        return self._all.turns.setdefault(key, asyncio.Lock())

    def get(self, scope: str) -> str:
        """The header, or empty."""
        header = self._all.headers.get(self._of(scope))
        if header:
            metrics.token(cached=True)
        return header

    def put(self, scope: str, header: str, life: float) -> None:
        """Keep a header for `life` seconds."""
        metrics.token(cached=False)
        if self._all.headers.put(self._of(scope), header, life):
            metrics.TOKEN_EVICTIONS.add()
        metrics.gauges["gotk_token_cached_items"] = float(len(self._all.headers))

    def forget(self, scope: str) -> None:
        """It was refused."""
        self._all.headers.forget(self._of(scope))

    @property
    def challenge(self) -> str:
        """How the registry asked the last time, or empty."""
        return self._all.challenges.get(self._key)

    @challenge.setter
    def challenge(self, header: str) -> None:
        self._all.challenges.put(self._key, header, limits.TOKEN_LIFE)

    @property
    def scheme(self) -> str:
        """What the registry spoke the last time, `https` or `http`, or empty."""
        return self._all.schemes.get(self._key)

    @scheme.setter
    def scheme(self, spoken: str) -> None:
        self._all.schemes.put(self._key, spoken, SCHEME_SECONDS)

    def _of(self, scope: str) -> str:
        return hashlib.sha256(f"{self._key} {scope}".encode()).hexdigest()


async def answer(
    http: aiohttp.ClientSession,
    base: str,
    repository: Repository,
    challenge: str,
    who: Credentials,
    scope: str,
    share: Share,
    entra: Callable[[str], Awaitable[str]],
) -> tuple[str, float]:
    """The Authorization header that a `WWW-Authenticate` asks for, and for how many seconds it is worth keeping; an
    empty one when there is nothing to show. `entra` gives the token of the identity for a URL; the caller has asked
    whether `base` may see what an identity earns. Raises `RegistryProblem`, and what `entra` raises.
    """
    kind, _, rest = challenge.partition(" ")
    if who.bearer:
        return f"Bearer {who.bearer}", 0.0
    if kind.lower() == "basic":
        if who.identity:
            refresh = await _acr_refresh(http, base, repository, who, share, entra)
            return Credentials("00000000-0000-0000-0000-000000000000", refresh).basic, ACR_REFRESH_SECONDS
        return who.basic, 0.0
    if kind.lower() != "bearer":
        raise RegistryUnavailable(f"'{repository.host}' asks for an unknown kind of authentication: '{kind[:40]}'")
    asked = dict(_CHALLENGE.findall(rest))
    realm, service = asked.get("realm", ""), asked.get("service", repository.host)
    if not realm:
        raise RegistryUnavailable(f"'{repository.host}' asks for a token but does not say where to get it")
    try:
        realm = urljoin(base, realm)
    except ValueError:
        raise RegistryUnavailable(f"'{repository.host}' asks for a token of '{realm[:200]}', which is no URL") from None
    if base.startswith("https://") and not realm[:8].lower() == "https://":
        raise RegistryUnavailable(f"'{repository.host}' wants its credentials sent to {realm} without TLS")
    refresh = who.refresh
    if who.identity:
        refresh = await _acr_refresh(http, base, repository, who, share, entra)
        realm = f"{base}/oauth2/token"
    if refresh:
        form = {"grant_type": "refresh_token", "service": service, "scope": scope, "refresh_token": refresh}
        given = await _ask(http, "POST", realm, repository, data={**form, "client_id": "fluxless"})
    else:
        headers = {"Authorization": who.basic} if who.basic else {}
        params = {"service": service, "scope": scope}
        given = await _ask(http, "GET", realm, repository, params=params, headers=headers)
    token = _given(given.get("token") or given.get("access_token"), repository)
    return f"Bearer {token}", _life(token, given.get("expires_in"))


def _given(token: Any, repository: Repository) -> str:
    """A token as it came, if a header may carry it."""
    if not token:
        raise RegistryUnavailable(f"the token server of '{repository.host}' answers without a token")
    if not isinstance(token, str) or not sound(token):
        words = f"of visible ASCII characters, at most {limits.TOKEN_BYTES}"
        raise RegistryUnavailable(
            f"the token server of '{repository.host}' gives a token that is none: it is not {words}"
        )
    return token


def _life(token: str, said: Any) -> float:
    """What the server says; ACR says nothing, but its tokens are JWTs with an end."""
    try:
        if isinstance(said, int | float):
            return float(said)
        body = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"]) - time.time()
    except (IndexError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return DEFAULT_LIFE


async def _acr_refresh(
    http: aiohttp.ClientSession,
    base: str,
    repository: Repository,
    who: Credentials,
    share: Share,
    entra: Callable[[str], Awaitable[str]],
) -> str:
    """ACR's refresh token for the Entra token of an identity: one for all repositories, so one asks for it."""
    async with share.turn(ACR_REFRESH):
        known = share.get(ACR_REFRESH)
        if known:
            return known
        url = f"{base}/oauth2/exchange"
        form = {"grant_type": "access_token", "service": repository.host, "access_token": await entra(url)}
        given = await _ask(http, "POST", url, repository, data=form)
        token = _given(given.get("refresh_token"), repository)
        share.put(ACR_REFRESH, token, ACR_REFRESH_SECONDS)
        return token


async def _ask(
    http: aiohttp.ClientSession, method: str, url: str, repository: Repository, **named: Any
) -> Mapping[str, Any]:
    async with http.request(method, url, allow_redirects=False, **named) as reply:
        body = await read(reply, limits.TOKEN_ANSWER)
        if reply.status in {400, 401, 403}:
            acr = "/oauth2/" in url
            step = (
                f"give the app's identity the role {ACR.role}"
                if acr
                else "correct the user and password in the Secret of spec.secretRef"
            )
            raise RegistryRefused(f"'{repository.host}' refuses a token for '{repository}' ({reply.status})", step)
        if reply.status != 200:
            raise RegistryUnavailable(f"the token server of '{repository.host}' answers {reply.status}")
    try:
        found: Mapping[str, Any] = json.loads(body)
        found.get("token")
    except (ValueError, AttributeError, RecursionError):
        raise RegistryUnavailable(f"the token server of '{repository.host}' answers no JSON") from None
    return found

"""`fluxless trigger receiver`: send a webhook as a build would; needs no cluster."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from dataclasses import dataclass

from rich.console import Console

from fluxless.cli.session import wrong
from fluxless.notification.receiver import OIDC, path_of

TOKEN_VARIABLE = "FLUX_TRIGGER_RECEIVER_OIDC_TOKEN"
AUDIENCE = "notification-controller"


@dataclass(frozen=True, slots=True)
class Trigger:
    """The flags; `delay` in seconds."""

    name: str
    namespace: str
    url: str
    kind: str = "generic"
    token: str = ""
    oidc_provider: str = ""
    oidc_token: str = ""
    oidc_audience: str = ""
    payload: str = "{}"
    retries: int = 10
    delay: float = 10.0

    async def send(self, out: Console) -> None:
        """POST it, again when that may help. Raises `Problem`."""
        import aiohttp

        self._check()
        place = f"{self.namespace}/{self.name}"
        url = self.url.rstrip("/") + path_of("" if self.kind == OIDC else self.token, self.name, self.namespace)
        body = self.payload.encode()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), trust_env=True) as http:
            headers = {"Content-Type": "application/json", "User-Agent": "fluxless"} | await self._proof(http, body)
            out.print(f"► triggering Receiver {place}")
            for attempt in range(self.retries + 1):
                try:
                    async with http.post(url, data=body, headers=headers) as answer:
                        if answer.status < 300:
                            out.print(f"[green]✔[/green] Receiver {place} triggered")
                            return
                        again = answer.status in {404, 408, 429} or answer.status >= 500
                        said = f"the answer is {answer.status}: {(await answer.text())[:200].strip()}"
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    again, said = True, f"request failed: {error or type(error).__name__}"
                if not again or attempt == self.retries:
                    raise wrong(f"Receiver {place} was not triggered: {said}", "check --token, --type and --url")
                out.print(f"◎ {said}; retrying in {self.delay:g} s ({attempt + 1}/{self.retries})")
                await asyncio.sleep(self.delay)

    def _check(self) -> None:
        if not self.url:
            raise wrong("--url is required", "give the app's address")
        if self.kind not in {"generic", "generic-hmac", OIDC}:
            raise wrong(f"type '{self.kind}' cannot be triggered", f"use generic, generic-hmac or {OIDC}")
        if self.kind == OIDC and self.token:
            raise wrong(f"--token must not be set for {OIDC}", "leave it out")
        if self.kind != OIDC and not self.token:
            raise wrong("--token is required", "give the receiver's token")
        if self.oidc_provider and self.oidc_token:
            raise wrong("--oidc-provider and --oidc-token exclude each other", "give one of them")

    async def _proof(self, http: object, body: bytes) -> dict[str, str]:
        if self.kind == "generic-hmac":
            return {"X-Signature": f"sha256={hmac.new(self.token.encode(), body, hashlib.sha256).hexdigest()}"}
        if self.kind != OIDC:
            return {}
        token = await self._fetch(http) if self.oidc_provider else self.oidc_token or os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise wrong("an OIDC token is required", f"give --oidc-token, --oidc-provider, or set {TOKEN_VARIABLE}")
        return {"Authorization": f"Bearer {token}"}

    async def _fetch(self, http: object) -> str:
        """From the build's own service (GitHub Actions and Forgejo)."""
        import aiohttp

        if self.oidc_provider not in {"github", "forgejo"} or not isinstance(http, aiohttp.ClientSession):
            raise wrong(f"--oidc-provider '{self.oidc_provider}' is unknown", "use github or forgejo")
        url = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
        bearer = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
        if not url or not bearer:
            raise wrong("the build offers no OIDC tokens", "give it the permission id-token: write")
        params = {"audience": self.oidc_audience or AUDIENCE}
        async with http.get(url, params=params, headers={"Authorization": f"Bearer {bearer}"}) as answer:
            if answer.status != 200:
                raise wrong(f"the build's token service answers {answer.status}", "check the build's permissions")
            return str((await answer.json(content_type=None))["value"])

"""Azure as `fluxless deploy` needs it: templates, the package, keys, and what the app answers.

The only room of the command line that speaks to ARM; tests give it other addresses, with the real SDK. SDK calls block
and run in threads. No key is ever printed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fluxless.auth.identity import blocking
from fluxless.auth.purposes import MANAGEMENT, PUBLISHING, Purpose, admit
from fluxless.cli import publishing
from fluxless.cli.refusals import failed, of_sdk, problem
from fluxless.kube.connect import management
from fluxless.transport import session, words

T = TypeVar("T")
WEB = "2023-12-01"
"""API version of Microsoft.Web."""
POLL = 3.0
"""Seconds between two looks at an operation of ARM."""
KEYS_WITHIN = 30.0
ASK_WITHIN = 60.0
"""Seconds; the app starts cold, and then looks at all that it reaches."""


@dataclass(frozen=True, slots=True)
class Template:
    """ARM's JSON: what the Bicep compiler makes of files."""

    template: dict[str, Any]
    parameters: dict[str, Any]

    def value(self, name: str) -> Any:
        """A parameter's."""
        return (self.parameters.get(name) or {}).get("value")


class Azure:
    """One subscription. `app` and `scm` say where an app and its deployments are, by its host name."""

    def __init__(
        self,
        subscription: str,
        *,
        app: Callable[[str], str] = lambda host: f"https://{host}",
        scm: Callable[[str], str] = lambda host: f"https://{host.replace('.', '.scm.', 1)}",
    ) -> None:
        self._subscription = subscription
        self._arm, self._plain = management()
        self._credential = blocking(MANAGEMENT, self._arm)
        self._app = app
        self._scm = scm

    async def what_if(self, group: str, name: str, template: Template) -> list[dict[str, Any]]:
        """The changes that a deployment would make, as ARM says them. Raises `Problem`."""

        def ask(client: Any) -> list[dict[str, Any]]:
            found = client.deployments.begin_what_if(
                group, name, _body(template), polling_interval=POLL, **self._plain
            ).result()
            if found.error:
                raise failed(found.error.as_dict())
            return [change.as_dict() for change in found.changes or []]

        return await self._with_client(ask)

    async def deploy(self, group: str, name: str, template: Template) -> dict[str, Any]:
        """Deploy, wait, and give the outputs by name. Raises `Problem` with the innermost errors."""

        def ask(client: Any) -> dict[str, Any]:
            body = _body(template)
            done = client.deployments.begin_create_or_update(
                group, name, body, polling_interval=POLL, **self._plain
            ).result()
            outputs = dict((done.properties.outputs if done.properties else None) or {})
            return {key: value.get("value") for key, value in outputs.items()}

        return await self._with_client(ask)

    async def publish(self, host: str, package: Path, within: float) -> None:
        """Upload the package, and wait until its Python packages are installed (`publishing.py`). Raises `Problem`."""
        scm = self._scm(host)
        await publishing.publish(scm, await self._token(PUBLISHING, scm), package, within)

    async def keys(self, group: str, app: str) -> tuple[str, str]:
        """The master key and a function key of the app. Raises `Problem`."""
        import aiohttp

        path = f"/subscriptions/{self._subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{app}"
        url = f"{self._arm}{path}/host/default/listkeys?api-version={WEB}"
        headers = {"Authorization": f"Bearer {await self._token(MANAGEMENT, url)}"}
        try:
            async with session(timeout=KEYS_WITHIN) as http, http.post(url, headers=headers) as answer:
                status, found = answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            text = f"ARM does not give the keys of {app}: {words(error, KEYS_WITHIN)[0]}"
            raise problem(text, "deploy again") from error
        if status != 200 or not isinstance(found, dict):
            error_body = found.get("error") or found if isinstance(found, dict) else None
            raise failed(error_body or {"code": str(status), "message": f"ARM does not give the keys of {app}"})
        return str(found.get("masterKey") or ""), str((found.get("functionKeys") or {}).get("default") or "")

    async def ask(self, method: str, host: str, path: str, key: str = "") -> tuple[int, Any]:
        """What the app answers: status, and JSON or text. (0, words) when nobody does."""
        import aiohttp

        headers = {"x-functions-key": key} if key else {}
        try:
            async with (
                session(timeout=ASK_WITHIN) as http,
                http.request(method, f"{self._app(host)}{path}", headers=headers) as answer,
            ):
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, str(error) or "no answer in time"
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.strip()

    async def _with_client(self, ask: Callable[[Any], T]) -> T:
        from azure.core.exceptions import AzureError
        from azure.mgmt.resource.deployments import DeploymentsMgmtClient

        def work() -> T:
            with DeploymentsMgmtClient(
                self._credential, self._subscription, self._arm, credential_scopes=[MANAGEMENT.scope]
            ) as client:
                return ask(client)

        try:
            return await asyncio.to_thread(work)
        except AzureError as error:
            raise of_sdk(error) from error

    async def _token(self, purpose: Purpose, url: str) -> str:
        from azure.core.exceptions import AzureError

        admit(purpose, url, tls=None, proxy=None)
        try:
            return str((await asyncio.to_thread(self._credential.get_token, purpose.scope)).token)
        except AzureError as error:
            text = f"no Entra token for {purpose.scope}: {str(error).splitlines()[0]}"
            raise problem(text, "run `az login`") from error


def _body(template: Template) -> dict[str, Any]:
    return {"properties": {"mode": "Incremental", "template": template.template, "parameters": template.parameters}}

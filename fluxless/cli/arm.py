"""Azure as `fluxless deploy` needs it: templates, the package, keys, and what the app answers.

The only room of the command line that speaks to ARM; tests give it other addresses, with the real SDK. SDK calls block
and run in threads. No key is ever printed.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.identity import blocking
from fluxless.transport import session

T = TypeVar("T")
ARM = "https://management.azure.com"
SCOPE = f"{ARM}/.default"
WEB = "2023-12-01"
"""API version of Microsoft.Web."""
BUILD_WITHIN = 900.0
"""Seconds for installing the Python packages."""
POLL = 3.0
BUILT, BROKEN = {4}, {3, 5, 6}
"""States of a deployment of Kudu: success; failure, conflict, partial success."""
STEPS = {
    "AuthorizationFailed": "it takes Contributor and Role Based Access Control Administrator on the resource group",
    "MissingSubscriptionRegistration": "register the provider that is named: az provider register --namespace <name>",
    "RequestDisallowedByPolicy": "a policy of your organisation forbids it; ask its owner, or change the parameter",
    "RoleAssignmentUpdateNotPermitted": "a role assignment of a deleted identity is in the way: delete it",
    "VaultAlreadyExists": "a deleted vault keeps its name: recover it, or choose another `name`",
    "SubscriptionIsOverQuotaForSku": "ask for more quota in the region, or deploy to another",
    "InvalidTemplateDeployment": "correct what is named",
}


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
        self._credential = blocking()
        self._arm = os.environ.get("FLUXLESS_ARM_ENDPOINT") or ARM
        self._plain: dict[str, Any] = {} if self._arm.startswith("https://") else {"enforce_https": False}
        self._app = app
        self._scm = scm

    async def what_if(self, group: str, name: str, template: Template) -> list[dict[str, Any]]:
        """The changes that a deployment would make, as ARM says them. Raises `Problem`."""

        def ask(client: Any) -> list[dict[str, Any]]:
            found = client.deployments.begin_what_if(
                group, name, _body(template), polling_interval=POLL, **self._plain
            ).result()
            if found.error:
                raise _failed(found.error.as_dict())
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

    async def publish(self, host: str, package: Path) -> None:
        """Upload the package and wait until its Python packages are installed. Raises `Problem`."""
        headers = {"Authorization": f"Bearer {await self._token()}", "Content-Type": "application/zip"}
        data = await asyncio.to_thread(package.read_bytes)
        async with session(timeout=BUILD_WITHIN) as http:
            url = f"{self._scm(host)}/api/publish?RemoteBuild=true"
            async with http.post(url, data=data, headers=headers) as answer:
                text = (await answer.text()).strip().strip('"')
                if answer.status not in {200, 202}:
                    raise _problem(f"the package was not taken ({answer.status}): {text[:500]}", "deploy again")
            async with asyncio.timeout(BUILD_WITHIN):
                while True:
                    where = f"{self._scm(host)}/api/deployments/{text or 'latest'}"
                    async with http.get(where, headers=headers) as answer:
                        found = await answer.json(content_type=None) if answer.status == 200 else {}
                    if found.get("status") in BUILT:
                        return
                    if found.get("status") in BROKEN:
                        said = str(found.get("status_text") or found.get("message") or "no reason was given")
                        raise _problem(f"the package was not built: {said[:1000]}", f"its log is at {where}/log")
                    await asyncio.sleep(POLL)

    async def keys(self, group: str, app: str) -> tuple[str, str]:
        """The master key and a function key of the app. Raises `Problem`."""
        path = f"/subscriptions/{self._subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{app}"
        url = f"{self._arm}{path}/host/default/listkeys?api-version={WEB}"
        headers = {"Authorization": f"Bearer {await self._token()}"}
        async with session(timeout=30.0) as http, http.post(url, headers=headers) as answer:
            found = await answer.json(content_type=None)
            if answer.status != 200:
                raise _failed(found.get("error") or {"code": str(answer.status)})
        return str(found.get("masterKey") or ""), str((found.get("functionKeys") or {}).get("default") or "")

    async def ask(self, method: str, host: str, path: str, key: str = "") -> tuple[int, Any]:
        """What the app answers: status, and JSON or text. (0, words) when nobody does."""
        import aiohttp

        headers = {"x-functions-key": key} if key else {}
        try:
            async with (
                session(timeout=60.0) as http,
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
                self._credential, self._subscription, self._arm, credential_scopes=[SCOPE]
            ) as client:
                return ask(client)

        try:
            return await asyncio.to_thread(work)
        except AzureError as error:
            raise _of_sdk(error) from error

    async def _token(self) -> str:
        from azure.core.exceptions import AzureError

        try:
            return str((await asyncio.to_thread(self._credential.get_token, SCOPE)).token)
        except AzureError as error:
            raise _problem(f"no Entra token for {SCOPE}: {str(error).splitlines()[0]}", "run `az login`") from error


def _body(template: Template) -> dict[str, Any]:
    return {"properties": {"mode": "Incremental", "template": template.template, "parameters": template.parameters}}


def _of_sdk(error: Any) -> Problem:
    if found := getattr(error, "error", None):  # ARM's own body
        return _failed({"code": found.code, "message": found.message, "details": found.details or []})
    words = str(getattr(error, "message", "") or error).splitlines()
    return _problem(f"Azure refuses: {words[0] if words else type(error).__name__}", "run `az login`, and try again")


def _failed(error: Any) -> Problem:
    """The innermost errors: what ARM wraps around them says nothing."""
    leaves = list(_leaves(error))
    return Problem(
        Failure(
            FailureClass.INTERNAL,
            f"{code}{f' ({target})' if target else ''}: {message}",
            next_step=STEPS.get(code, "correct it, and deploy again: what is there already stays"),
        )
        for code, message, target in dict.fromkeys(leaves)
    )


def _leaves(error: Any) -> list[tuple[str, str, str]]:
    def field(name: str) -> Any:
        return error.get(name) if isinstance(error, dict) else getattr(error, name, None)

    details = field("details") or []
    if details:
        return [leaf for detail in details for leaf in _leaves(detail)]
    text = str(field("message") or "")
    try:  # ARM puts errors of providers into the text of others
        inner = json.loads(text)
    except ValueError:
        inner = None
    if isinstance(inner, dict) and isinstance(inner.get("error"), dict):
        return _leaves(inner["error"])
    return [(str(field("code") or "Unknown"), text or "no reason was given", str(field("target") or ""))]


def _problem(message: str, step: str) -> Problem:
    return Problem(Failure(FailureClass.INTERNAL, message, next_step=step))

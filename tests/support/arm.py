"""ARM, the deployments of an app, and the app itself on 127.0.0.1: what `fluxless deploy` talks to in tests.

In a thread of its own, since commands run an event loop of theirs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "header.e30.signature"
MASTER, KEY = "the-master-key", "the-function-key"
SETTING = "the-old-value"
"""Of an app setting, in what would change."""
OUTPUTS = {
    "appName": "fluxless-abc",
    "hostName": "fluxless-abc.azurewebsites.net",
    "identityPrincipalId": "the-principal",
}
Answer = tuple[int, Any, dict[str, str]]


class Arm:
    """`requests` are (method, path, body). What it answers can be changed field by field."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.changes: list[dict[str, Any]] = [
            {"resourceId": _id("Microsoft.Storage/storageAccounts/one"), "changeType": "Create"},
            {"resourceId": _id("Microsoft.Web/sites/old"), "changeType": "Delete"},
            {
                "resourceId": _id("Microsoft.Web/sites/fluxless-abc"),
                "changeType": "Modify",
                "delta": [
                    {
                        "path": "properties.httpsOnly",
                        "propertyChangeType": "Modify",
                        "before": False,
                        "after": True,
                    },
                    {
                        "path": "properties.siteConfig.appSettings",
                        "propertyChangeType": "Array",
                        "children": [
                            {
                                "path": "0",
                                "propertyChangeType": "Modify",
                                "children": [
                                    {
                                        "path": "value",
                                        "propertyChangeType": "Modify",
                                        "before": SETTING,
                                        "after": "new",
                                    }
                                ],
                            },
                            {
                                "path": "1",
                                "propertyChangeType": "Create",
                                "after": {"name": "FLUXLESS_GITHUB_WEBHOOK_SECRET", "value": SETTING},
                            },
                        ],
                    },
                    {
                        "path": "properties.siteConfig",
                        "propertyChangeType": "Modify",
                        "before": {"appSettings": [{"name": "A", "value": SETTING}]},
                        "after": [{"name": "A", "value": SETTING}],
                    },
                    {"path": "tags.[/owner]", "propertyChangeType": "Delete", "before": "somebody"},
                    {"path": "kind", "propertyChangeType": "NoEffect", "before": "a", "after": "b"},
                ],
            },
            {
                "resourceId": "[guid(reference('identity').principalId)]",
                "changeType": "Unsupported",
                "unsupportedReason": "a name known later",
            },
            {"resourceId": _id("Microsoft.KeyVault/vaults/one"), "changeType": "NoChange"},
        ]
        self.outputs: dict[str, Any] = dict(OUTPUTS)
        self.failure: dict[str, Any] | None = None
        """What the deployment ends with."""
        self.refusal: tuple[int, dict[str, Any]] | None = None
        """What a deployment is answered with at once, in place of being taken."""
        self.builds: list[dict[str, Any]] = [{"status": 4}]
        """The end of each upload's build; the last stays."""
        self.publishing: list[int] = []
        """Answers to the first uploads, in place of taking them."""
        self.log: list[dict[str, Any]] = []
        self.starting = 0
        """How often ARM cannot ask the app for its keys at first."""
        self.host: dict[str, Any] = {"state": "Running"}
        self.webhook = 401
        self.check: dict[str, Any] = {
            "heartbeat": 3.0,
            "clusters": [{"name": "dev", "ok": True, "message": "Kubernetes v1.36.0", "missing": ""}],
            "registries": [{"name": "example.azurecr.io", "ok": True, "message": "gives a token", "missing": ""}],
            "objects": [],
        }
        self.missing_until = 0
        """How often the app says at first that it may not reach its cluster."""
        self._polls = self._uploads = self._looks = 0

    def start(self) -> str:
        arm = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                arm.requests.append((self.command, self.path, body))
                status, answer, headers = arm.answer(self.command, self.path, self.headers.get)
                data = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = _handle  # noqa: N815 -- the library's names

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self.url

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, part: str) -> list[str]:
        """Requests whose path has this in it."""
        return [f"{method} {path}" for method, path, _ in self.requests if part in path]

    def answer(self, method: str, path: str, header: Callable[[str], str | None]) -> Answer:
        parts = urlsplit(path)
        where = parts.path
        if where == "/identity":
            resource = parse_qs(parts.query)["resource"][0]
            return 200, {"access_token": TOKEN, "expires_on": "4102444800", "resource": resource}, {}
        if where.startswith(("/subscriptions/", "/api/publish", "/api/deployments/")) and (
            header("Authorization") != f"Bearer {TOKEN}"
        ):
            return 401, {"error": {"code": "InvalidAuthenticationToken", "message": "no token"}}, {}
        for part, found in (
            ("/whatIf", self._what_if),
            ("/operationStatuses/", self._operation),
            ("/operationResults/", lambda: (200, self._changes(), {})),
            ("/listkeys", self._keys),
            ("/api/publish", self._publish),
            ("/log/", lambda: (200, [{"message": "ERROR: no matching distribution for pygit2"}], {})),
            ("/log", lambda: (200, self.log, {})),
            ("/api/deployments/", self._build),
            ("/api/hooks/github", lambda: (self.webhook, {}, {})),
        ):
            if part in where:
                return found()
        if "/deployments/" in where:
            return self._deployment(method, where)
        key = header("x-functions-key")
        if where == "/admin/host/ping":
            return 200, {}, {}
        if where == "/admin/host/status":
            return (200, self.host, {}) if key == MASTER else (401, {}, {})
        if where == "/api/check":
            return (200, self._check(), {}) if key == KEY else (401, {}, {})
        return 404, {"error": {"code": "NotFound", "message": where}}, {}

    def _what_if(self) -> Answer:
        if self.refusal is not None:
            return self.refusal[0], {"error": self.refusal[1]}, {}
        return 202, {}, {"Location": f"{self.url}/subscriptions/s/operationResults/1?api-version=1", "Retry-After": "0"}

    def _changes(self) -> dict[str, Any]:
        return {"status": "Succeeded", "properties": {"changes": self.changes}}

    def _keys(self) -> Answer:
        if self.starting:
            self.starting -= 1
            words = "Encountered an error (ServiceUnavailable) from host runtime."
            return 400, {"Code": "BadRequest", "Message": words, "Details": [{"Message": words}]}, {}
        return 200, {"masterKey": MASTER, "functionKeys": {"default": KEY}}, {}

    def _publish(self) -> Answer:
        if self.publishing:
            return self.publishing.pop(0), "not now", {}
        self._uploads += 1
        return 202, f"build-{self._uploads}", {}

    def _build(self) -> Answer:
        self._looks += 1
        if self._looks % 3 == 1:  # the site starts anew
            return 503, {}, {}
        if self._looks % 3 == 2:
            return 200, {"status": 1}, {}
        return 200, self.builds.pop(0) if len(self.builds) > 1 else self.builds[0], {}

    def _deployment(self, method: str, where: str) -> Answer:
        properties: dict[str, Any] = {"provisioningState": "Accepted"}
        if method == "PUT":
            status = f"{self.url}{where.rpartition('/deployments/')[0]}/deployments/x/operationStatuses/1?api-version=1"
            return (
                201,
                {"id": where, "name": "x", "properties": properties},
                {"Azure-AsyncOperation": status, "Retry-After": "0"},
            )
        outputs = {name: {"type": "String", "value": value} for name, value in self.outputs.items()}
        return 200, {"id": where, "name": "x", "properties": {"provisioningState": "Succeeded", "outputs": outputs}}, {}

    def _operation(self) -> Answer:
        self._polls += 1
        if self._polls < 2:
            return 200, {"status": "Running"}, {"Retry-After": "0"}
        if self.failure is not None:
            return 200, {"status": "Failed", "error": self.failure}, {}
        return 200, {"status": "Succeeded"}, {}

    def _check(self) -> dict[str, Any]:
        if self.missing_until:
            self.missing_until -= 1
            refused = {"name": "dev", "ok": False, "message": "refused", "missing": "Role on the cluster"}
            return {**self.check, "clusters": [refused]}
        return self.check


def _id(rest: str) -> str:
    return f"/subscriptions/s/resourceGroups/fluxless/providers/{rest}"

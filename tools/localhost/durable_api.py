"""The Durable extension's HTTP API: for the app's client binding (`/durabletask/`, this machine only) and for people
(`/runtime/webhooks/durabletask/`, with the system key).
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tools.localhost.keys import Keys
from tools.localhost.orchestrations import InvalidInstance, Orchestrations
from tools.localhost.store import Instance, Store

PUBLIC = "/runtime/webhooks/durabletask"
LOCAL = "/durabletask"


class DurableApi:
    """Adds its routes to a web application and makes the value of client bindings."""

    def __init__(self, work: Orchestrations, store: Store, keys: Keys, hub: str) -> None:
        self._work = work
        self._store = store
        self._keys = keys
        self._hub = hub
        self.base = ""

    async def start(self) -> None:
        """Nothing to wait for: this engine is in this process."""

    def listens_at(self, base: str) -> None:
        """The host is up at this URL: take up what an earlier start has left."""
        self.base = base
        self._work.recover()

    async def stop(self, grace: float) -> None:
        """Let work under way finish for `grace` seconds."""
        await self._work.stop(grace)

    def client(self) -> str:
        """What a durable client binding holds."""
        query = f"taskHub={self._hub}&connection=Storage&code={self._keys.durable}"
        instance = f"{self.base}{PUBLIC}/instances/INSTANCEID"
        urls = {
            "id": "INSTANCEID",
            "statusQueryGetUri": f"{instance}?{query}",
            "purgeHistoryDeleteUri": f"{instance}?{query}",
            "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{query}",
        }
        for verb in ("terminate", "rewind", "restart", "suspend", "resume"):
            urls[f"{verb}PostUri"] = f"{instance}/{verb}?reason={{text}}&{query}"
        return json.dumps(
            {
                "taskHubName": self._hub,
                "creationUrls": {},
                "managementUrls": urls,
                "baseUrl": f"{self.base}{PUBLIC}",
                "requiredQueryStringParameters": f"code={self._keys.durable}",
                "rpcBaseUrl": f"{self.base}{LOCAL}/",
            }
        )

    def add_to(self, app: web.Application) -> None:
        """The routes under both bases."""
        for base in (LOCAL, PUBLIC):
            route = app.router.add_route
            route("POST", f"{base}/orchestrators/{{name}}", self._guarded(self._start))
            route("POST", f"{base}/orchestrators/{{name}}/{{id}}", self._guarded(self._start))
            route("GET", f"{base}/instances/", self._guarded(self._query))
            route("GET", f"{base}/instances", self._guarded(self._query))
            route("GET", f"{base}/instances/{{id}}", self._guarded(self._status))
            route("DELETE", f"{base}/instances/{{id}}", self._guarded(self._purge))
            route("POST", f"{base}/instances/{{id}}/raiseEvent/{{event}}", self._guarded(self._raise))
            route("POST", f"{base}/instances/{{id}}/{{verb}}", self._guarded(self._manage))
            route("GET", f"{base}/entities/{{name}}/{{key}}", self._guarded(self._entity))

    def _guarded(self, handler: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            key = request.query.get("code") or request.headers.get("x-functions-key") or ""
            if request.path.startswith(PUBLIC) and not self._keys.allows("durable", key):
                return web.Response(status=401)
            answer: web.StreamResponse = await handler(request)
            return answer

        return handle

    async def _start(self, request: web.Request) -> web.Response:
        body = await request.text()
        try:
            id_ = self._work.start(request.match_info["name"], request.match_info.get("id"), body or None)
        except KeyError as error:
            return _refuse(400, f"The function {error} doesn't exist, is disabled, or is not an orchestrator function.")
        except InvalidInstance as error:
            return _refuse(400, str(error))
        except RuntimeError as error:
            return _refuse(409, str(error))
        return web.json_response({"id": id_}, status=202)

    async def _query(self, request: web.Request) -> web.Response:
        statuses = frozenset(filter(None, request.query.get("runtimeStatus", "").split(",")))
        found = self._store.instances(request.query.get("instanceIdPrefix", ""), statuses)
        since, until = request.query.get("createdTimeFrom", ""), request.query.get("createdTimeTo", "~")
        found = [row for row in found if since <= row.created <= until]
        first = int(request.headers.get("x-ms-continuation-token") or 0)
        top = int(request.query.get("top") or 100)
        page = found[first : first + top]
        headers = {"x-ms-continuation-token": str(first + top)} if first + top < len(found) else {}
        return web.json_response([_describe(row) for row in page], headers=headers)

    async def _status(self, request: web.Request) -> web.Response:
        row = self._store.instance(request.match_info["id"])
        if row is None:
            return web.Response(status=404)
        described = _describe(row)
        if request.query.get("showHistory", "").lower() == "true":
            described["historyEvents"] = self._store.history(row.id)
        return web.json_response(described, status=200 if row.final else 202)

    async def _purge(self, request: web.Request) -> web.Response:
        row = self._store.instance(request.match_info["id"])
        if row is None:
            return web.Response(status=404)
        with self._store.transaction():
            self._store.forget(row.id)
        return web.json_response({"instancesDeleted": 1})

    async def _raise(self, request: web.Request) -> web.Response:
        row = self._store.instance(request.match_info["id"])
        if row is None or row.final:
            return web.Response(status=410 if row else 404)
        self._work.raise_event(row.id, request.match_info["event"], await request.text())
        return web.Response(status=202)

    async def _manage(self, request: web.Request) -> web.Response:
        row, verb = self._store.instance(request.match_info["id"]), request.match_info["verb"]
        if row is None:
            return web.Response(status=404)
        if verb == "restart":
            fresh = request.query.get("restartWithNewInstanceId", "true").lower() != "false"
            id_ = self._work.start(row.name, None if fresh else row.id, row.input)
            return web.json_response({"id": id_}, status=202)
        if row.final:
            return web.Response(status=410)
        if verb == "terminate":
            self._work.terminate(row.id, request.query.get("reason", ""))
        elif verb in {"suspend", "resume"}:
            self._work.suspend(row.id, verb == "suspend")
        else:
            return _refuse(501, f"this host does not know {verb}")
        return web.Response(status=202)

    async def _entity(self, request: web.Request) -> web.Response:
        state = self._store.entity(f"@{request.match_info['name'].lower()}@{request.match_info['key'].lower()}")
        return web.Response(status=404) if state is None else web.json_response(json.loads(state))


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"Message": message, "ExceptionMessage": message}, status=status)


def _describe(row: Instance) -> dict[str, Any]:
    def parsed(text: str | None) -> Any:
        return json.loads(text) if text else None

    return {
        "name": row.name,
        "instanceId": row.id,
        "runtimeStatus": row.status,
        "input": parsed(row.input),
        "customStatus": parsed(row.custom),
        "output": parsed(row.output),
        "createdTime": f"{row.created[:19]}Z",
        "lastUpdatedTime": f"{row.updated[:19]}Z",
    }

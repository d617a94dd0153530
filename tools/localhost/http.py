"""HTTP triggers: routes, auth levels, and the translation between aiohttp and the SDK's requests and responses."""

from __future__ import annotations

import logging
import re
from typing import Any

from aiohttp import web

from tools.localhost.app import App
from tools.localhost.keys import Keys

log = logging.getLogger("localhost")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_PARAMETER = re.compile(r"\{(\*?)(\w+)(?::([^}?]*))?(\?)?\}")
_PATTERNS = {"int": r"-?\d+", "long": r"-?\d+", "alpha": r"[A-Za-z]+", "guid": r"[0-9A-Fa-f-]{32,38}"}


def add_routes(web_app: web.Application, app: App, keys: Keys, prefix: str, limit: int) -> list[str]:
    """`limit` is what a body may have, in bytes.

    One route per function (two where the last parameter is optional); what was added, for the log."""
    added: list[str] = []
    for name, function in app.of_type("httpTrigger").items():
        trigger = function.get_trigger()
        methods = [str(getattr(m, "value", m)).upper() for m in trigger.methods or METHODS]
        level = str(getattr(trigger.auth_level, "value", trigger.auth_level) or "function").lower()
        handler = _handler(app, function, keys, level, limit)
        for path in _paths((f"{prefix}/" if prefix else "") + (trigger.route or name).strip("/")):
            for method in methods:
                web_app.router.add_route(method, path, handler)
            added.append(f"{name}: {','.join(methods)} {path} ({level})")
    return added


def _paths(route: str) -> list[str]:
    """The route as aiohttp writes it; without its last part as well when that is optional."""
    shown = "/" + _PARAMETER.sub(_parameter, route)
    if route.endswith("?}"):
        return [shown, shown.rpartition("/")[0] or "/"]
    return [shown]


def _parameter(match: re.Match[str]) -> str:
    star, name, kind, _ = match.groups()
    pattern = ".*" if star else _PATTERNS.get(kind or "", "")
    return f"{{{name}:{pattern}}}" if pattern else f"{{{name}}}"


def _handler(app: App, function: Any, keys: Keys, level: str, limit: int) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        import azure.functions as func

        key = request.query.get("code") or request.headers.get("x-functions-key") or ""
        if not keys.allows(level, key):
            return web.Response(status=401)
        if (request.content_length or 0) > limit:  # before it is in memory; what comes in chunks, aiohttp refuses
            return web.Response(status=413)
        asked = func.HttpRequest(
            method=request.method,
            url=str(request.url),
            headers=dict(request.headers),
            params=dict(request.query),
            route_params=dict(request.match_info),
            body=await request.read(),
        )
        try:
            answer = await app.call(function, asked)
        except Exception:
            log.exception("function %s failed", function.get_function_name())
            return web.Response(status=500)
        if isinstance(answer, str):
            return web.Response(text=answer)
        if answer is None:
            return web.Response(status=204)
        headers = dict(answer.headers)
        headers.setdefault("Content-Type", f"{answer.mimetype}; charset={answer.charset}")
        return web.Response(status=answer.status_code, body=answer.get_body(), headers=headers)

    return handle

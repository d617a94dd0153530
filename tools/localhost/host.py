"""Puts the parts together: one web server, the engine of Durable, timers and queues, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from aiohttp import web

from tools.localhost import http, queues, timers
from tools.localhost.app import App
from tools.localhost.durable_api import DurableApi
from tools.localhost.extension import Extension
from tools.localhost.keys import Keys
from tools.localhost.orchestrations import Orchestrations
from tools.localhost.settings import HostSettings
from tools.localhost.store import Store

log = logging.getLogger("localhost")
GRACE = 10.0
"""Seconds that work under way may take to finish when the host is asked to stop."""


class Host:
    """The app of `folder` on one port, with its state in another folder. `program` is Microsoft's Durable extension,
    where that is the engine instead of ours.
    """

    def __init__(
        self,
        app: App,
        settings: HostSettings,
        folder: Path,
        state: Path,
        *,
        program: Path | None = None,
        check_replays: bool = True,
    ) -> None:
        self._app = app
        self._settings = settings
        self._store = Store(state / "hub.db")
        self._keys = Keys(state / "keys.json")
        self._durable: DurableApi | Extension
        if program is not None:
            self._durable = Extension(app, program, folder, state, self._keys, settings.max_orchestrators)
        else:
            work = Orchestrations(app, self._store, settings, check_replays=check_replays)
            self._durable = DurableApi(work, self._store, self._keys, settings.hub)
        self._loops: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> str:
        """Listen, then take up what an earlier start has left; the base URL."""
        server = web.Application(client_max_size=self._settings.body_limit)
        server.router.add_get("/admin/host/status", self._status)
        server.router.add_get("/admin/invocations", self._invocations)
        self._durable.add_to(server)
        for line in http.add_routes(
            server, self._app, self._keys, self._settings.route_prefix, self._settings.body_limit
        ):
            log.info("%s", line)
        if not any(str(resource.canonical) == "/" for resource in server.router.resources()):
            server.router.add_get("/", self._hello)
        self._app.client = self._durable.client
        await self._durable.start()
        self._runner = web.AppRunner(server, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._durable.listens_at(base)
        for function in self._app.of_type("timerTrigger").values():
            self._loops.append(asyncio.create_task(timers.run(self._app, function, self._store)))
        for function in self._app.of_type("queueTrigger").values():
            self._loops.append(asyncio.create_task(queues.run(self._app, function, self._settings)))
        for loop in self._loops:
            loop.add_done_callback(_tell)
        return base

    async def stop(self) -> None:
        """Take nothing new, let work under way finish, keep the rest for the next start."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._durable.stop(GRACE)  # before nobody listens any more: Microsoft's asks us until it has ended
        if self._runner is not None:
            await self._runner.cleanup()
        self._store.close()

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"state": "Running", "functions": sorted(self._app.functions)})

    async def _invocations(self, request: web.Request) -> web.Response:
        """`[began, seconds]` of the last invocations by function, for measurements."""
        return web.json_response({name: list(times) for name, times in self._app.times.items()})

    async def _hello(self, request: web.Request) -> web.Response:
        return web.Response(text="The function app is running.\n")


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a trigger has ended: %s", error, exc_info=error)

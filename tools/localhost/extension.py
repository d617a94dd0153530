"""Microsoft's Durable extension as the engine, instead of ours: a program beside this host, which keeps everything in
Azure Storage (or Azurite) and asks this host to run each orchestrator and activity.

The program is a child: it ends with its parent, however that ends. Its log, `durable-host.log`, tells each event.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
from aiohttp import web

from tools.localhost.app import App
from tools.localhost.durable_api import PUBLIC
from tools.localhost.keys import Keys
from tools.places import free_port

log = logging.getLogger("localhost")
READY_WITHIN = 60.0
"""Seconds that it may take to start."""
HISTORY = 256 * 1024 * 1024
"""Bytes that one may have."""
STARTS = 3
"""Now and then it ends at its start, when it is asked for its door before it knows its functions."""
TAIL = 2000
"""Characters of its log that are shown when it does not start."""
STORAGE = "AzureWebJobsStorage"


class Extension:
    """The engine that `program` is; `folder` is that of the app, `state` where its log goes."""

    def __init__(self, app: App, program: Path, folder: Path, state: Path, keys: Keys, threads: int) -> None:
        self._app = app
        self._program = program
        self._folder = folder
        self._log = state / "durable-host.log"
        self._keys = keys
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="orchestrator")
        self._client = ""
        self._rpc = ""
        self._ready = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._worker: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None

    def client(self) -> str:
        """What a durable client binding holds."""
        return self._client

    def add_to(self, server: web.Application) -> None:
        """The HTTP API for people, with the key."""
        server.router.add_route("*", f"{PUBLIC}/{{tail:.*}}", self._pass_on)

    async def start(self) -> None:
        """Start the program, and wait until it answers. Raises RuntimeError."""
        if not os.environ.get(STORAGE):
            raise RuntimeError(f"the Durable extension keeps histories in storage: set the app setting {STORAGE}")
        worker = web.Application(client_max_size=HISTORY)
        worker.router.add_post("/orchestrator/{name}", self._orchestrator)
        worker.router.add_post("/activity/{name}", self._activity)
        self._worker = web.AppRunner(worker, access_log=None)
        await self._worker.setup()
        await web.TCPSite(self._worker, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{self._worker.addresses[0][1]}"
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        for _ in range(STARTS):
            if found := await self._begin(base):
                self._client, self._rpc = found, json.loads(found)["rpcBaseUrl"].rstrip("/")
                return
        await self.stop(0.0)
        raise RuntimeError(f"{self._program} does not start: {self._log.read_text(errors='replace')[-TAIL:]}")

    async def _begin(self, base: str) -> str:
        """Start the program once; the value of client bindings, or "" where it has ended or does not answer."""
        door = f"http://127.0.0.1:{free_port()}/"
        command = [
            *(shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL", str(self._program)),
            *("--host-json", str(self._folder / "host.json"), "--worker", base, "--door", door),
            *("--orchestrators", ",".join(self._app.of_type("orchestrationTrigger"))),
            *("--activities", ",".join(self._app.of_type("activityTrigger"))),
        ]
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=asyncio.subprocess.STDOUT
            )
        assert self._http is not None
        deadline = asyncio.get_running_loop().time() + READY_WITHIN
        while self._process.returncode is None and asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(aiohttp.ClientError):
                async with self._http.get(door) as answer:
                    return await answer.text()
            await asyncio.sleep(0.1)
        if self._process.returncode is None:
            self._process.kill()
        return ""

    def listens_at(self, base: str) -> None:
        """The host is up: what the program has asked for may run."""
        self._ready.set()

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds. What is left is in storage."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), grace)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._worker is not None:
            await self._worker.cleanup()
        if self._http is not None:
            await self._http.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _orchestrator(self, request: web.Request) -> web.Response:
        import azure.functions as func

        function = self._app.find(request.match_info["name"])
        body = await self._body(request)
        try:
            context = func.OrchestrationContext(body)
            answer = await self._app.call(function, context, self._threads)
        except Exception as error:  # its text holds what the SDK has to say to the extension
            return web.Response(status=500, text=str(error))
        return web.Response(text=answer, content_type="application/json")

    async def _activity(self, request: web.Request) -> web.Response:
        from azure.functions import durable_functions, meta

        function = self._app.find(request.match_info["name"])
        converter = durable_functions.ActivityTriggerConverter
        body = await self._body(request)
        try:
            argument = converter.decode(meta.Datum(body, "json"), trigger_metadata=None)
            result = converter.encode(await self._app.call(function, argument), expected_type=None).value
        except Exception as error:
            log.exception("activity %s failed", request.match_info["name"])
            return web.Response(status=500, text=f"{type(error).__name__}: {error}")
        return web.Response(text=result, content_type="application/json")

    async def _body(self, request: web.Request) -> str:
        """What the program sends, once the host is up and has a client to give to functions."""
        await self._ready.wait()
        return await request.text()

    async def _pass_on(self, request: web.Request) -> web.Response:
        key = request.query.get("code") or request.headers.get("x-functions-key") or ""
        if not self._keys.allows("durable", key):
            return web.Response(status=401)
        assert self._http is not None
        query = {name: value for name, value in request.query.items() if name != "code"}
        url = f"{self._rpc}/{request.match_info['tail']}"
        headers = {"Content-Type": "application/json"}
        async with self._http.request(
            request.method, url, params=query, data=await request.read(), headers=headers
        ) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

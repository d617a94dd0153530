"""Bare repositories over smart HTTP: `git http-backend` behind aiohttp, with the authentication that tests need.

`python -m tools.gitserver ROOT PORT` serves every repository below ROOT on 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

BODY_LIMIT = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Access:
    """What a client must show; nothing when all are empty."""

    username: str = ""
    password: str = ""
    bearer: str = ""

    def allows(self, header: str) -> bool:
        """Whether an Authorization header is the right one."""
        if self.bearer:
            return header == f"Bearer {self.bearer}"
        if self.username:
            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            return header == f"Basic {pair}"
        return True


class GitServer:
    """One server; `requests` counts what was asked of it."""

    def __init__(self, root: Path, *, access: Access | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.root = root
        self.access = access or Access()
        self.requests = 0
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self, port: int = 0) -> str:
        """Listen on 127.0.0.1; returns the URL below which the repositories are."""
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self._tls).start()
        scheme = "https" if self._tls is not None else "http"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests += 1
        if not self.access.allows(request.headers.get("Authorization", "")):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "GIT_PROJECT_ROOT": str(self.root.resolve()),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "3",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowReachableSHA1InWant",
            "GIT_CONFIG_VALUE_1": "true",
            "GIT_CONFIG_KEY_2": "http.receivepack",
            "GIT_CONFIG_VALUE_2": "true",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
        )
        answer, _ = await process.communicate(await request.read())
        head, _, body = answer.partition(b"\r\n\r\n")
        headers: dict[str, str] = {}
        status = 200
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            elif name:
                headers[name] = value
        return web.Response(status=status, headers=headers, body=body)


async def _main(root: Path, port: int) -> None:
    server = GitServer(root)
    await server.start(port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))

"""Registries for tests: repositories on a real one, a server of tokens, and a front that behaves as ACR does."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fluxless.oci import media
from fluxless.oci.auth import ANONYMOUS, Credentials
from fluxless.oci.client import Registry
from fluxless.oci.push import push
from fluxless.oci.reference import Repository
from tests.support.tls import Authority
from tools.registry.launcher import PASSWORD, USER, TokenServer

CREATED = "2026-01-01T00:00:00Z"
NOTES = {media.SOURCE: "https://example.org/app.git", media.REVISION: "main@sha1:0123"}


def tarball(files: Mapping[str, str], *, links: Mapping[str, str] | None = None, owner: int = 0) -> bytes:
    """A gzipped tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid = len(text.encode()), owner
            tar.addfile(entry, io.BytesIO(text.encode()))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return gzip.compress(buffer.getvalue(), mtime=0)


class Images:
    """One repository on a registry, to push to."""

    def __init__(self, host: str, path: str, who: Credentials = ANONYMOUS, **options: Any) -> None:
        self.url = f"oci://{host}/{path}"
        self.repository = Repository(host, path)
        self._who = who
        self._options = options

    def open(self) -> Registry:
        """A client that may push."""
        return Registry(self.repository, self._who, push=True, **self._options)

    async def push(
        self,
        folder: Path,
        files: Mapping[str, str] | bytes,
        *tags: str,
        notes: Mapping[str, str] = NOTES,
        layer_type: str = media.FLUX_CONTENT,
    ) -> str:
        """Push files under tags; the digest of the manifest."""
        archive = folder / "pushed.tgz"
        archive.write_bytes(files if isinstance(files, bytes) else tarball(files))
        digest = ""
        async with self.open() as registry:
            for tag in tags or ("latest",):
                digest = await push(registry, archive, tag, notes, created=CREATED, layer_type=layer_type)
        return digest

    async def layers(
        self,
        tag: str,
        layers: Iterable[tuple[str, bytes, Mapping[str, str]]],
        config: tuple[str, bytes] = ("application/vnd.oci.image.config.v1+json", b"{}"),
    ) -> str:
        """Push a manifest of any layers, as (media type, bytes, annotations), and its config."""
        async with self.open() as registry:
            entries = []
            for kind, data, notes in layers:
                digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
                await registry.push_blob(data, digest, len(data))
                entries.append({"mediaType": kind, "digest": digest, "size": len(data), "annotations": dict(notes)})
            kind, data = config
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            await registry.push_blob(data, digest, len(data))
            about = {"mediaType": kind, "digest": digest, "size": len(data)}
            manifest = {"schemaVersion": 2, "mediaType": media.MANIFEST, "config": about, "layers": entries}
            return await registry.push_manifest(json.dumps(manifest).encode(), media.MANIFEST, tag)


def docker_config(host: str, username: str = USER, password: str = PASSWORD, *, encoded: bool = True) -> str:
    """The content of `.dockerconfigjson`."""
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    entry = {"auth": pair} if encoded else {"username": username, "password": password}
    return json.dumps({"auths": {host: entry}})


class TokenGiver:
    """Gives tokens to a registry's users, and to whoever brings a token of Entra, as ACR does."""

    SERVICE = "registry.test"

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        certificate, self._key = authority.issue("tokens")
        chain = x509.load_pem_x509_certificate(certificate)
        self._x5c = [base64.b64encode(chain.public_bytes(Encoding.DER)).decode()]
        self._bundle = folder / "tokens.pem"
        self._bundle.write_bytes(authority.certificate)
        self.asked: list[str] = []
        self.entra: list[str] = []
        self.allowed = True

    async def start(self) -> TokenServer:
        app = web.Application()
        self.routes(app)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        realm = f"http://127.0.0.1:{self._runner.addresses[0][1]}/token"
        return TokenServer(realm, self.SERVICE, "fluxless-tests", self._bundle)

    async def stop(self) -> None:
        await self._runner.cleanup()

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/token", self._basic)
        app.router.add_post("/token", self._refresh)
        app.router.add_post("/oauth2/exchange", self._exchange)
        app.router.add_post("/oauth2/token", self._refresh)

    async def _basic(self, request: web.Request) -> web.Response:
        header = request.headers.get("Authorization", "")
        expected = Credentials(USER, PASSWORD).basic
        if header and header != expected:
            return web.json_response({"details": "incorrect username or password"}, status=401)
        self.asked.append(f"{'user' if header else 'nobody'} {request.query['scope']}")
        return self._token(request.query["scope"] if header else "")

    async def _refresh(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("refresh_token") != "refresh":
            return web.json_response({}, status=401)
        self.asked.append(f"refresh {form['scope']!s}")
        return self._token(str(form["scope"]))

    async def _exchange(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.entra.append(str(form["access_token"]))
        if not self.allowed:
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)
        return web.json_response({"refresh_token": "refresh"})

    def _token(self, scope: str) -> web.Response:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        access = [{"type": kind, "name": name, "actions": actions.split(",")}] if scope else []
        now = int(time.time())
        claims = {"iss": "fluxless-tests", "aud": self.SERVICE, "sub": USER, "access": access}
        times = {"exp": now + 300, "nbf": now - 10, "iat": now, "jti": str(now)}
        token = jwt.encode(claims | times, self._key, algorithm="ES256", headers={"x5c": self._x5c})
        return web.json_response({"access_token": token})


class Acr:
    """A front for a registry: `/v2` with its challenge, the exchange of tokens, and blobs from another host, which does
    not want to see the registry's token.
    """

    def __init__(self, giver: TokenGiver) -> None:
        self._giver = giver
        self.requests: list[str] = []
        self.leaked: list[str] = []

    async def start(self) -> str:
        """`host:port`."""
        app = web.Application(client_max_size=1 << 30)
        self._giver.routes(app)
        app.router.add_route("*", "/v2/{path:.*}", self._pass_on)
        blobs = web.Application()
        blobs.router.add_get("/v2/{path:.*}", self._blob)
        self._runners = [web.AppRunner(one, access_log=None) for one in (app, blobs)]
        for runner in self._runners:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.host, self.storage = (f"127.0.0.1:{runner.addresses[0][1]}" for runner in self._runners)
        return self.host

    def behind(self, registry: str) -> None:
        self.registry = registry
        self.http = aiohttp.ClientSession(auto_decompress=False)

    async def stop(self) -> None:
        await self.http.close()
        for runner in self._runners:
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if request.method == "GET" and "/blobs/sha256:" in request.path and request.headers.get("Authorization"):
            self._granted = request.headers["Authorization"]
            raise web.HTTPTemporaryRedirect(f"http://{self.storage}{request.path}")
        return await self._ask(request, request.headers.get("Authorization", ""))

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            self.leaked.append(request.path)
        return await self._ask(request, self._granted)

    async def _ask(self, request: web.Request, authorization: str) -> web.StreamResponse:
        names = ("Accept", "Content-Type", "Content-Length")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        if authorization:
            headers["Authorization"] = authorization
        url = f"http://{self.registry}{request.path_qs}"
        body = await request.read() if request.can_read_body else None
        async with self.http.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
            reply = web.Response(status=answer.status, body=await answer.read())
            for name in ("Content-Type", "Docker-Content-Digest", "WWW-Authenticate", "Location"):
                if name in answer.headers:
                    reply.headers[name] = answer.headers[name].replace(self.registry, self.host)
            return reply

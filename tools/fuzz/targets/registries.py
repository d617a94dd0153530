"""Manifests, indexes, lists and signatures of registries: `oci.client`, `oci.cosign`, over HTTP."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from fluxless.api.failure import Problem
from fluxless.oci import cosign, media
from fluxless.oci.client import Registry
from fluxless.oci.reference import Repository
from tools.fuzz import odd
from tools.fuzz.loop import wait

DIGEST = f"sha256:{'a' * 64}"
_LAYER = {"mediaType": cosign.SIMPLE_SIGNING, "digest": DIGEST, "size": 5, "annotations": {cosign.SIGNATURE: "eA=="}}
_MANIFEST = {
    "schemaVersion": 2,
    "mediaType": media.MANIFEST,
    "config": _LAYER,
    "layers": [_LAYER, _LAYER],
    "annotations": {"a": "b"},
}
_ENTRY = {
    "mediaType": media.MANIFEST,
    "digest": DIGEST,
    "size": 5,
    "platform": {"os": "linux", "architecture": "amd64"},
}
_INDEX = {"schemaVersion": 2, "mediaType": media.INDEX, "manifests": [_ENTRY, {**_ENTRY, "artifactType": "x"}]}
_LIST = {"name": "x", "tags": ["1.0.0", "latest"]}


def inputs(random: Random) -> tuple[list[bytes], list[dict[str, str]]]:
    """Answers, which are given in turns: bodies and headers."""
    bodies = []
    for _ in range(random.randint(1, 5)):
        body = odd.as_json(odd.changed(random, random.choice((_MANIFEST, _INDEX, _INDEX, _LIST))))
        bodies.append(odd.bent(random, body) if random.random() < 0.2 else body)
    headers = []
    for _ in range(3):
        one = {"Content-Type": random.choice((media.MANIFEST, media.INDEX, "text/html", "", ";;"))}
        if random.random() < 0.2:
            one["Link"] = random.choice(('</v2/x>; rel="next"', "<<>>", '<http://[::1>; rel="next"', ";;;"))
        if random.random() < 0.2:
            one["Docker-Content-Digest"] = random.choice((DIGEST, "sha256:x", "", "x" * 3000))
        if random.random() < 0.1:
            one["WWW-Authenticate"] = random.choice(
                ("Bearer", 'Bearer realm="', 'Bearer realm="http://[::1"', 'Basic realm="x"', "x" * 500)
            )
        headers.append(one)
    return bodies, headers


def judge(data: tuple[list[bytes], list[dict[str, str]]], folder: Path) -> object:
    """Every verb that reads."""
    return wait(_read(*data, folder))


async def _read(bodies: list[bytes], headers: list[dict[str, str]], folder: Path) -> object:
    turn = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal turn
        turn += 1
        head = headers[turn % len(headers)]
        status = 401 if "WWW-Authenticate" in head else 200
        return web.Response(body=bodies[turn % len(bodies)], headers=head, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        repository = Repository.parse(f"oci://127.0.0.1:{port}/x")
        said: list[Any] = []
        async with Registry(repository, insecure=True, timeout=5) as registry:
            digests = [f"sha256:{hashlib.sha256(body).hexdigest()}" for body in bodies]
            for reference in ("latest", *digests):
                said += [await _one(registry.manifest(reference))]
            verbs = (registry.tags(), registry.digest("latest"), registry.referrers(DIGEST))
            said += [await _one(verb) for verb in verbs]
            said += [await _one(cosign.verify(registry, DIGEST, cosign.Keys([])))]
        return said
    finally:
        await runner.cleanup()


async def _one(verb: Any) -> Any:
    try:
        return await verb
    except (Problem, cosign.Unverified) as problem:
        return str(problem)

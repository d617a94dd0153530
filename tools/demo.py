"""`make demo`: the main job end to end on real parts, with a timeline; it sets everything up and ends by itself."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from fluxless.api.failure import Problem
from fluxless.artifacts.blob import AzureStore
from fluxless.cli.logs import read
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from tools import binaries, environment
from tools.charts import push_chart
from tools.places import STATE
from tools.sample import CHART, IMAGE, Repository, chart_objects, image_objects, objects

FOLDER = STATE / "demo"
LIMIT = 120.0
"""Seconds that one scene may take."""
out = Console(highlight=False, soft_wrap=True)


async def _scenes(env: environment.Environment) -> None:
    cluster = await connect(ClusterConfig("dev", kubeconfig=str(env.kubeconfig)))
    repository = Repository(FOLDER / "work", env.git_root / "sample.git")
    try:
        await _first_commit(env, cluster, repository)
        await _second_commit(env, cluster, repository)
        await _artifact(env, cluster)
        await _chart(env, cluster)
    finally:
        await cluster.close()


async def _first_commit(env: environment.Environment, cluster: Cluster, repository: Repository) -> None:
    out.rule("a first commit, and the objects that a user applies once")
    repository.create()
    began = time.time()
    for obj in objects(f"{env.git_url}/sample.git"):
        await cluster.apply(obj, manager="demo")
    await _wake(env)
    await _until(lambda: _ready(cluster, {"sample", "infrastructure", "apps"}), "everything to be ready")
    out.print(f"everything is ready after {time.time() - began:.1f} s:")
    await _timeline(env, began)


async def _second_commit(env: environment.Environment, cluster: Cluster, repository: Repository) -> None:
    out.rule("a second commit, told by a signed GitHub webhook")
    name = "apps/overlays/dev/kustomization.yaml"
    repository.write(name, repository.read(name).replace("1.1.0", "1.2.0"))
    commit = repository.commit("Release 1.2.0")
    began = time.time()
    status, text, seconds = await push(env, "sample")
    if status != 202:
        raise RuntimeError(f"the webhook was answered with {status}: {text}")
    moments = {"received": began, f"answered 202 ({text.strip()})": began + seconds}
    await _until(lambda: _image_is(cluster, "example/web:1.2.0"), "the new image")
    moments["applied: the Deployment has the new image"] = time.time()
    await _until(lambda: _applied(cluster, {"sample", "infrastructure", "apps"}, commit), "the new revision")
    moments["healthy: every Kustomization is ready at the new revision"] = time.time()
    await _timeline(env, began, moments)
    await _push_refused(env)


async def _push_refused(env: environment.Environment) -> None:
    status, _, _ = await push(env, "sample", secret="wrong")
    if status != 401:
        raise RuntimeError(f"a wrong signature was answered with {status}")
    out.print("a push with a wrong signature is answered with 401")


async def _artifact(env: environment.Environment, cluster: Cluster) -> None:
    out.rule("an artifact in a registry, and a push of a newer one, told by ACR's webhook")
    url = f"oci://{env.registry}/sample/settings"
    digest = await _pushed(url, "1")
    for obj in image_objects(url):
        await cluster.apply(obj, manager="demo")
    began = time.time()
    await _wake(env)
    await _until(lambda: _release_is(cluster, "1"), "the artifact's ConfigMap")
    out.print(f"latest@{digest} is applied after {time.time() - began:.1f} s")
    await _pushed(url, "2")
    began = time.time()
    moments = await _told_by_acr(env, "sample/settings", "latest")
    await _until(lambda: _release_is(cluster, "2"), "the newer artifact")
    moments["applied: the ConfigMap is that of the newer artifact"] = time.time()
    await _timeline(env, began, moments)


async def _chart(env: environment.Environment, cluster: Cluster) -> None:
    out.rule("a chart in the registry, released after the Kustomization that it depends on, and a newer one")
    await push_chart(env.registry, "charts/backend", "1.0.0", CHART, FOLDER / "chart")
    for obj in chart_objects(f"oci://{env.registry}/charts"):
        await cluster.apply(obj, manager="demo")
    began = time.time()
    await _wake(env)
    await _until(lambda: _release_at(cluster, "1.0.0"), "the release")
    out.print(f"backend 1.0.0 is released after {time.time() - began:.1f} s:")
    await _timeline(env, began)
    await push_chart(env.registry, "charts/backend", "1.1.0", CHART, FOLDER / "chart")
    began = time.time()
    moments = await _told_by_acr(env, "charts/backend", "1.1.0")
    await _until(lambda: _release_at(cluster, "1.1.0"), "the newer release")
    moments["upgraded: the release is that of the newer chart, and healthy"] = time.time()
    await _timeline(env, began, moments)


async def _release_at(cluster: Cluster, version: str) -> bool:
    resource = await cluster.resource("helm.toolkit.fluxcd.io/v2", "HelmRelease")
    found = await cluster.get(resource, "backend", "flux-system")
    history = ((found or {}).get("status") or {}).get("history") or [{}]
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in ((found or {}).get("status") or {}).get("conditions", [])
    )
    return ready and history[0].get("chartVersion") == version


async def _pushed(url: str, release: str) -> str:
    """`fluxless push artifact`; the digest."""
    folder = FOLDER / "image"
    folder.mkdir(exist_ok=True)
    for name, text in IMAGE.items():
        (folder / name).write_text(text.replace('release: "1"', f'release: "{release}"'))
    command = [sys.executable, "-m", "fluxless.cli", "push", "artifact", f"{url}:latest", "--path", str(folder)]
    command += ["--source", "https://example.org/sample.git", "--revision", f"main@{release}", "--output", "json"]
    done = await asyncio.to_thread(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
    )
    return str(json.loads(done.stdout)["digest"])


async def _told_by_acr(env: environment.Environment, repository: str, tag: str) -> dict[str, float]:
    """Post what ACR posts; the moments of the push and of the answer."""
    where = {"repository": repository, "tag": tag}
    body = {"action": "push", "target": where, "request": {"host": env.registry}}
    headers = {"Authorization": f"Bearer {environment.SECRET}"}
    began = time.time()
    status, text, seconds = await _post(f"{env.functions_url}/api/hooks/acr", json.dumps(body).encode(), headers)
    if status != 202:
        raise RuntimeError(f"ACR's webhook was answered with {status}: {text}")
    return {"pushed": began, f"answered 202 ({text.strip()})": began + seconds}


async def _release_is(cluster: Cluster, release: str) -> bool:
    found = await cluster.get(await cluster.resource("v1", "ConfigMap"), "from-registry", "shop")
    return found is not None and found["data"]["release"] == release


async def push(env: environment.Environment, name: str, secret: str = environment.SECRET) -> tuple[int, str, float]:
    """Post what GitHub posts; status, text and seconds of the answer."""
    url = f"{env.git_url}/{name}"
    body = json.dumps({"ref": "refs/heads/main", "repository": {"clone_url": f"{url}.git", "html_url": url}}).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }
    return await _post(f"{env.functions_url}/api/hooks/github", body, headers)


async def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str, float]:
    began = time.monotonic()
    async with aiohttp.ClientSession() as http, http.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.text(), time.monotonic() - began


async def _wake(env: environment.Environment) -> None:
    headers = {"x-functions-key": env.functions_key}
    async with aiohttp.ClientSession() as http, http.post(f"{env.functions_url}/api/sync", headers=headers) as answer:
        if answer.status != 202:
            raise RuntimeError(f"the app was not woken: {answer.status} {await answer.text()}")


async def _until(done: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(LIMIT):
            while not await done():  # noqa: ASYNC110 -- the cluster sets no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise RuntimeError(f"waited {LIMIT:.0f} s for {what}; `.venv/bin/fluxless get all -A` may tell why") from None


async def _kustomizations(cluster: Cluster) -> dict[str, dict[str, Any]]:
    resource = await cluster.resource("kustomize.toolkit.fluxcd.io/v1", "Kustomization")
    return {obj["metadata"]["name"]: obj for obj in await cluster.list(resource, "flux-system")}


async def _ready(cluster: Cluster, names: set[str]) -> bool:
    found = await _kustomizations(cluster)
    return names <= {
        name
        for name, obj in found.items()
        for condition in (obj.get("status") or {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }


async def _applied(cluster: Cluster, names: set[str], commit: str) -> bool:
    found = await _kustomizations(cluster)
    at_commit = {n for n, obj in found.items() if commit in (obj.get("status") or {}).get("lastAppliedRevision", "")}
    return names <= at_commit and await _ready(cluster, names)


async def _image_is(cluster: Cluster, image: str) -> bool:
    found = await cluster.get(await cluster.resource("apps/v1", "Deployment"), "web", "shop")
    return found is not None and found["spec"]["template"]["spec"]["containers"][0]["image"] == image


async def _timeline(env: environment.Environment, began: float, moments: dict[str, float] | None = None) -> None:
    """What happened when, in seconds: our own moments and the run records of the app."""
    lines = [(moment, text) for text, moment in (moments or {}).items()]
    store = AzureStore.from_connection_string(env.blob_connection, "fluxless")
    try:
        async for run in read(store, "dev", began - 1):
            start = datetime.fromisoformat(run["ts"]).replace(tzinfo=UTC).timestamp()
            if start + 0.01 < began:
                continue
            who = f"{run['kind']}/{run['name']}"
            lines.append((start, f"{who} planned and started"))
            end = start + run.get("seconds", 0.0)
            lines += [(end, f"{who}: {change['subject']} {change['action']}") for change in run.get("changes", [])]
            lines.append((end, f"{who}: {run['result']}, {run.get('message', '')}"))
    finally:
        await store.close()
    for moment, text in sorted(lines):
        out.print(f"  {max(0.0, moment - began):6.2f} s  {text}")


def _look_around() -> None:
    out.rule("look around")
    out.print("`make up` leaves the same environment running. Then:")
    out.print("  set -a; . .fluxless/env; set +a")
    out.print("  .venv/bin/fluxless get all -A")
    out.print("  .venv/bin/fluxless tree kustomization sample")
    out.print("  .venv/bin/fluxless logs --since 10m")


def _run() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    with out.status("finding or building kustomize and a control plane (minutes on a fresh machine, once)"):
        for binary in binaries.ALL:
            binaries.find(binary)
    with out.status("starting control plane, Azurite, Git server, registry and function host"):
        env = environment.up(FOLDER)
    out.print(f"up: {env.functions_url} serves function_app.py")
    environment.allow_addresses()
    asyncio.run(_scenes(env))


def main() -> int:
    """Exit code 0, or 1 with a clear error. Everything that was started is ended."""
    began = time.monotonic()
    try:
        _run()
    except (RuntimeError, OSError, TimeoutError, subprocess.SubprocessError, aiohttp.ClientError, Problem) as error:
        out.print(f"[red]error:[/red] {error}")
        out.print(f"the logs are in {_shown(FOLDER)}")
        return 1
    finally:
        environment.down(FOLDER)
    _look_around()
    out.print(f"\ndone after {time.monotonic() - began:.0f} s")
    return 0


def _shown(path: Path) -> str:
    return str(path.relative_to(STATE.parent))


if __name__ == "__main__":
    sys.exit(main())

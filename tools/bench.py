"""`make bench`: the measurements of docs/benchmarks.md, through function_app.py on the local host with Azurite.

The same work as was measured of Flux on this kind of machine: N Kustomizations over one GitRepository, four objects
each, names by substitution, `wait: true`. Requests are the API server's own count, the benchmark's and the controllers'
included. `python -m tools.bench [--sizes 100,500] [--only create,chain,…]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psutil
from rich.console import Console

from fluxless.artifacts.blob import AzureStore
from fluxless.kube.client import Cluster
from fluxless.kube.connect import ClusterConfig, connect
from fluxless.reconcile.records import read_json, schedule_name, write_json
from tools import environment, processes
from tools.demo import push
from tools.places import ROOT, STATE
from tools.sample import Repository

FOLDER = STATE / "bench"
NAMESPACE = "bench"
LIMIT = 600.0
OBJECTS = """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: podinfo-${INDEX}
---
apiVersion: v1
kind: Service
metadata:
  name: podinfo-${INDEX}
spec:
  selector:
    app: podinfo-${INDEX}
  ports:
    - name: http
      port: 9898
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: podinfo-${INDEX}
  annotations:
    release: "1"
spec:
  replicas: 0
  selector:
    matchLabels:
      app: podinfo-${INDEX}
  template:
    metadata:
      labels:
        app: podinfo-${INDEX}
    spec:
      serviceAccountName: podinfo-${INDEX}
      containers:
        - name: podinfo
          image: example/podinfo:6.0.0
          ports:
            - containerPort: 9898
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: podinfo-${INDEX}
spec:
  rules:
    - host: podinfo-${INDEX}.example.com
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: podinfo-${INDEX}
                port:
                  number: 9898
"""
FLUX = {
    ("create", 100): (22.7, 7385),
    ("create", 500): (109.7, 24932),
    ("no-op", 100): (14.5, 2856),
    ("no-op", 500): (88.1, 14217),
    ("chain", 10): (271.7, 0),
}
"""Seconds and requests of Flux 2.9 (design, section 8)."""
out = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Reading:
    """The API server's counters and the worker's at one moment."""

    requests: Counter[str]
    server_cpu: float
    worker_cpu: float


class Bench:
    """One environment, and the measurements over it."""

    def __init__(self, env: environment.Environment, cluster: Cluster) -> None:
        self.env = env
        self.cluster = cluster
        self.worker = _process()
        self.peak = 0
        self.rows: list[str] = []

    async def read(self) -> Reading:
        """Now."""
        text = await self._metrics()
        requests: Counter[str] = Counter()
        for labels, value in re.findall(r"^apiserver_request_total\{([^}]*)\} (\S+)", text, re.MULTILINE):
            known = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if known["verb"] != "WATCH":
                requests[known["verb"] + (" (dry)" if known.get("dry_run") else "")] += int(float(value))
        cpu = re.search(r"^process_cpu_seconds_total (\S+)", text, re.MULTILINE)
        times = self.worker.cpu_times()
        return Reading(requests, float(cpu[1]) if cpu else 0.0, times.user + times.system)

    async def _metrics(self) -> str:
        """The API server's own metrics, as text."""
        import aiohttp

        config = json.loads(self.env.kubeconfig.read_text())
        token, server = config["users"][0]["user"]["token"], config["clusters"][0]["cluster"]["server"]
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as http, http.get(f"{server}/metrics", headers=headers, ssl=False) as answer:
            return await answer.text()

    async def measure(self, name: str, size: int, work: Callable[[], Awaitable[None]]) -> tuple[float, int]:
        """Run it; prints time, requests by verb, CPU and memory."""
        before, began = await self.read(), time.monotonic()
        await work()
        seconds = time.monotonic() - began
        after = await self.read()
        self.peak = max(self.peak, self.worker.memory_info().rss)
        difference = after.requests - before.requests
        total = sum(difference.values())
        verbs = ", ".join(f"{verb} {count}" for verb, count in sorted(difference.items()))
        known = FLUX.get((name, size))
        versus = ""
        if known is not None:
            versus = f"{seconds / known[0]:.2f} of Flux's time"
            versus += f", {total / known[1]:.2f} of its requests" if known[1] else ""
        out.print(f"{name} {size}: {seconds:.2f} s, {total} requests ({verbs}); {versus}")
        out.print(
            f"    API server CPU {after.server_cpu - before.server_cpu:.1f} s, worker CPU "
            f"{after.worker_cpu - before.worker_cpu:.1f} s, worker memory {self.worker.memory_info().rss >> 20} MiB"
        )
        self.rows.append(f"| {name} {size} | {seconds:.2f} s | {total} | {versus} |")
        return seconds, total

    async def kustomizations(self) -> list[dict[str, Any]]:
        """All of the benchmark."""
        resource = await self.cluster.resource("kustomize.toolkit.fluxcd.io/v1", "Kustomization")
        return await self.cluster.list(resource, NAMESPACE)

    async def all_ready(self, count: int, handled: str = "") -> None:
        """Wait until as many are ready (and have handled the request)."""
        async with asyncio.timeout(LIMIT):
            while sum(_is_ready(obj, handled) for obj in await self.kustomizations()) < count:
                self.peak = max(self.peak, self.worker.memory_info().rss)
                await asyncio.sleep(0.5)

    async def settle(self) -> None:
        """Until the controllers and the app have nothing more to do."""
        await asyncio.sleep(4)

    async def create(self, count: int, *, chained: bool = False) -> None:
        """One GitRepository and the Kustomizations; until all are ready."""
        url = f"{self.env.git_url}/bench.git"
        names = {"name": "bench", "namespace": NAMESPACE}
        source = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": names}
        await self.cluster.apply(
            source | {"spec": {"interval": "60m", "url": url, "ref": {"branch": "main"}}}, manager="bench"
        )
        for number in range(count):
            await self.cluster.apply(_kustomization(number, chained=chained), manager="bench")
        await self.all_ready(count)

    async def request(self, count: int) -> None:
        """Ask all of them to reconcile, though nothing is new."""
        resource = await self.cluster.resource("kustomize.toolkit.fluxcd.io/v1", "Kustomization")
        token = str(time.time_ns())
        body = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}}
        for number in range(count):
            await self.cluster.patch(resource, f"app-{number}", NAMESPACE, body=body)
        await self.all_ready(count, token)

    async def drift_pass(self, count: int) -> None:
        """Let every interval pass now; until the plan has settled the checks."""
        store = AzureStore.from_connection_string(self.env.blob_connection, "fluxless")
        try:
            name = schedule_name("dev")
            document, etag = await read_json(store, name)
            past = time.time() - 1
            _make_due(document, past)
            await write_json(store, name, document, if_match=etag)
            async with asyncio.timeout(LIMIT):
                while _still_due(  # noqa: ASYNC110 -- blobs set no event
                    document := (await read_json(store, name))[0], past
                ):
                    await asyncio.sleep(0.2)
        finally:
            await store.close()

    async def delete_all(self) -> None:
        """Everything of the benchmark, and wait until it is gone."""
        resource = await self.cluster.resource("kustomize.toolkit.fluxcd.io/v1", "Kustomization")
        for obj in await self.kustomizations():
            await self.cluster.delete(resource, obj["metadata"]["name"], NAMESPACE)
        async with asyncio.timeout(LIMIT):
            while await self.kustomizations():  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        repositories = await self.cluster.resource("source.toolkit.fluxcd.io/v1", "GitRepository")
        await self.cluster.delete(repositories, "bench", NAMESPACE)
        await self.settle()

    async def webhook(self, repository: Repository, rounds: int = 5) -> None:
        """A signed push until the object is in the cluster."""
        taken: list[float] = []
        deployments = await self.cluster.resource("apps/v1", "Deployment")
        for number in range(2, rounds + 2):
            repository.write("podinfo/objects.yaml", OBJECTS.replace('release: "1"', f'release: "{number}"'))
            repository.commit(f"Release {number}")
            began = time.monotonic()
            await push(self.env, "bench")
            async with asyncio.timeout(60):
                while True:
                    found = await self.cluster.get(deployments, "podinfo-0", NAMESPACE)
                    if found and found["metadata"].get("annotations", {}).get("release") == str(number):
                        break
                    await asyncio.sleep(0.02)
            taken.append(time.monotonic() - began)
            await self.settle()
        text = ", ".join(f"{seconds:.2f}" for seconds in taken)
        out.print(
            f"push webhook to applied: median {statistics.median(taken):.2f} s of {text} (Flux's Receiver: 0.7 s)"
        )
        self.rows.append(f"| push webhook to applied | {statistics.median(taken):.2f} s | | Flux's Receiver: 0.7 s |")


def _process() -> psutil.Process:
    found = processes.running(FOLDER, "host")
    if found is None:
        raise RuntimeError("the function host does not run")
    return found


def _kustomization(number: int, *, chained: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "interval": "60m",
        "path": "./podinfo",
        "prune": True,
        "wait": True,
        "timeout": "5m",
        "targetNamespace": NAMESPACE,
        "sourceRef": {"kind": "GitRepository", "name": "bench"},
        "postBuild": {"substitute": {"INDEX": str(number)}},
    }
    if chained and number:
        spec["dependsOn"] = [{"name": f"app-{number - 1}"}]
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": f"app-{number}", "namespace": NAMESPACE},
        "spec": spec,
    }


def _is_ready(obj: dict[str, Any], handled: str) -> bool:
    status = obj.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    return ready and (not handled or status.get("lastHandledReconcileAt") == handled)


def _entries(document: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    return [(ref, entry) for ref, entry in document["entries"].items() if ref.startswith("Kustomization/")]


def _make_due(document: dict[str, Any], moment: float) -> None:
    for _, entry in _entries(document):
        entry[3] = moment  # Entry.next


def _still_due(document: dict[str, Any], moment: float) -> bool:
    return any(entry[3] is None or entry[3] <= moment + 1 for _, entry in _entries(document))


async def _run(env: environment.Environment, sizes: list[int], only: set[str]) -> None:
    cluster = await connect(ClusterConfig("dev", kubeconfig=str(env.kubeconfig)))
    bench = Bench(env, cluster)
    repository = Repository(FOLDER / "work", env.git_root / "bench.git")
    repository.create({"podinfo/objects.yaml": OBJECTS})
    await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, manager="bench")
    try:
        for size in sizes:
            if "create" not in only:
                break
            await bench.measure("create", size, lambda size=size: bench.create(size))  # type: ignore[misc]
            await bench.settle()
            await bench.measure("no-op", size, lambda size=size: bench.request(size))  # type: ignore[misc]
            await bench.settle()
            await bench.measure("drift pass", size, lambda size=size: bench.drift_pass(size))  # type: ignore[misc]
            await bench.delete_all()
        if "chain" in only:
            await bench.measure("chain", 10, lambda: bench.create(10, chained=True))
            await bench.delete_all()
        if "webhook" in only:
            await bench.create(1)
            await bench.settle()
            await bench.webhook(repository)
            await bench.delete_all()
        out.print(f"worker memory, highest seen: {bench.peak >> 20} MiB")
        bench.rows.append(f"| worker memory, highest seen | {bench.peak >> 20} MiB | | |")
    finally:
        await cluster.close()
    if "import" in only:
        seconds = statistics.median(_import_time() for _ in range(3))
        out.print(f"import function_app: {seconds:.2f} s")
        bench.rows.append(f"| import function_app | {seconds:.2f} s | | |")
    out.print("\n| measure | time | requests | beside Flux |\n|---|---|---|---|")
    for row in bench.rows:
        out.print(row)


def _import_time() -> float:
    code = "import time; t = time.perf_counter(); import function_app; print(time.perf_counter() - t)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return float(done.stdout)


def main() -> int:
    """Set up, measure, print a table, take down."""
    parser = argparse.ArgumentParser(prog="tools.bench")
    parser.add_argument("--sizes", default="100,500")
    parser.add_argument("--only", default="create,chain,webhook,import")
    options = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        env = environment.up(FOLDER, timer="*/1 * * * * *", host_arguments=("--no-replay-check",))
        asyncio.run(_run(env, [int(size) for size in options.sizes.split(",")], set(options.only.split(","))))
    except (RuntimeError, TimeoutError) as error:
        out.print(f"[red]error:[/red] {error or 'timed out'}")
        return 1
    finally:
        environment.down(FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the controllers work on in these tests, and `python -m tests.cluster.migration.record`, which records them.

The recorder needs FLUX_SOURCE_CONTROLLER and FLUX_KUSTOMIZE_CONTROLLER, and writes `left_by_flux.json` anew.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from fluxless.apply.inventory import read, type_of
from fluxless.apply.objects import parse_id
from tests.support.flux import Flux
from tests.support.repositories import Repo, config_map, deployment

SERVICE = (
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  selector: {app: web}\n  ports:\n    - port: 80\n"
)
SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  word: open\n"
FILES = {
    "a.yaml": config_map("a"),
    "b.yaml": config_map("b"),
    "web.yaml": deployment("web"),
    "service.yaml": SERVICE,
    "secret.yaml": SECRET,
}
INVENTORY = 5
WAIT = 60.0


async def create(flux: Flux, repo: Repo) -> None:
    """The source and the Kustomization, as a user would."""
    await flux.source(repo)
    await flux.kustomization("app", wait=True, commonMetadata={"labels": {"team": "web"}})


async def await_ready(flux: Flux) -> None:
    """Until the Kustomization is ready at its generation."""
    limit = time.monotonic() + WAIT
    while True:
        status = (await flux.ks("app")).get("status") or {}
        found = {c["type"]: c["status"] for c in status.get("conditions") or []}
        if found.get("Ready") == "True" and status.get("observedGeneration"):
            return
        assert time.monotonic() < limit, status
        await asyncio.sleep(0.3)


async def ask(flux: Flux) -> None:
    """Ask both objects for a reconciliation and wait until it is handled."""
    await flux.request("GitRepository", "repo")
    await flux.request("Kustomization", "app")
    limit = time.monotonic() + WAIT
    for kind in ("GitRepository", "Kustomization"):
        while True:
            obj = await (flux.repository() if kind == "GitRepository" else flux.ks("app"))
            wanted = obj["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"]
            if (obj.get("status") or {}).get("lastHandledReconcileAt") == wanted:
                break
            assert time.monotonic() < limit, obj.get("status")
            await asyncio.sleep(0.3)
    await await_ready(flux)


async def objects(flux: Flux) -> dict[str, dict[str, Any]]:
    """The objects of the sample by `Kind/name`, whole."""
    found: dict[str, dict[str, Any]] = {}
    for api_version, kind, name in (
        ("v1", "ConfigMap", "a"),
        ("v1", "ConfigMap", "b"),
        ("v1", "Secret", "s"),
        ("v1", "Service", "web"),
        ("apps/v1", "Deployment", "web"),
    ):
        obj = await flux.get(api_version, kind, name)
        assert obj is not None, name
        found[f"{kind}/{name}"] = obj
    return found


async def _dump(flux: Flux, repo: Repo) -> dict[str, Any]:
    left: dict[str, Any] = {"objects": [], "statuses": []}
    app = await flux.ks("app")
    for id_, version in read(app["status"]).items():
        parsed = parse_id(id_)
        obj = await flux.get(*type_of(id_, version), parsed.name)
        assert obj is not None
        for field in ("uid", "resourceVersion", "creationTimestamp", "generation"):
            obj["metadata"].pop(field, None)
        obj.pop("status", None)
        if obj["kind"] == "Service":
            for field in ("clusterIP", "clusterIPs"):
                obj["spec"].pop(field)
        entries = obj["metadata"]["managedFields"]
        obj["metadata"]["managedFields"] = [entry for entry in entries if not entry.get("subresource")]
        left["objects"].append(obj)
    for obj in (await flux.repository(), app):
        metadata = {key: obj["metadata"][key] for key in ("name", "namespace", "finalizers")}
        kept = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata, "status": obj["status"]}
        left["statuses"].append(kept)
    return left


async def _record(out: Path) -> None:
    from fluxless.artifacts.cache import ArtifactCache
    from fluxless.artifacts.directory import DirectoryStore
    from fluxless.cli.install import install
    from fluxless.engine.engine import Engine
    from fluxless.kube.connect import ClusterConfig, connect
    from fluxless.reconcile.services import Services
    from tools.controllers import KUSTOMIZE, SOURCE, Controllers, define_other_kinds
    from tools.devcluster import launcher
    from tools.gitserver import GitServer

    with tempfile.TemporaryDirectory(prefix="fluxless-record-") as name:
        folder = Path(name)
        config = await asyncio.to_thread(launcher.start, folder / "cluster")
        cluster = await connect(ClusterConfig("record", kubeconfig=str(config)))
        (folder / "git").mkdir()
        server = GitServer(folder / "git")
        await server.start()
        both = Controllers(folder / "controllers", config, namespace="sample", names=(SOURCE, KUSTOMIZE))
        try:
            await install(cluster)
            await define_other_kinds(cluster)
            await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sample"}})
            store = DirectoryStore(folder / "store")
            flux = Flux(Engine({}, Services(store, ArtifactCache(store, folder / "cache"))), cluster, "sample", store)
            repo = Repo(server, folder, "sample")
            commit = repo.push(dict(FILES))
            await create(flux, repo)
            await asyncio.to_thread(both.start)
            await await_ready(flux)
            text = json.dumps(await _dump(flux, repo), indent=1, sort_keys=True)
        finally:
            await asyncio.to_thread(both.stop)
            await server.stop()
            await cluster.close()
            await asyncio.to_thread(launcher.stop, folder / "cluster")
    text = text.replace('"sample', '"${namespace}').replace("/sample/", "/${namespace}/").replace(repo.url, "${url}")
    out.write_text(text.replace(commit, "${commit}") + "\n")


if __name__ == "__main__":
    asyncio.run(_record(Path(__file__).parent / "left_by_flux.json"))

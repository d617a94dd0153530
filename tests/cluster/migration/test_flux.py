"""A cluster changes over from Flux's controllers and back: nothing is re-created, nothing is even written.

The first case replays what kustomize-controller 1.9.4 left in a cluster (`left_by_flux.json`, recorded by
`python -m tests.cluster.migration.record`); the other runs the controllers themselves where their binaries are given.
"""

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxless.apply.fields import own_entry
from fluxless.cli.takeover import forget_artifacts
from tests.cluster.migration.record import FILES, INVENTORY, ask, await_ready, create, objects
from tests.support.flux import Flux, message, ready
from tests.support.repositories import Repo, config_map
from tools.controllers import KUSTOMIZE, SOURCE, Controllers, define_other_kinds, missing

LEFT = Path(__file__).parent / "left_by_flux.json"


def _versions(found: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """(uid, our entry in the managed fields with its time) by id: what a write would have changed."""
    return {id_: (obj["metadata"]["uid"], json.dumps(own_entry(obj), sort_keys=True)) for id_, obj in found.items()}


async def _check_that_fluxless_goes_on(flux: Flux, repo: Repo) -> None:
    """The inventory left by Flux is pruned by, and a change is applied."""
    gone: dict[str, str | None] = {"b.yaml": None}
    repo.push(gone | {"a.yaml": config_map("a", "2")})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=10)
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    assert await flux.value("a") == "2"
    assert await flux.value("b") is None


async def test_what_flux_has_left_is_taken_over_without_a_write(flux: Flux, repo: Repo) -> None:
    commit = repo.push(dict(FILES))
    await create(flux, repo)
    text = LEFT.read_text().replace("${namespace}", flux.namespace).replace("${url}", repo.url)
    await _replay(flux, json.loads(text.replace("${commit}", commit)))
    before = _versions(await objects(flux))
    await flux.run(patience=10)
    assert ready(await flux.ks("app")) == ("True", "ReconciliationSucceeded"), message(await flux.ks("app"))
    assert _versions(await objects(flux)) == before
    assert not [event for event in await flux.events("app") if "configured" in event["message"]]
    await _check_that_fluxless_goes_on(flux, repo)


async def _replay(flux: Flux, left: dict[str, Any]) -> None:
    """Objects with their managed fields, then the statuses: as if the controllers had just gone."""
    for obj in left["objects"]:
        entries = copy.deepcopy(obj["metadata"].pop("managedFields"))
        made = await flux.cluster.create(obj, manager="replay")
        resource = await flux.cluster.resource(obj["apiVersion"], obj["kind"])
        patch = [{"op": "replace", "path": "/metadata/managedFields", "value": entries}]
        names = (made["metadata"]["name"], made["metadata"]["namespace"])
        await flux.cluster.patch(resource, *names, body=patch, kind="json", manager="replay")
    for obj in left["statuses"]:
        resource = await flux.cluster.resource(obj["apiVersion"], obj["kind"])
        names = (obj["metadata"]["name"], obj["metadata"]["namespace"])
        finalizers = {"metadata": {"finalizers": obj["metadata"]["finalizers"]}}
        await flux.cluster.patch(resource, *names, body=finalizers, manager="gotk")
        body = {"status": obj["status"]}
        await flux.cluster.patch(resource, *names, body=body, subresource="status", manager="gotk-replay")


@pytest.fixture
def controllers(tmp_path: Path, control_plane: Path, namespace: str) -> Iterator[Controllers]:
    if absent := missing(SOURCE, KUSTOMIZE):
        pytest.skip(f"{' and '.join(absent)} name no binaries")
    both = Controllers(tmp_path / "controllers", control_plane, namespace=namespace, names=(SOURCE, KUSTOMIZE))
    yield both
    both.stop()


async def test_there_and_back_with_the_controllers_themselves(flux: Flux, repo: Repo, controllers: Controllers) -> None:
    repo.push(dict(FILES))
    await create(flux, repo)
    await define_other_kinds(flux.cluster)
    await asyncio.to_thread(controllers.start)
    await await_ready(flux)
    await asyncio.to_thread(controllers.stop)
    before = _versions(await objects(flux))
    assert len(before) == INVENTORY

    await flux.request("Kustomization", "app")
    await flux.run(patience=10)
    assert ready(await flux.ks("app")) == ("True", "ReconciliationSucceeded"), message(await flux.ks("app"))
    assert _versions(await objects(flux)) == before

    await forget_artifacts(flux.cluster, flux.namespace)
    await asyncio.to_thread(controllers.start)
    await ask(flux)
    assert _versions(await objects(flux)) == before
    await asyncio.to_thread(controllers.stop)
    await _check_that_fluxless_goes_on(flux, repo)

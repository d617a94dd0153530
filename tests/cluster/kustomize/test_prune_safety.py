"""A prune that would delete too much waits for approval (app setting, off by default)."""

import re

from tests.support.flux import KUSTOMIZE, Flux, message, ready
from tests.support.repositories import Repo, config_map


async def test_it_names_what_it_would_delete_and_goes_on_after_approval(flux: Flux, repo: Repo) -> None:
    flux.configure(prune_limit="1")
    repo.push({f"{name}.yaml": config_map(name) for name in "abcd"})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    repo.push({"b.yaml": None, "a.yaml": config_map("a", "2")})
    await flux.request("GitRepository", "repo")
    await flux.run()
    assert await flux.value("b") is None, "one is within the limit"
    repo.push({"c.yaml": None, "d.yaml": None, "a.yaml": config_map("a", "3")})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=1)
    app = await flux.ks("app")
    assert ready(app) == ("False", "PruneHeld")
    said = message(app)
    assert f"2 of 3 objects would be deleted: ConfigMap/{flux.namespace}/c, ConfigMap/{flux.namespace}/d" in said
    assert (await flux.value("a"), await flux.value("c"), await flux.value("d")) == ("3", "1", "1")
    assert len(app["status"]["inventory"]["entries"]) == 3
    match = re.search(r"fluxless\.dev/approve-prune=([0-9a-f]+)", said)
    assert match is not None
    for digest, left in (("0" * 16, "1"), (match[1], None)):
        annotations = {"fluxless.dev/approve-prune": digest}
        await flux.patch(KUSTOMIZE, "Kustomization", "app", {"metadata": {"annotations": annotations}})
        await flux.request("Kustomization", "app")
        await flux.run(patience=1)
        assert await flux.value("c") == left
    assert ready(await flux.ks("app"))[0] == "True"

"""What users get wrong, each with a clear error that names the thing and the next step."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.flux import Flux, message, ready
from tests.support.repositories import Repo, config_map

SERVICE = "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  clusterIP: %s\n  ports:\n    - port: 80\n"


@pytest.mark.parametrize(
    ("files", "spec", "reason", "words"),
    [
        pytest.param(
            {"a.yaml": "kind: ConfigMap\n  bad: [\n"},
            {},
            "BuildFailed",
            ["a.yaml:", "not valid YAML"],
            id="broken-yaml",
        ),
        pytest.param(
            {"a.yaml": config_map("a"), "b.yaml": config_map("a")},
            {},
            "BuildFailed",
            ["may not add resource with an already registered id", "ConfigMap"],
            id="duplicate-objects",
        ),
        pytest.param(
            {"a.yaml": "apiVersion: example.com/v1\nkind: Nothing\nmetadata:\n  name: n\n"},
            {},
            "ReconciliationFailed",
            ['no matches for kind "Nothing" in version "example.com/v1"', "CustomResourceDefinition"],
            id="unknown-kind",
        ),
        pytest.param(
            {"a.yaml": config_map("a")},
            {"targetNamespace": "not-there"},
            "ReconciliationFailed",
            ['namespaces "not-there" not found', "Create the namespace"],
            id="namespace-missing",
        ),
        pytest.param(
            {"a.yaml": config_map("a", "${unset}")},
            {"postBuild": {"substitute": {"other": "x"}}},
            "BuildFailed",
            ['variable not set (strict mode): "unset"', "a.yaml:1", "set unset in spec.postBuild"],
            id="unset-variable",
        ),
        pytest.param(
            {"a.yaml": config_map("a")},
            {"path": "./missing"},
            "ArtifactFailed",
            ["kustomization path not found", "./missing"],
            id="missing-path",
        ),
        pytest.param(
            {"a.yaml": config_map("a")},
            {"path": "../../etc"},
            "ArtifactFailed",
            ["leaves the artifact"],
            id="path-escape",
        ),
        pytest.param(
            {"kustomization.yaml": "resources:\n  - ../../../etc/passwd\n"},
            {},
            "BuildFailed",
            ["leaves the artifact", "kustomization.yaml"],
            id="resource-escape",
        ),
        pytest.param(
            {"s.yaml": "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\ndata: {a: x}\nsops: {mac: x}\n"},
            {},
            "ReconciliationFailed",
            ["is SOPS encrypted", "spec.decryption"],
            id="encrypted-secret",
        ),
        pytest.param(
            {"a.yaml": config_map("a")},
            {"postBuild": {"substituteFrom": [{"kind": "Secret", "name": "nope"}]}},
            "BuildFailed",
            ["substitute from 'Secret/nope' error: not found", "optional"],
            id="variables-missing",
        ),
    ],
)
async def test_it_is_named_with_the_next_step(
    flux: Flux, repo: Repo, files: Mapping[str, str | None], spec: dict[str, Any], reason: str, words: list[str]
) -> None:
    repo.push(dict(files))
    await flux.source(repo)
    await flux.kustomization("app", **spec)
    await flux.run(patience=1)
    app = await flux.ks("app")
    assert ready(app) == ("False", reason), message(app)
    for word in words:
        assert word in message(app)
    assert "/tmp/" not in message(app)
    (warning,) = [event for event in await flux.events("app") if event["type"] == "Warning"]
    assert warning["reason"] == reason


async def test_an_immutable_field_says_how_to_have_the_object_recreated(flux: Flux, repo: Repo) -> None:
    repo.push({"s.yaml": SERVICE % "10.96.77.10"})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    repo.push({"s.yaml": SERVICE % "10.96.77.11"})
    await flux.request("GitRepository", "repo")
    await flux.run(patience=1)
    app = await flux.ks("app")
    assert ready(app) == ("False", "ReconciliationFailed")
    assert "spec.force" in message(app)
    await flux.kustomization("app", force=True)
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    live = await flux.get("v1", "Service", "s")
    assert live is not None
    assert live["spec"]["clusterIP"] == "10.96.77.11"


async def test_two_kustomizations_that_own_one_object_are_told(flux: Flux, repo: Repo) -> None:
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("one")
    await flux.run()
    await flux.kustomization("two")
    await flux.run()
    owner = (await flux.get("v1", "ConfigMap", "a") or {})["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"]
    assert owner == "two"
    await flux.request("Kustomization", "one")
    await flux.run()
    told = [event["message"] for event in await flux.events("one")]
    assert any("belongs to another owner" in text and "two" in text for text in told), told


async def test_a_defect_of_ours_is_told_in_the_status(flux: Flux, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise KeyError("hidden-value")

    monkeypatch.setattr("fluxless.kustomize.content.build", broken)
    repo.push({"a.yaml": config_map("a")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run(patience=1)
    app = await flux.ks("app")
    assert ready(app) == ("False", "ReconciliationFailed")
    assert "unexpected KeyError in Fluxless" in message(app)
    assert "hidden-value" not in message(app)


async def test_a_misspelt_field_of_a_built_in_kind_is_left_out_and_told(flux: Flux, repo: Repo) -> None:
    """Flux drops it in silence; what a Flux user has in Git must go on working."""
    repo.push({"a.yaml": config_map("a") + "dta: {x: y}\n", "b.yaml": config_map("b")})
    await flux.source(repo)
    await flux.kustomization("app")
    await flux.run()
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    assert await flux.value("a") == "1"
    told = [event["message"] for event in await flux.events("app") if event["reason"] == "UnknownField"]
    assert told == [f"ConfigMap/{flux.namespace}/a: unknown field(s) left out: .dta (from a.yaml:1)"]
    await flux.request("Kustomization", "app")
    assert await flux.run() > 0
    assert len([event for event in await flux.events("app") if event["reason"] == "UnknownField"]) == 1

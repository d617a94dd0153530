"""Which objects a webhook means."""

import json
from typing import Any

import pytest

from fluxless.engine.directory import Directory, from_json, git_key, oci_key
from fluxless.kept import Malformed
from fluxless.reconcile.world import Ref, World


def _obj(kind: str, name: str, spec: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "n"}, "spec": spec, "status": status}


WORLD = World(
    {
        Ref.of(obj): obj
        for obj in (
            _obj("GitRepository", "https", {"url": "https://me:hunter2@Example.org/a/b.git"}),
            _obj("GitRepository", "ssh", {"url": "ssh://git@example.org/a/b"}),
            _obj("GitRepository", "other", {"url": "https://example.org/a/c"}),
            _obj("OCIRepository", "image", {"url": "oci://r.example/apps/web"}),
            _obj("OCIRepository", "odd", {"url": "x"}),
            _obj("HelmRepository", "registry", {"url": "oci://r.example/charts/", "type": "oci"}),
            _obj("HelmRepository", "index", {"url": "https://r.example/charts"}),
            _obj("HelmChart", "web", {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "registry"}}),
            _obj("HelmChart", "http", {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "index"}}),
            _obj("HelmChart", "none", {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "none"}}),
            _obj("Receiver", "push", {}, webhookPath="/hook/1"),
            _obj("Receiver", "new", {}),
        )
    },
    0.0,
)


KEPT = json.loads(json.dumps(Directory.of(WORLD).to_json()))


def _names(*keys: str) -> list[str]:
    """As whoever reads the kept document finds them."""
    found = from_json(KEPT)
    assert found is not None
    return sorted(f"{ref.kind}/{ref.name}" for ref in found.having(keys))


def test_all_spellings_of_a_git_repository() -> None:
    both = ["GitRepository/https", "GitRepository/ssh"]
    assert _names(git_key("git@example.org:a/b.git"), git_key("http://example.org/A/B")) == both
    assert _names(git_key("https://example.org/a")) == []


def test_objects_of_a_registry() -> None:
    assert _names(oci_key("R.example", "apps/web")) == ["OCIRepository/image"]
    assert _names(oci_key("r.example", "charts/web")) == ["HelmChart/web"]
    assert _names(oci_key("r.example", "apps")) == []


def test_receivers_by_their_path() -> None:
    found = from_json(KEPT)
    assert found is not None
    assert found.receiver("/hook/1") == Ref("Receiver", "n", "push")
    assert found.receiver("/hook/2") is None


def test_neither_addresses_nor_paths_are_kept() -> None:
    text = json.dumps(KEPT)
    assert "n/push" in text
    assert not [word for word in ("example", "r.example", "hunter2", "hook", "/1") if word in text]


@pytest.mark.parametrize(
    ("status", "generation", "pathless"),
    [
        ({"webhookPath": "/hook/1", "observedGeneration": 2}, 2, False),
        ({"webhookPath": "/hook/1", "observedGeneration": 1}, 2, True),
        ({"observedGeneration": 2}, 2, True),
        ({}, 1, True),
    ],
)
def test_receivers_whose_path_may_be_another_soon(status: dict[str, Any], generation: int, pathless: bool) -> None:
    obj = _obj("Receiver", "push", {}, **status)
    obj["metadata"]["generation"] = generation
    assert Directory.of(World({Ref.of(obj): obj}, 0.0)).pathless is pathless


def test_equal_worlds_are_kept_as_equal_bytes() -> None:
    turned = World(dict(reversed(list(WORLD.objects.items()))), 1.0)
    assert json.dumps(Directory.of(turned).to_json()) == json.dumps(Directory.of(WORLD).to_json())


@pytest.mark.parametrize("spec", [[], "x", {"chart": "web"}, {"sourceRef": {}}, {"sourceRef": "x"}])
def test_an_object_of_any_shape_stops_no_other(spec: Any) -> None:
    odd, good = _obj("HelmChart", "odd", spec), _obj("OCIRepository", "image", {"url": "oci://r.example/apps/web"})
    found = Directory.of(World({Ref.of(obj): obj for obj in (odd, good)}, 0.0))
    assert found.having([oci_key("r.example", "apps/web")]) == [Ref.of(good)]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"objects": []},
        {"objects": {"k": "x"}},
        {"objects": {"k": ["Secret/n/x"]}},
        {"objects": {"k": ["GitRepository/n"]}},
        {"receivers": {"p": "GitRepository/n/x"}},
        {"pathless": "no"},
    ],
)
def test_what_another_release_has_written_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((Malformed, ValueError)):
        from_json(KEPT | change)

"""Which objects a webhook means."""

from typing import Any

from fluxless.engine.directory import Directory, git_key, oci_key
from fluxless.reconcile.world import Ref, World


def _obj(kind: str, name: str, spec: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "n"}, "spec": spec, "status": status}


WORLD = World(
    {
        Ref.of(obj): obj
        for obj in (
            _obj("GitRepository", "https", {"url": "https://Example.org/a/b.git"}),
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


def _names(*keys: str) -> list[str]:
    return sorted(f"{ref.kind}/{ref.name}" for ref in Directory(WORLD).having(keys))


def test_all_spellings_of_a_git_repository() -> None:
    both = ["GitRepository/https", "GitRepository/ssh"]
    assert _names(git_key("git@example.org:a/b.git"), git_key("http://example.org/A/B")) == both
    assert _names(git_key("https://example.org/a")) == []


def test_objects_of_a_registry() -> None:
    assert _names(oci_key("R.example", "apps/web")) == ["OCIRepository/image"]
    assert _names(oci_key("r.example", "charts/web")) == ["HelmChart/web"]
    assert _names(oci_key("r.example", "apps")) == []


def test_receivers_by_their_path() -> None:
    found = Directory(WORLD).receiver("/hook/1")
    assert found is not None
    assert found["metadata"]["name"] == "push"
    assert Directory(WORLD).receiver("/hook/2") is None

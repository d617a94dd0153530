"""Which objects a webhook means: by the path of a receiver or the address of a repository. Pure, made per survey."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from fluxless.git.urls import normalise
from fluxless.reconcile.dependencies import is_address
from fluxless.reconcile.world import Ref, World


def git_key(url: str) -> str:
    """All spellings of a Git repository have one key."""
    return f"git:{normalise(url)}"


def oci_key(host: str, path: str) -> str:
    """A repository of a registry."""
    return f"oci:{host}/{path}".lower()


def keys_of(obj: dict[str, Any]) -> list[str]:
    """The repositories that an object is made of."""
    spec = obj.get("spec") or {}
    match obj["kind"]:
        case "GitRepository":
            return [git_key(str(spec.get("url", "")))]
        case "OCIRepository" if str(spec.get("url", "")).startswith("oci://"):
            host, _, path = str(spec["url"]).removeprefix("oci://").partition("/")
            return [oci_key(host, path.strip("/"))]
        case _:
            return []


def _chart_keys(ref: Ref, obj: dict[str, Any], world: World) -> list[str]:
    """A HelmChart of a registry: its HelmRepository is no more than an address."""
    if ref.kind != "HelmChart":
        return []
    source = world.get(Ref(obj["spec"]["sourceRef"]["kind"], ref.namespace, obj["spec"]["sourceRef"]["name"]))
    if source is None or not is_address(source):
        return []
    host, _, path = str(source["spec"]["url"]).removeprefix("oci://").partition("/")
    return [oci_key(host, f"{path.strip('/')}/{obj['spec']['chart']}".strip("/"))]


class Directory:
    """An index of one world."""

    def __init__(self, world: World) -> None:
        self.taken = world.taken
        self._by_key: dict[str, list[Ref]] = defaultdict(list)
        self._by_path: dict[str, dict[str, Any]] = {}
        for ref, obj in world.objects.items():
            for key in [*keys_of(obj), *_chart_keys(ref, obj, world)]:
                self._by_key[key].append(ref)
            path = (obj.get("status") or {}).get("webhookPath") if ref.kind == "Receiver" else None
            if path:
                self._by_path[str(path)] = obj

    def having(self, keys: Iterable[str]) -> list[Ref]:
        """The objects of these repositories."""
        return list(dict.fromkeys(ref for key in keys for ref in self._by_key.get(key, ())))

    def receiver(self, path: str) -> dict[str, Any] | None:
        """The receiver of a path."""
        return self._by_path.get(path)

"""Which objects a webhook means: by the path of a receiver or the address of a repository. Pure, made per world.

Plans keep it in the store for webhooks, which run in other workers (`index.py`). Addresses and paths stand in it as
digests: an address may hold a password, and the path is all that a sender to a `generic` receiver has to know.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fluxless.api.kinds import GIT_REPOSITORY, HELM_CHART, OCI_REPOSITORY, RECEIVER
from fluxless.git.urls import normalise
from fluxless.kept import Malformed, listed, mapping, text, whole
from fluxless.reconcile.dependencies import is_address
from fluxless.reconcile.world import Ref, World

log = logging.getLogger("fluxless.engine")
VERSION = 1
MEANT = frozenset({GIT_REPOSITORY.kind, OCI_REPOSITORY.kind, HELM_CHART.kind})
"""Kinds that the built-in doors are about."""


def git_key(url: str) -> str:
    """All spellings of a Git repository have one key."""
    return f"git:{normalise(url)}"


def oci_key(host: str, path: str) -> str:
    """A repository of a registry."""
    return f"oci:{host}/{path}".lower()


def _keys_of(ref: Ref, obj: dict[str, Any], world: World) -> list[str]:
    """The repositories that an object is made of."""
    spec = obj.get("spec") or {}
    match ref.kind:
        case "GitRepository":
            return [git_key(str(spec.get("url", "")))]
        case "OCIRepository" if str(spec.get("url", "")).startswith("oci://"):
            host, _, path = str(spec["url"]).removeprefix("oci://").partition("/")
            return [oci_key(host, path.strip("/"))]
        case "HelmChart":
            return _chart_keys(ref, spec, world)
        case _:
            return []


def _chart_keys(ref: Ref, spec: dict[str, Any], world: World) -> list[str]:
    """A HelmChart of a registry: its HelmRepository is no more than an address."""
    source = world.get(Ref(spec["sourceRef"]["kind"], ref.namespace, spec["sourceRef"]["name"]))
    if source is None or not is_address(source):
        return []
    host, _, path = str(source["spec"]["url"]).removeprefix("oci://").partition("/")
    return [oci_key(host, f"{path.strip('/')}/{spec['chart']}".strip("/"))]


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode(errors="replace")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Directory:
    """Objects and receivers by the digests of keys and paths. `pathless`: a receiver has no path yet, or may be about
    to have another.
    """

    objects: Mapping[str, list[Ref]]
    receivers: Mapping[str, Ref]
    pathless: bool = False

    @classmethod
    def of(cls, world: World) -> Directory:
        """That of a world."""
        objects: dict[str, list[Ref]] = defaultdict(list)
        receivers: dict[str, Ref] = {}
        pathless = False
        for ref, obj in sorted(world.objects.items()):
            try:
                if ref.kind == RECEIVER.kind:
                    status = obj.get("status") or {}
                    if path := status.get("webhookPath"):
                        receivers[_digest(str(path))] = ref
                    current = status.get("observedGeneration") == obj["metadata"].get("generation")
                    pathless = pathless or not path or not current
                for key in _keys_of(ref, obj, world):
                    objects[_digest(key)].append(ref)
            except Exception:  # a defect of ours: it must not stop the plan of everybody else's objects
                log.exception("alert=not-planned object=%s is left out of what webhooks find", ref)
        return cls(objects, receivers, pathless)

    def having(self, keys: Iterable[str]) -> list[Ref]:
        """The objects of these repositories."""
        return list(dict.fromkeys(ref for key in keys for ref in self.objects.get(_digest(key), ())))

    def receiver(self, path: str) -> Ref | None:
        """The receiver of a path."""
        return self.receivers.get(_digest(path))

    def to_json(self) -> dict[str, Any]:
        """The document as it is kept; two of equal worlds are equal."""
        return {
            "version": VERSION,
            "objects": {key: [str(ref) for ref in refs] for key, refs in sorted(self.objects.items())},
            "receivers": {path: str(ref) for path, ref in sorted(self.receivers.items())},
            "pathless": int(self.pathless),
        }


def from_json(document: dict[str, Any]) -> Directory | None:
    """The reverse of `to_json`; None of an empty document. Raises `Malformed`, also for one of another release."""
    if not document:
        return None
    if document.get("version") != VERSION:
        raise Malformed(f"version {document.get('version')!r} instead of {VERSION}")
    objects = {
        key: [_ref(ref, MEANT) for ref in listed(refs)] for key, refs in mapping(document.get("objects")).items()
    }
    kinds = frozenset({RECEIVER.kind})
    receivers = {path: _ref(ref, kinds) for path, ref in mapping(document.get("receivers")).items()}
    return Directory(objects, receivers, bool(whole(document.get("pathless"))))


def _ref(value: Any, kinds: frozenset[str]) -> Ref:
    ref = Ref.parse(text(value))
    if ref.kind not in kinds:
        raise Malformed(f"{ref.kind!r} where one of {', '.join(sorted(kinds))} stands")
    return ref

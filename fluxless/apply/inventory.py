"""What a Kustomization has in the cluster: `status.inventory` (KC-43) as a map from object id to API version. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fluxless.apply.objects import api_version, parse_id

Inventory = dict[str, str]
"""Object id -> version within its API group, in order of application."""


def read(status: Mapping[str, Any]) -> Inventory:
    """The inventory of a Kustomization's status; empty when there is none."""
    entries = (status.get("inventory") or {}).get("entries") or []
    return {entry["id"]: entry.get("v", "") for entry in entries}


def write(inventory: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    """The value of `status.inventory`."""
    return {"entries": [{"id": id_, "v": version} for id_, version in inventory.items()]}


def stale(old: Mapping[str, str], new: Mapping[str, str]) -> Inventory:
    """Entries of `old` that are no longer in `new`: what to prune (KC-91). A change of API version is no reason."""
    return {id_: version for id_, version in old.items() if id_ not in new}


def union(*inventories: Mapping[str, str]) -> Inventory:
    """All entries; the first inventory that names an object decides its version and place."""
    result: Inventory = {}
    for inventory in inventories:
        for id_, version in inventory.items():
            result.setdefault(id_, version)
    return result


def restrict(inventory: Mapping[str, str], ids: Iterable[str]) -> Inventory:
    """Only the entries named by `ids`, such as the ones whose deletion failed."""
    wanted = set(ids)
    return {id_: version for id_, version in inventory.items() if id_ in wanted}


def type_of(id_: str, version: str) -> tuple[str, str]:
    """(apiVersion, kind) of an entry, as discovery wants it."""
    parsed = parse_id(id_)
    return api_version(parsed.group, version), parsed.kind

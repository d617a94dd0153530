"""What is told of finished work: one structured log line per run record, and spans, one trace per commit. Pure.

A trace is about what the chain began with: the commit or digest of the source at its root. The webhook that told of it,
the source that fetched it and everything made of it, in any cluster, by any worker, are in that one trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fluxless.api.timestamps import parse_timestamp
from fluxless.reconcile import outcome
from fluxless.reconcile.dependencies import artifact_of, sources_of
from fluxless.reconcile.outcome import State
from fluxless.reconcile.world import Ref, World
from fluxless.telemetry import Span

FIELDS = ("cluster", "kind", "namespace", "name", "revision", "result", "reason", "seconds")
"""Of a log line, in order; then the number of changes, and the message."""
MESSAGE_LIMIT = 500
APPLIED_LIMIT = 8000
"""Characters of an attribute that Application Insights keeps are 8,192."""
FAILED = frozenset(State(state).name.lower() for state in outcome.FAILED)
"""As run records write them."""
ROOTS = {"GitRepository", "OCIRepository", "Bucket", "HelmRepository"}
"""What chains begin with."""
LONGEST_CHAIN = 5
_PATHS = (
    ("after",),  # GitHub, GitLab, Gitea
    ("checkout_sha",),
    ("resource", "refUpdates", 0, "newObjectId"),  # Azure DevOps
    ("push", "changes", 0, "new", "target", "hash"),  # Bitbucket
    ("target", "digest"),  # ACR
    ("data", "target", "digest"),  # ACR by Event Grid
)


def line(record: Mapping[str, Any]) -> str:
    """`cluster=prod kind=Kustomization … message="…"`, one line, as logfmt and as Kusto's `parse-kv` read it."""
    pairs = {field: record.get(field, "") for field in FIELDS}
    pairs["changes"] = len(record.get("changes") or ())
    pairs["message"] = str(record.get("message", ""))[:MESSAGE_LIMIT]
    return " ".join(f"{key}={_value(value)}" for key, value in pairs.items())


def _value(value: Any) -> str:
    text = str(value)
    plain = text and text.isprintable() and not set(' "=\\') & set(text)
    return text if plain else json.dumps(text, ensure_ascii=False)


def span(record: Mapping[str, Any], obj: Mapping[str, Any], world: World) -> Span:
    """The span of a run. Those of what is made of a source hang from the span in which it was fetched."""
    cluster, root = str(record["cluster"]), origin(obj, world)
    mine = root is not None and Ref.of(root) == Ref.of(obj)
    revision = str(record.get("revision") or "") if mine else str((artifact_of(root) or {}).get("revision") or "")
    fetched = f"{cluster} {Ref.of(root)}" if root is not None else ""
    fresh = mine and record.get("result") == "ready"
    attributes = {field: record[field] for field in FIELDS if record.get(field) not in (None, "")}
    if changes := record.get("changes"):
        words = "; ".join(f"{change['subject']} {change['action']}" for change in changes)
        attributes |= {"changes": len(changes), "applied": words[:APPLIED_LIMIT]}
    return Span(
        name=f"reconcile {record['kind']}",
        about=about(revision) or f"{cluster} {Ref.of(obj)}",
        start=parse_timestamp(str(record["ts"])),
        seconds=float(record.get("seconds") or 0.0),
        error=str(record.get("message") or record["result"])[:MESSAGE_LIMIT] if record.get("result") in FAILED else "",
        attributes=attributes,
        me=fetched if fresh else "",
        parent="" if mine or not revision else fetched,
    )


def origin(obj: Mapping[str, Any], world: World) -> Mapping[str, Any] | None:
    """The source at the root of what an object is made of; itself when it is one."""
    found: Mapping[str, Any] | None = obj
    for _ in range(LONGEST_CHAIN):
        if found is None or found["kind"] in ROOTS:
            return found
        found = next((world.get(ref) for ref in sources_of(found)), None)
    return None


def about(revision: str) -> str:
    """What a trace of a revision is about: the commit or digest in it, however it was named."""
    return revision.rpartition("@")[2]


def told(body: bytes) -> str:
    """The commit or digest that a webhook names, for its trace only; empty when it names none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for path in _PATHS:
        found: Any = document[0] if isinstance(document, list) and document else document
        for step in path:
            if isinstance(step, int):
                found = found[step] if isinstance(found, list) and len(found) > step else None
            else:
                found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, str) and found.strip("0"):
            return _named(found)
    return ""


def _named(found: str) -> str:
    """As revisions write it."""
    digits = found.removeprefix("sha256:")
    if set(digits.lower()) - set("0123456789abcdef"):
        return ""
    return {40: f"sha1:{digits}", 64: f"sha256:{digits}"}.get(len(digits), "")

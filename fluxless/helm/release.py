"""Helm's own records of releases (HR-66, HR-67): Secrets of type `helm.sh/release.v1`, read and digested. Pure.

A digest in `status.history` is of bytes that Go writes. Records were written by Go in the order of its fields, so its
own bytes are cut out of the record instead of being made again.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fluxless.helm.values import digest as values_digest

TYPE = "helm.sh/release.v1"
PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback", "uninstalling"})
"""Also a release that somebody died over while he uninstalled it, where Flux stands still."""
DEPLOYED, FAILED, SUPERSEDED, UNINSTALLED = "deployed", "failed", "superseded", "uninstalled"
MAX_RECORD = 64 * 1024 * 1024
"""Bytes of an unpacked record; a Secret holds a megabyte, and nobody packs text that well in earnest."""
_TESTS = {"test", "test-success"}


class UnreadableRecord(ValueError):
    """The Secret is no release of Helm's; the message names it."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a release. `secret` is the name of its record, `config` the values that its user gave."""

    name: str
    namespace: str
    version: int
    status: str
    description: str
    chart: Mapping[str, Any]
    config: Mapping[str, Any]
    manifest: str
    hooks: tuple[Mapping[str, Any], ...]
    info: Mapping[str, Any]
    secret: str
    text: str
    """The record itself, JSON."""
    stamp: str = ""
    """What changes whenever the record does."""

    @property
    def pending(self) -> bool:
        """Whether somebody is at work on it, or was when he died."""
        return self.status in PENDING

    @property
    def chart_name(self) -> str:
        """Of the chart's metadata."""
        return str(self.chart.get("name") or "")

    @property
    def chart_version(self) -> str:
        """Of the chart's metadata."""
        return str(self.chart.get("version") or "")

    @property
    def on_server(self) -> bool:
        """Whether it was applied on the server."""
        return _members(self.text).get("apply_method") == '"ssa"'

    @property
    def full_name(self) -> str:
        """As Flux's messages name it."""
        return f"{self.namespace}/{self.name}.v{self.version}"

    def digest(self, oci_digest: str = "") -> str:
        """The digest that a snapshot of this release has in `status.history` (HR-67)."""
        top = _members(self.text)
        hooks = [raw for raw in _items(top.get("hooks", "[]")) if not _TESTS & set(json.loads(raw).get("events") or [])]
        info = _members(top.get("info", "{}"))
        parts = {
            "name": top.get("name", '""'),
            "version": top.get("version", "0"),
            "info": _object({key: raw for key, raw in info.items() if raw != '""'}),
            "chartMetadata": _members(top.get("chart", "{}")).get("metadata", "{}"),
            "config": top.get("config", "null"),
            "manifest": top.get("manifest", '""'),
            "hooks": f"[{','.join(hooks)}]" if hooks else "null",
            "namespace": top.get("namespace", '""'),
        }
        if oci_digest:
            parts["ociDigest"] = json.dumps(oci_digest)
        line = (_object(parts) + "\n").encode(errors="replace")
        return f"sha256:{hashlib.sha256(line).hexdigest()}"

    def tests(self, filters: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """How the tests went that the filters select, by name (HR-25, HR-43)."""
        wanted = {str(one["name"]) for one in filters if not one.get("exclude")}
        left_out = {str(one["name"]) for one in filters if one.get("exclude")}
        found: dict[str, Any] = {}
        for hook in self.hooks:
            name = str(hook.get("name"))
            if not _TESTS & set(hook.get("events") or []) or name in left_out or (wanted and name not in wanted):
                continue
            ran = hook.get("last_run") or {}
            times = {"lastStarted": _moment(ran.get("started_at")), "lastCompleted": _moment(ran.get("completed_at"))}
            found[name] = {
                **{key: value for key, value in times.items() if value},
                "phase": str(ran.get("phase") or ""),
            }
        return found

    def snapshot(self, action: str = "", oci_digest: str = "") -> dict[str, Any]:
        """An entry of `status.history` (HR-43)."""
        entry = {
            "apiVersion": "v2",
            "digest": self.digest(oci_digest),
            "name": self.name,
            "namespace": self.namespace,
            "version": self.version,
            "status": self.status,
            "chartName": self.chart_name,
            "chartVersion": self.chart_version,
            "appVersion": str(self.chart.get("appVersion") or ""),
            "configDigest": values_digest(self.config),
            "firstDeployed": _moment(self.info.get("first_deployed")),
            "lastDeployed": _moment(self.info.get("last_deployed")),
            "deleted": _moment(self.info.get("deleted")),
            "action": action,
            "ociDigest": oci_digest,
        }
        return {key: value for key, value in entry.items() if value not in ("", None)}


def stamp_of(secret: Mapping[str, Any]) -> str:
    """What changes whenever a record does."""
    metadata = secret["metadata"]
    return f"{metadata.get('uid')}/{metadata.get('resourceVersion')}"


def read(secret: Mapping[str, Any]) -> Release:
    """The release in a Secret as the API server gives it. Raises `UnreadableRecord`."""
    name = str(secret["metadata"]["name"])
    try:
        packed = base64.b64decode(base64.b64decode((secret.get("data") or {})["release"]))
        text = _unpacked(packed)
        document = json.loads(text)
        info, chart = document.get("info") or {}, document.get("chart") or {}
        hooks = document.get("hooks") or []
        _check_shape(info, chart.get("metadata") or {}, document.get("config") or {}, hooks)
        return Release(
            name=str(document["name"]),
            namespace=str(document.get("namespace") or ""),
            version=int(document["version"]),
            status=str(info.get("status") or ""),
            description=str(info.get("description") or ""),
            chart=chart.get("metadata") or {},
            config=document.get("config") or {},
            manifest=str(document.get("manifest") or ""),
            hooks=tuple(hooks),
            info=info,
            secret=name,
            text=text,
            stamp=stamp_of(secret),
        )
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UnreadableRecord(f"Secret '{name}' is no record of a release: {error}") from None
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadableRecord(f"Secret '{name}' is no record of a release: {error}") from None


def _check_shape(info: Any, metadata: Any, config: Any, hooks: Any) -> None:
    """What others read of a record without looking. Raises ValueError: whoever writes Secrets may write any."""
    runs = [hook.get("last_run") or {} for hook in hooks]
    events = [event for hook in hooks for event in hook.get("events") or []]
    mappings = all(isinstance(one, dict) for one in (info, metadata, config, *hooks, *runs))
    if not mappings or not isinstance(hooks, list) or not all(isinstance(event, str) for event in events):
        raise ValueError("info, chart, config or hooks are malformed")
    for one in (info, *runs):
        for field in ("first_deployed", "last_deployed", "deleted", "started_at", "completed_at"):
            _moment(one.get(field))


def latest(releases: Iterable[Release]) -> Release | None:
    """The one with the highest version."""
    return max(releases, key=lambda release: release.version, default=None)


def failed_record(release: Release, description: str) -> dict[str, Any]:
    """The change of a Secret that marks a pending release as failed, as Flux unlocks one (HR-60)."""
    document = json.loads(release.text)
    document["info"] = {**(document.get("info") or {}), "status": FAILED, "description": description}
    packed = base64.b64encode(gzip.compress(json.dumps(document, separators=(",", ":")).encode()))
    data = {"release": base64.b64encode(packed).decode()}
    return {"metadata": {"labels": {"status": FAILED}}, "data": data}


def _unpacked(packed: bytes) -> str:
    if not packed.startswith(b"\x1f\x8b\x08"):
        return packed.decode()  # Helm 2 packed nothing
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        data = file.read(MAX_RECORD + 1)
    if len(data) > MAX_RECORD:
        raise ValueError(f"it unpacks to more than {MAX_RECORD >> 20} MiB")
    return data.decode()


def _moment(value: Any) -> str:
    """As the API server keeps times: in seconds, in UTC."""
    from datetime import UTC, datetime

    if not value:
        return ""
    text = str(value)
    head, dot, tail = text.partition(".")
    if dot:  # nanoseconds are more than Python reads
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = head + tail[digits:]
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_decoder = json.JSONDecoder()


def _members(raw: str) -> dict[str, str]:
    """The members of a JSON object as they stand there; none of anything else."""
    found: dict[str, str] = {}
    at = _past(raw, 0, "{")
    while at and raw[at] == '"':
        key, at = _decoder.raw_decode(raw, at)
        start = _past(raw, at, ":")
        _, at = _decoder.raw_decode(raw, start)
        found[key] = raw[start:at]
        at = _past(raw, at, ",")
    return found


def _items(raw: str) -> list[str]:
    """The items of a JSON list as they stand there."""
    found: list[str] = []
    at = _past(raw, 0, "[")
    while at and raw[at] != "]":
        _, end = _decoder.raw_decode(raw, at)
        found.append(raw[at:end])
        at = _past(raw, end, ",")
    return found


def _past(raw: str, at: int, character: str) -> int:
    """Behind a character that comes next, spaces aside; 0 when another one does."""
    while raw[at].isspace():
        at += 1
    if raw[at] != character:
        return 0
    at += 1
    while raw[at].isspace():
        at += 1
    return at


def _object(parts: Mapping[str, str]) -> str:
    return "{" + ",".join(f'"{key}":{raw}' for key, raw in parts.items()) + "}"

"""The vocabulary in which `source.py` and `kustomize.py` declare the API: OpenAPI v3 schemas as plain dicts. Pure.

`tools/crds.py` turns the declarations into the CustomResourceDefinitions of `crds/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fluxless.api.kinds import Kind

Schema = dict[str, Any]

DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
SHORT_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$"
_DIGEST = r"^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$"
_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
_REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


@dataclass(frozen=True, slots=True)
class Version:
    """One served version of a kind."""

    name: str
    spec: Schema
    status: Schema
    columns: tuple[tuple[str, str, str], ...]
    """(name, JSON path, type)."""
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """A kind, what it is in one sentence, and its versions, the stored one first."""

    kind: Kind
    says: str
    versions: tuple[Version, ...]


AGE = ("Age", ".metadata.creationTimestamp", "date")
READY = ("Ready", '.status.conditions[?(@.type=="Ready")].status', "string")
STATUS = ("Status", '.status.conditions[?(@.type=="Ready")].message', "string")


def text(says: str = "", **limits: Any) -> Schema:
    """A string; `limits` as in OpenAPI (pattern, enum, default, minLength, maxLength, format)."""
    return _say({"type": "string", **limits}, says)


def flag(says: str = "", **limits: Any) -> Schema:
    """A boolean."""
    return _say({"type": "boolean", **limits}, says)


def number(says: str = "", **limits: Any) -> Schema:
    """A 64-bit integer."""
    return _say({"type": "integer", "format": "int64", **limits}, says)


def listing(items: Schema, says: str = "") -> Schema:
    """A list."""
    return _say({"type": "array", "items": items}, says)


def mapping(says: str = "") -> Schema:
    """Strings by string."""
    return _say({"type": "object", "additionalProperties": {"type": "string"}}, says)


def anything(says: str = "") -> Schema:
    """Any JSON value."""
    return _say({"x-kubernetes-preserve-unknown-fields": True}, says)


def record(
    fields: dict[str, Schema],
    says: str = "",
    *,
    required: tuple[str, ...] = (),
    rules: tuple[tuple[str, str], ...] = (),
) -> Schema:
    """An object. `rules` are CEL expressions with the message of their failure."""
    schema: Schema = {"type": "object", "properties": dict(sorted(fields.items()))}
    if required:
        schema["required"] = sorted(required)
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
    return _say(schema, says)


def reference(says: str = "") -> Schema:
    """A local object by name."""
    return record({"name": text("Name of the object.")}, says, required=("name",))


def conditions() -> Schema:
    """`status.conditions`."""
    return listing(
        record(
            {
                "lastTransitionTime": text("When status, reason or message last changed.", format="date-time"),
                "message": text("Why, in words.", maxLength=32768),
                "observedGeneration": number("The generation that this speaks of.", minimum=0),
                "reason": text("Why, in one word.", minLength=1, maxLength=1024, pattern=_REASON),
                "status": text("Whether it holds.", enum=["True", "False", "Unknown"]),
                "type": text("What this speaks of.", maxLength=316, pattern=_TYPE),
            },
            required=("lastTransitionTime", "message", "reason", "status", "type"),
        ),
        "What is known of the object.",
    )


def artifact(says: str, *, old: bool = False) -> Schema:
    """`status.artifact` (CM-25); the old versions had a checksum in place of the digest."""
    fields = {
        "digest": text("Digest of the file, as algorithm:checksum.", pattern=_DIGEST),
        "lastUpdateTime": text("When the file was stored.", format="date-time"),
        "metadata": mapping("What else is known of it."),
        "path": text("Where it lies in the store."),
        "revision": text("What it was made of."),
        "size": number("Bytes."),
        "url": text("Where it can be had."),
    }
    if old:
        fields["checksum"] = text("Digest of the file without its algorithm.")
        return record(fields, says, required=("path", "url"))
    return record(fields, says, required=("digest", "lastUpdateTime", "path", "revision", "url"))


def _say(schema: Schema, says: str) -> Schema:
    return {"description": says, **schema} if says else schema

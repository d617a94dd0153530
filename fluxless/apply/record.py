"""What we know of the last apply of one Kustomization, kept by the caller in the store.

Never needed for correctness: without it every object is dry-run and applied once more. It holds digests, no content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fluxless.apply.inventory import Inventory
from fluxless.kept import Malformed, listed, mapping, text, texts


@dataclass(frozen=True, slots=True)
class Entry:
    """One applied object. `mark` is the fingerprint of our ownership (see `fields.fingerprint`).

    `fleeting` is true for a Job that Kubernetes deletes once it has finished (KC-94).
    """

    version: str
    digest: str
    uid: str
    mark: str
    fleeting: bool = False

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        always = {"v": self.version, "digest": self.digest, "uid": self.uid, "mark": self.mark}
        return {**always, **({"fleeting": True} if self.fleeting else {})}

    @classmethod
    def from_json(cls, data: Any) -> Entry:
        """Read the stored form. Raises `Malformed`."""
        known = mapping(data)
        version, digest, uid, mark = (text(known.get(key)) for key in ("v", "digest", "uid", "mark"))
        return cls(version, digest, uid, mark, known.get("fleeting") is True)


@dataclass(frozen=True, slots=True)
class AppliedRecord:
    """`inputs` is the caller's digest of everything that the set was rendered from, `revision` the source's.

    `owner` is the (name, namespace) that the owner labels of the set say, commonMetadata included. `pending` names
    objects that an apply was about to create when the record was saved: after a crash they may exist although no
    inventory names them, so they are pruning candidates.
    """

    inputs: str = ""
    revision: str = ""
    owner: tuple[str, str] = ("", "")
    entries: Mapping[str, Entry] = field(default_factory=dict)
    pending: Inventory = field(default_factory=dict)

    @property
    def inventory(self) -> Inventory:
        """What was applied, in the order of that."""
        return {id_: entry.version for id_, entry in self.entries.items()}

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "inputs": self.inputs,
            "revision": self.revision,
            "owner": list(self.owner),
            "entries": {id_: entry.to_json() for id_, entry in self.entries.items()},
            "pending": dict(self.pending),
        }

    @classmethod
    def from_json(cls, data: Any) -> AppliedRecord:
        """Read the stored form; nothing is no record. Raises `Malformed`."""
        if not data:
            return cls()
        known = mapping(data)
        owner = [text(part) for part in listed(known.get("owner"))]
        if len(owner) != 2:
            raise Malformed("an owner that is no name and namespace")
        return cls(
            inputs=text(known.get("inputs")),
            revision=text(known.get("revision")),
            owner=(owner[0], owner[1]),
            entries={id_: Entry.from_json(entry) for id_, entry in mapping(known.get("entries")).items()},
            pending=texts(mapping(known.get("pending"))),
        )

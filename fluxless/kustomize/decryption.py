"""What of a Kustomization is encrypted, before and after the build (KC-21, KC-98), and who holds the keys.

Plain text lives in memory. It gets into no file, no blob, no log, no event and no message.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluxless.go_yaml import load
from fluxless.kustomize.beneath import Files, resolved
from fluxless.kustomize.generate import kustomization_file
from fluxless.render import sops
from fluxless.render.keys import Keys

DISABLED = "kustomize.toolkit.fluxcd.io/decrypt"


@dataclass(frozen=True, slots=True, repr=False)
class Decryption:
    """Decrypts for one Kustomization, with its keys."""

    keys: Keys

    async def inputs(self, files: Files, folder: Path) -> bool:
        """Put plain text in the place of what generators and patches read; whether there was any. Raises
        `DecryptionFailed`.
        """
        found = await asyncio.to_thread(_encrypted_inputs, files, folder)
        for file in found:
            plain = await sops.decrypt(file.data, file.form, self.keys, file.name)
            await asyncio.to_thread(files.write, file.path, plain)
        return bool(found)

    async def object(self, obj: dict[str, Any], what: str) -> dict[str, Any]:
        """The object in plain; the same one when nothing of it is encrypted. Raises `DecryptionFailed`."""
        metadata = obj.get("metadata") or {}
        if str((metadata.get("annotations") or {}).get(DISABLED, "")).lower() == "disabled":
            return obj
        if isinstance(obj.get("sops"), dict):
            obj = await sops.decrypt_object(obj, self.keys, what)
        if obj.get("kind") == "Secret" and isinstance(obj.get("data"), dict):
            return await self._secret(obj, what)
        return obj

    async def _secret(self, obj: dict[str, Any], what: str) -> dict[str, Any]:
        """Values of a Secret that are encrypted documents themselves, by the extension of their key."""
        changed: dict[str, str] = {}
        for key, value in obj["data"].items():
            if document := _document(key, value):
                plain = await sops.decrypt(*document, self.keys, f"{what}, key {key}")
                changed[key] = base64.b64encode(plain).decode()
        return obj | {"data": obj["data"] | changed} if changed else obj


MASK = "**SOPS**"
"""What stands for a value that nobody here can decrypt, as in Flux's CLI."""
SEALED = base64.b64encode(MASK.encode()).decode()
"""The same as a Secret's `data` holds it."""
FieldPath = tuple[str | int, ...]


def encrypted(obj: Any, path: FieldPath = ()) -> frozenset[FieldPath]:
    """The paths of all encrypted values below."""
    if isinstance(obj, str):
        return frozenset({path} if obj.startswith("ENC[") else ())
    items = obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list) else ()
    return frozenset(found for key, value in items if key != "sops" for found in encrypted(value, (*path, key)))


def masked(obj: dict[str, Any]) -> dict[str, Any]:
    """A Secret with marks in the place of its encrypted values; any other object as it is."""
    if obj.get("kind") != "Secret":
        return obj
    result = {key: value for key, value in obj.items() if key != "sops"}
    for field, stand_in in (("data", SEALED), ("stringData", MASK)):
        if isinstance(obj.get(field), dict):
            result[field] = {
                key: stand_in if "sops" in obj or _document(key, value) else value for key, value in obj[field].items()
            }
    return result


def _document(key: str, value: Any) -> tuple[bytes, str] | None:
    """A value of a Secret that is an encrypted document itself, and its format by the extension of its key."""
    try:
        data, form = base64.b64decode(str(value), validate=True), sops.format_of(key)
    except (binascii.Error, ValueError):
        return None
    return (data, form) if sops.is_encrypted(data, form) else None


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    name: str
    data: bytes
    form: str


def _encrypted_inputs(files: Files, folder: Path) -> list[_File]:
    found: list[_File] = []
    for path in sorted(set(_inputs(files, folder, set()))):
        data, form = files.read(path), sops.format_of(path.name)
        if sops.is_encrypted(data, form):
            found.append(_File(path, files.shown(path), data, form))
    return found


def _inputs(files: Files, folder: Path, seen: set[Path]) -> Iterator[Path]:
    """The files that secret generators and patches of a kustomization read, and those of the ones below it."""
    file = kustomization_file(files, folder)
    if file is None or folder in seen:
        return
    seen.add(folder)
    document = load(files.read(file), file.name)
    if not isinstance(document, dict):
        return
    for name in _names(document):
        path = resolved(folder / name)
        if path is not None and path.is_relative_to(files.root) and files.is_file(path):
            yield path
    for field in ("resources", "bases", "components"):
        for name in document.get(field) or []:
            path = resolved(folder / str(name))
            if path is not None and path.is_relative_to(files.root) and path.is_dir():
                yield from _inputs(files, path, seen)


def _names(document: dict[str, Any]) -> Iterator[str]:
    for generator in document.get("secretGenerator") or []:
        for field in ("files", "envs"):
            yield from (str(entry).rpartition("=")[2] for entry in generator.get(field) or [])
        if generator.get("env"):
            yield str(generator["env"])
    for patch in document.get("patches") or []:
        if isinstance(patch, dict) and patch.get("path"):
            yield str(patch["path"])

"""Which clouds' key services an encrypted file names: judged before sops, which goes by no proxy to its own machine.

Go's HTTP leaves a proxy out for 127.0.0.1 and localhost, so no proxy of ours can keep sops from them. sops' section is
read here for addresses alone, and more strictly than sops reads it: whatever sops would take from it is among the
fields that are found, and a section that sops itself would never write is refused. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from fluxless.auth.purposes import TOKEN_HOSTS, VAULT, host_of, listed

_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]+:(?:key|alias)/[A-Za-z0-9/_-]+")
"""Without a colon in the key: sops takes the longest region that it can."""
_FLAT = re.compile(rb"[\w.-]*__map_(vault_url|arn)[ \t]*[=:][ \t]*([!-~]*)\r?")
"""A line of a dotenv or ini file with such a field, without quotes around its name."""
_FIELDS = ("vault_url", "arn")


class NotAKeyService(ValueError):
    """The file names something else, or cannot be read as sops writes it. `next_step` says what to do."""

    def __init__(self, words: str, next_step: str = "encrypt the file again with sops") -> None:
        super().__init__(words)
        self.next_step = next_step


def judge(data: bytes, form: str) -> None:
    """Return if all Key Vaults and keys of AWS that the file names are such by their names. Raises `NotAKeyService`."""
    readers = {"yaml": _yaml, "dotenv": _flat, "ini": _flat}
    for field, value in readers.get(form, _json)(data):
        if field == "vault_url":
            host = host_of(value)
            if not host or value[:8].lower() != "https://" or not listed(VAULT, host):
                step = f"correct vault_url; if the host is one of yours, add vault=<host> to {TOKEN_HOSTS}"
                raise NotAKeyService(f"address {host or 'of its vault_url'} is not allowed: it is no Key Vault", step)
        elif not _ARN.fullmatch(value):
            step = "write it as arn:aws:kms:<region>:<account>:key/<id>"
            raise NotAKeyService("its arn is not allowed: it is none of a key of AWS KMS", step)


def _json(data: bytes) -> Iterator[tuple[str, str]]:
    """Every key counts, in any case and as often as it stands there, since Go takes it so."""
    try:
        top = json.loads(data.decode(errors="replace"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise NotAKeyService("it is no JSON that can be read") from None
    todo = [value for key, value in top if key.casefold() == "sops"] if isinstance(top, _Pairs) else []
    while todo:
        match todo.pop():
            case _Pairs() as pairs:
                for key, value in pairs:
                    if (field := key.casefold()) in _FIELDS and value is not None:
                        yield field, value if isinstance(value, str) else ""
                    todo.append(value)
            case list() as several:
                todo.extend(several)


class _Pairs(tuple[tuple[str, Any], ...]):
    """The keys of an object with their values, those that stand twice as well."""


@dataclass(slots=True)
class _Level:
    """A mapping, with the key whose value comes next or is being read, or a list."""

    mapping: bool
    key: str | None = None


def _yaml(data: bytes) -> Iterator[tuple[str, str]]:
    """By events, so that nothing is merged or replaced on the way: sops writes no aliases, merges or tags there."""
    levels: list[_Level] = []
    for event in _events(data):
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            levels.pop()
            if levels:
                levels[-1].key = None
            continue
        section = bool(levels) and levels[0].key == "sops"
        top = levels[-1] if levels else _Level(mapping=False)
        begins = not isinstance(event, yaml.ScalarEvent)
        if top.mapping and top.key is None:
            _check_key(event, strict=section or len(levels) == 1)
            top.key = event.value.casefold()
            continue
        if section and event.tag is not None:
            raise NotAKeyService("its section of sops has tags, which sops writes none of")
        if section and top.key in _FIELDS:
            yield str(top.key), "" if begins else event.value
        if begins:
            levels.append(_Level(isinstance(event, yaml.MappingStartEvent)))
        else:
            top.key = None


def _events(data: bytes) -> Iterator[Any]:
    """Those of values, of all documents."""
    try:
        for event in yaml.parse(data, Loader=yaml.CBaseLoader):
            if isinstance(event, yaml.AliasEvent):
                raise NotAKeyService("it has aliases, which sops writes none of")
            if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                yield event
    except (yaml.YAMLError, UnicodeError):
        raise NotAKeyService("it is no YAML that can be read") from None


def _check_key(event: Any, *, strict: bool) -> None:
    """Raises `NotAKeyService` for a key that sops would not write."""
    if not isinstance(event, yaml.ScalarEvent) or (strict and (event.tag is not None or event.value == "<<")):
        raise NotAKeyService("it has a key that sops does not write")


def _flat(data: bytes) -> Iterator[tuple[str, str]]:
    """Lines with such a field anywhere in them must be written plainly; so no quote or joined line hides one."""
    for line in data.split(b"\n"):
        low = line.lower()
        if any(f"__map_{field}".encode() in low for field in _FIELDS):
            found = _FLAT.fullmatch(line.strip(b" \t"))
            if found is None:
                raise NotAKeyService("a line that names a key service is not as sops writes it")
            yield found[1].decode(), found[2].decode()

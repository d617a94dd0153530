"""The values of a release: merged in order, and digested as Flux does (HR-71, HR-72). Pure.

The digest stands in `status.history`, where the real helm-controller left its own: it is of the bytes that Go's YAML
encoder writes, which ours are compared with in `tests/parity/valuesgo`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.go_yaml import load

Values = dict[str, Any]
EMPTY = f"sha256:{hashlib.sha256(b'').hexdigest()}"


class ValuesProblem(Problem):
    """The values cannot be used; the words name where they come from."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(Failure(FailureClass.VALIDATION, message, next_step=next_step))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Values:
    """Mappings into mappings, anything else replaced, `above` wins. Neither is changed."""
    result = dict(below)
    for key, value in above.items():
        known = result.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        result[key] = merged(known, value) if both else value  # type: ignore[arg-type]
    return result


def parsed(text: str, what: str) -> Values:
    """The mapping in a YAML document; nothing is an empty one. Raises `Problem` naming `what`."""
    found = load(text, what)
    if found is not None and not isinstance(found, dict):
        raise ValuesProblem(f"{what} holds no mapping", "write values as `key: value`")
    return found or {}


def digest(values: Mapping[str, Any]) -> str:
    """`sha256:<hex>` of the values; that of nothing when there are none."""
    return f"sha256:{hashlib.sha256(encoded(values)).hexdigest()}" if values else EMPTY


def encoded(values: Mapping[str, Any]) -> bytes:
    """YAML with sorted keys, byte for byte as Go writes it."""
    import yaml

    events = [
        yaml.StreamStartEvent(encoding=None),
        yaml.DocumentStartEvent(explicit=False),
        *_events(values),
        yaml.DocumentEndEvent(explicit=False),
        yaml.StreamEndEvent(),
    ]
    text: str = yaml.emit(events, Dumper=yaml.CSafeDumper, allow_unicode=True)
    return text.removesuffix("...\n").encode()


def _events(value: Any) -> Iterator[Any]:
    import yaml

    if isinstance(value, Mapping):
        yield yaml.MappingStartEvent(anchor=None, tag=None, implicit=True, flow_style=not value)
        for key in sorted(value, key=lambda each: str(each).encode()):
            yield _scalar(str(key))
            yield from _events(value[key])
        yield yaml.MappingEndEvent()
    elif isinstance(value, list | tuple):
        yield yaml.SequenceStartEvent(anchor=None, tag=None, implicit=True, flow_style=not value)
        for item in value:
            yield from _events(item)
        yield yaml.SequenceEndEvent()
    else:
        yield _scalar(value)


def _scalar(value: Any) -> Any:
    import yaml

    style = None
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int | float):
        text = _number(value)
    else:
        text = str(value)
        style = "|" if "\n" in text else None if _is_text(text) else '"'
    return yaml.ScalarEvent(anchor=None, tag=None, implicit=(True, True), value=text, style=style)


def _number(value: float) -> str:
    """As Go writes one that came through JSON: whole numbers of 64 bits as such, any other in its shortest form."""
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return str(value)
    value = float(value)
    if value.is_integer() and -(1 << 63) <= value < 1 << 64:
        return str(int(value))
    sign, digits, power = Decimal(repr(value)).normalize().as_tuple()
    size = len(digits) + int(power) - 1
    if -5 < size < 6:
        return repr(value)
    tail = "".join(map(str, digits[1:]))
    mantissa = f"{'-' if sign else ''}{digits[0]}{f'.{tail}' if tail else ''}"
    return f"{mantissa}e{'-' if size < 0 else '+'}{abs(size):02}"


_NOT_TEXT = {
    *("", "~", "null", "Null", "NULL"),
    *("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"),
    *("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"),
    *(".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"),
}
_NUMBER = re.compile(
    r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*|(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?)\Z"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z"
    r"|(?P<date>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})([Tt ].*)?\Z"
)


def _is_text(text: str) -> bool:
    """Whether the plain word would be read as text again."""
    found = _NUMBER.match(text)
    if found is None or not found["date"]:
        return found is None and text not in _NOT_TEXT
    try:
        date(*map(int, found["date"].split("-")))
    except ValueError:
        return True
    return False

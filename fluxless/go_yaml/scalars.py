"""One scalar: what Go makes of it by its tag and its text, as a value, as a key and in a field of text. Pure."""

from __future__ import annotations

import base64
import binascii
import codecs
import math
import re
import struct
from datetime import date
from decimal import Decimal
from typing import Any

Scalar = str | int | float | bool | None
_TAGS = "tag:yaml.org,2002:"
INT64 = range(-(1 << 63), 1 << 63)
_WORDS: dict[str, Scalar] = {
    word: value
    for value, plain_words in ((True, ("yes", "true", "on")), (False, ("no", "false", "off")), (None, ("null",)))
    for plain_word in plain_words
    for word in (plain_word, plain_word.capitalize(), plain_word.upper())
}
_WORDS |= {"y": True, "Y": True, "n": False, "N": False, "~": None, "": None}
_WORDS |= {f"{sign}{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
_WORDS |= dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan)
_HINTS = frozenset("+-.0123456789yYnNtTfFoO~")
"""How a plain scalar begins that may be more than text."""
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[1-9][0-9]*|0)\Z")
_LONGEST_INTEGER = 70
"""Characters of 64 bits in base 2, with sign and prefix; anything longer is out of range."""
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_POINT_FIRST = re.compile(r"\.[0-9](?:_?[0-9])*(?:[eE][-+]?[0-9](?:_?[0-9])*)?\Z")
_TIMESTAMP = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2})"
    r"(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})"
    r"| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?)?\Z"
)


class NotThatKind(ValueError):
    """A scalar that Go refuses; the words hold no value, which may be a secret."""


def plain(text: str) -> Scalar:
    """A scalar without quotes and tag."""
    if text and text[0] not in _HINTS:
        return text
    if text in _WORDS:
        return _WORDS[text]
    number = _number(text)
    return text if number is None else number


def tagged(tag: str, text: str) -> Scalar:
    """A scalar with a tag; tags that Go does not know make it text. Raises `NotThatKind`."""
    kind = tag.removeprefix(_TAGS) if tag.startswith(_TAGS) else ""
    if kind == "binary":
        try:
            data = base64.b64decode(text.replace("\r", "").replace("\n", "").encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise NotThatKind("!!binary value contains invalid base64 data") from None
        return data.decode(errors=_EACH_BYTE)
    if kind == "timestamp" and is_date(text):
        return text
    value = plain(text) if kind in _KINDS else text
    if kind in _KINDS and not _KINDS[kind](value):
        raise NotThatKind(f"a value is no !!{kind}")
    return float(value) if kind == "float" and value is not None else value


_KINDS: dict[str, Any] = {
    "null": lambda value: value is None,
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, float) or (not isinstance(value, bool | str | None) and value in INT64),
    "timestamp": lambda value: False,
}


def as_value(scalar: Scalar) -> Scalar:
    """As it comes out of JSON: a whole number of 64 bits is an integer however it was written. Raises `NotThatKind`."""
    if isinstance(scalar, float):
        if not math.isfinite(scalar):
            raise NotThatKind("infinity and NaN are no values of JSON")
        if not scalar.is_integer() or abs(scalar) >= 1e21:
            return scalar
        whole = int(Decimal(repr(scalar)))  # Go writes the shortest digits and fills up with zeros
        return whole if whole in INT64 else scalar
    return float(scalar) if isinstance(scalar, int) and scalar not in INT64 else scalar


def as_key(scalar: Scalar) -> str:
    """The key of a mapping, which is text in JSON. Raises `NotThatKind`."""
    if scalar is None or (isinstance(scalar, int) and scalar not in INT64):
        raise NotThatKind(f"{'null' if scalar is None else 'a number of more than 64 bits'} cannot be a key")
    return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(found := _text(scalar), found)


def text_of(value: Any) -> str:
    """What a field of type string makes of a loaded scalar: `1.10` without quotes is 1.1. Empty for anything else."""
    return "" if value is None or isinstance(value, dict | list) else _text(value)


def _text(scalar: Any) -> str:
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    return general(scalar, 32) if isinstance(scalar, float) else str(scalar)


def general(number: float, bits: int = 64) -> str:
    """The shortest digits that give the number again, in Go's format `g`; of 32 bits on request."""
    if bits == 32:
        number = _single(number)
    if not math.isfinite(number):
        return str(number)
    exact = Decimal(_shortest(number) if bits == 32 else repr(number)).normalize()
    sign, digits, power = exact.as_tuple()
    size = len(digits) + int(power) - 1
    if -5 < size < 6:
        return f"{exact:f}"
    tail = "".join(map(str, digits[1:]))
    return f"{'-' if sign else ''}{digits[0]}{f'.{tail}' if tail else ''}e{'-' if size < 0 else '+'}{abs(size):02}"


def is_date(text: str) -> bool:
    """Whether Go takes it for a point in time."""
    found = _TIMESTAMP.match(text)
    try:
        return found is not None and bool(date(*map(int, found["date"].split("-"))))
    except ValueError:
        return False


def _number(text: str) -> int | float | None:
    if text[0] == ".":
        found = text.replace("_", "") if _POINT_FIRST.match(text) else ""
        return _finite(found) if found else None
    text = text.replace("_", "")
    if len(text) <= _LONGEST_INTEGER and _INTEGER.match(text):
        sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.removeprefix("+"))
        octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
        whole = sign * int(f"0o{digits}" if octal else digits, 0)
        if whole in INT64 or (text[0].isdigit() and whole < 1 << 64):
            return whole
    return _finite(text) if _FLOAT.match(text) else None


def _finite(text: str) -> float | None:
    """Out of range is text."""
    number = float(text)
    return number if math.isfinite(number) else None


def _single(number: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


def _shortest(number: float) -> str:
    texts = (f"{number:.{digits}e}" for digits in range(9))
    return next(text for text in texts if _single(float(text)) == number)


_EACH_BYTE = "fluxless.each-byte"
codecs.register_error(_EACH_BYTE, lambda error: ("�", getattr(error, "start", 0) + 1))

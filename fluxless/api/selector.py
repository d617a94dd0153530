"""Label selectors in the text form that kubectl takes."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

_TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<no>[^\s,=!()]+)"
    r"|(?P<key>[^\s,=!()]+)\s*"
    r"(?:(?P<op>==|=|!=)\s*(?P<value>[^\s,]*)|\s*(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?)\s*(?:,|$)"
)


def selects(selector: str, present: Mapping[str, str]) -> bool:
    """A label selector, as kubectl takes it. Raises ValueError for one that cannot be read."""
    return all(_holds(term, present) for term in _terms(selector))


@functools.lru_cache(maxsize=1024)
def _terms(selector: str) -> tuple[re.Match[str], ...]:
    terms: list[re.Match[str]] = []
    position = 0
    while position < len(selector):
        match = _TERM.match(selector, position)
        if match is None or match.end() == position:
            raise ValueError(f"{selector!r} is no label selector")
        position = match.end()
        terms.append(match)
    return tuple(terms)


def _holds(match: re.Match[str], present: Mapping[str, str]) -> bool:
    if match["absent"]:
        return match["no"] not in present
    value = present.get(match["key"])
    if match["set"]:
        among = value in {item.strip() for item in match["values"].split(",")}
        return among if match["set"] == "in" else not among
    if match["op"]:
        return (value == match["value"]) == (match["op"] != "!=")
    return value is not None

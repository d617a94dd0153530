"""What a CEL expression may cost over the data it is about to see, told before it is evaluated. Pure.

The library evaluates in one go and lets nothing else run meanwhile. It stops loops after 10,000 rounds, but a round may
look for a pattern in a megabyte, and a text may grow without end (`.replace('a', 'aaaa…')`, again and again). So the
worst case is reckoned from the text of the expression and the sizes of the data: rounds times calls times the longest
text. Honest expressions are a thousandth of the bound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fluxless.limits import CEL_ROUNDS
from fluxless.patterns import InvalidPattern, regex

_LITERAL = re.compile(
    r"""//[^\n]*|[rR]("{3}|'{3}|"|')(.*?)\1|("{3}|'{3}|"|')((?:\\.|[^\\])*?)\3""",
    re.DOTALL,
)
"""A comment, a raw text, or one with escapes: what stands in them is no part of the expression."""
_LOOP = re.compile(
    r"\.\s*(?:map|filter|all|exists|exists_one|existsOne|transformList|transformMap|optMap|optFlatMap)\s*\("
)
_MATCHES = re.compile(r"\bmatches\s*\(")
_LITERAL_REPLACE = re.compile(r"\breplace\s*\(\s*§([0-9]+)§\s*,\s*§([0-9]+)§")
_LITERAL_PATTERN = re.compile(r"\bmatches\s*\(\s*(?:[^(),]*,\s*)?§([0-9]+)§\s*\)")
_SEARCH = re.compile(r"\b(?:contains|indexOf|lastIndexOf|split)\s*\(\s*(§)?")
_VALUE = 300.0
"""Nanoseconds that a value of the data costs, to be measured and to be made a value of CEL."""
_SMALL = 200
"""Instructions of a pattern that RE2 turns into a table, which reads a character in some nanoseconds."""
MANY = 60
"""So many times anything that doubles is too much, and no number grows beyond what a float holds."""
ENDLESS = 1e100
_LARGEST = 5000
"""Instructions that are assumed of a pattern which is not known yet."""


class Shape:
    """What an expression does: how often it loops, what makes texts grow, and what it looks for."""

    def __init__(self, text: str) -> None:
        literals: list[str] = []

        def numbered(found: re.Match[str]) -> str:
            if found[0].startswith("//"):
                return " "
            literals.append(found[2] if found[1] else found[4])
            return f"§{len(literals) - 1}§"

        bare = _LITERAL.sub(numbered, text)
        self.loops = len(_LOOP.findall(bare))
        self.calls = len(re.findall(r"[(<>=+!?\[]|\bin\b", bare)) + 1
        self.items = bare.count(",") + 1
        self.longest = max((len(literal) for literal in literals), default=0)
        self.splits = "split" in bare
        fixed = [(len(literals[int(old)]), len(literals[int(new)])) for old, new in _LITERAL_REPLACE.findall(bare)]
        self.factor = 1.0
        for old, new in fixed:
            grown = max(1.0, (new + 1) / max(old, 1)) if new > old else 1.0
            self.factor = min(self.factor * grown, ENDLESS)
        self.squares = len(re.findall(r"\breplace\s*\(", bare)) - len(fixed)
        self.gathers = len(re.findall(r"\b(?:join|format)\s*\(", bare))
        self.sums = bare.count("+")
        self.maps = bool(re.search(r"\bmap\s*\(", bare))
        known = [_size(literals[int(number)]) for number in _LITERAL_PATTERN.findall(bare)]
        self.patterns = [*known, *[_LARGEST] * (len(_MATCHES.findall(bare)) - len(known))]
        searches = _SEARCH.findall(bare)
        self.searches = len(searches)
        self.unknown = searches.count("")


class Budget:
    """What several evaluations may cost together. `whose` says which, in words that a message ends with; `above` is a
    budget of more of them, which pays as well.
    """

    def __init__(self, limit: float, whose: str, above: Budget | None = None) -> None:
        self.left, self._whose, self._above = limit, whose, above

    def exhausted(self) -> str:
        """Whose budget is used up, or ""."""
        if self.left <= 0:
            return self._whose
        return self._above.exhausted() if self._above is not None else ""

    def pay(self, price: float, reading: float) -> str:
        """Take the price of an evaluation. What is too dear is not evaluated, ends the budget and costs those above it
        the reading of the data only: the answer is then whose budget it was, else "".
        """
        if price > self.left:
            self.left = 0
            self._charge(reading)
            return self._whose
        if self._above is not None and (whose := self._above.pay(price, reading)):
            return whose
        self.left -= price
        return ""

    def _charge(self, reading: float) -> None:
        if self._above is not None:
            self._above.left -= reading
            self._above._charge(reading)


def cost(shape: Shape, variables: Mapping[str, Any]) -> tuple[float, float]:
    """Nanoseconds of an evaluation in the worst case, and of these what reading the data costs."""
    longest, items, values = _extent(variables)
    longest = max(longest, shape.longest, 1)
    items = max(items, shape.items, longest if shape.splits else 1)
    size = float(longest) * shape.factor
    for _ in range(min(shape.gathers, MANY)):
        size = min(size * items, ENDLESS)
    size *= 2.0 ** min(shape.sums, MANY) if shape.maps else shape.sums + 1
    for _ in range(min(shape.squares, MANY)):
        size = min(size * max(size, 1.0), ENDLESS)
    rounds = float(CEL_ROUNDS) if shape.loops >= MANY else min(float(CEL_ROUNDS), float(items) ** shape.loops)
    look = sum(10.0 if pattern <= _SMALL else 20.0 * pattern for pattern in shape.patterns)
    look += 10.0 * shape.searches + size / 32 * shape.unknown  # a text of 'a' looked for in a text of 'a'
    reading = values * _VALUE
    return reading + rounds * size * (shape.calls + look), reading


def _extent(variables: Mapping[str, Any]) -> tuple[int, int, int]:
    """The longest text, the largest collection and the number of values of plain JSON data."""
    longest = items = values = 0
    stack: list[Any] = [variables]
    while stack:
        found = stack.pop()
        values += 1
        if isinstance(found, str):
            longest = max(longest, len(found))
        elif isinstance(found, Mapping):
            items = max(items, len(found))
            longest = max(longest, max((len(str(key)) for key in found), default=0))
            stack.extend(found.values())
        elif isinstance(found, list | tuple):
            items = max(items, len(found))
            stack.extend(found)
    return longest, items, values


def _size(pattern: str) -> int:
    try:
        return regex(pattern).size
    except InvalidPattern:  # it says so itself when it is evaluated
        return 1

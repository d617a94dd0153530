"""Patterns that users write, matched in time linear in the text: the only import of RE2, whose syntax is Go's.

Python's own `re` goes back and tries again: `(x+x+)+y` holds a worker for ever. Patterns are bounded as well, since a
small one may stand for a large machine (`[ab]{1000}`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.limits import (
    IGNORE_LINES,
    IGNORE_MEMORY,
    IGNORE_SIZE,
    PATTERN_LENGTH,
    PATTERN_MEMORY,
    PATTERN_SECONDS,
)

_GO = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
    "pattern too large - compile failed": "expression too large",
}
_NOTHING = r"[^\x00-\x{10FFFF}]"


class InvalidPattern(ValueError):
    """A pattern that cannot be used; the words are those of Go."""


class TooMuchToMatch(Problem):
    """Patterns that take too long for what they are matched with, or are too many."""

    def __init__(self, message: str, next_step: str = "write simpler patterns, or fewer") -> None:
        super().__init__(Failure(FailureClass.VALIDATION, message, next_step=next_step))


class Pattern:
    """A compiled pattern."""

    def __init__(
        self, text: str, *, longest: bool = False, length: int = PATTERN_LENGTH, memory: int = PATTERN_MEMORY
    ) -> None:
        import re2

        options = re2.Options()
        options.log_errors, options.max_mem, options.longest_match = False, memory, longest
        if len(text) > length:
            raise InvalidPattern(f"error parsing regexp: it has more than {length} characters")
        try:
            self._compiled: Any = re2.compile(_bytes(text), options)
        except re2.error as error:
            raise InvalidPattern(f"error parsing regexp: {_words(error)}") from None

    @property
    def size(self) -> int:
        """How many instructions it stands for."""
        return int(self._compiled.programsize)

    def found_in(self, text: str) -> bool:
        """Whether some part of the text matches."""
        return self._compiled.search(_bytes(text)) is not None

    def matches(self, text: str) -> bool:
        """Whether the whole text does."""
        return self._compiled.fullmatch(_bytes(text)) is not None

    def prefix(self, text: str) -> str | None:
        """The part from the beginning of the text that matches, or None."""
        found = self._compiled.match(_bytes(text))
        return None if found is None else _text(found.group())

    def captures(self, text: str) -> dict[str, str] | None:
        """The named groups when the whole text matches, else None."""
        found = self._compiled.fullmatch(_bytes(text))
        return None if found is None else {_text(name): _text(part) for name, part in found.groupdict().items()}

    def among(self, texts: Iterable[str], *, whole: bool = False) -> list[str]:
        """Those in which it is found, or that match as a `whole`; blocking. Raises `TooMuchToMatch` after
        `PATTERN_SECONDS`.
        """
        fits = self.matches if whole else self.found_in
        found, until = [], time.monotonic() + PATTERN_SECONDS
        for text in texts:
            if time.monotonic() > until:
                raise TooMuchToMatch(f"the pattern takes longer than {PATTERN_SECONDS} s for all names")
            if fits(text):
                found.append(text)
        return found


@lru_cache(maxsize=256)
def regex(text: str) -> Pattern:
    """A regular expression of a user. Raises `InvalidPattern`."""
    return Pattern(text)


@lru_cache(maxsize=256)
def glob(text: str, *, stars: bool = False) -> Pattern:
    """A glob over paths: of Go's `filepath.Match`, or with `stars` of doublestar (`**`, `{a,b}`). Raises
    `InvalidPattern`.
    """
    return Pattern("(?s)" + "".join(_paths(text, stars)))


@lru_cache(maxsize=256)
def shell(text: str, *, longest: bool = False) -> Pattern:
    """A glob in which `*` also matches `/`; its `prefix` is the shortest, or the longest. Raises `InvalidPattern`."""
    return Pattern("(?s)" + "".join(_shell(text)), longest=longest)


def _shell(text: str) -> Iterable[str]:
    at = 0
    while at < len(text):
        piece, at = {"*": (".*?", at + 1), "?": (".", at + 1)}.get(text[at]) or _one(text, at)
        yield piece


def _paths(text: str, stars: bool) -> Iterable[str]:
    at = depth = 0
    ends = ("", "/", ",", "}") if stars else ()
    while at < len(text):
        alone = text[at - 1 : at] in ("", "/", ",", "{")  # whether a part of the path begins here
        if stars and alone and text.startswith("**/", at):
            piece, at = "(?:.*/)?", at + 3
        elif stars and alone and text.startswith("**", at) and text[at + 2 : at + 3] in ends:
            piece, at = ".*", at + 2
        elif stars and text.startswith("/**", at) and text[at + 3 : at + 4] in ("", ",", "}"):
            piece, at = "(?:/.*)?", at + 3
        elif text[at] == "*":
            piece, at = "[^/]*", at + 1
        elif text[at] == "?":
            piece, at = "[^/]", at + 1
        elif stars and text[at] == "{":
            piece, at, depth = "(?:", at + 1, depth + 1
        elif depth and text[at] in ",}":
            piece, depth = ("|", depth) if text[at] == "," else (")", depth - 1)
            at += 1
        else:
            piece, at = _one(text, at, "^!" if stars else "^")
        yield piece
    if depth:
        raise InvalidPattern("syntax error in pattern")


def _one(text: str, at: int, negations: str = "^") -> tuple[str, int]:
    """One character, escaped or of a class, and the place behind it."""
    if text[at] == "[":
        return _class(text, at + 1, negations)
    at += text[at] == "\\"
    if at == len(text):
        raise InvalidPattern("syntax error in pattern")
    return re.escape(text[at]), at + 1


def _class(text: str, at: int, negations: str) -> tuple[str, int]:
    """`[a-z]` or `[^a-z]` from behind its bracket, as Go's `filepath.Match` reads it."""
    negated = text[at : at + 1] in set(negations)
    at += negated
    ranges: list[str] = []
    begun = False
    while not begun or text[at : at + 1] != "]":
        begun = True
        low, at = _bound(text, at)
        high = low
        if text[at : at + 1] == "-":
            high, at = _bound(text, at + 1)
        if low <= high:  # an empty range matches nothing, and is no error
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    if not ranges:
        return ("." if negated else _NOTHING), at + 1
    return f"[{'^' if negated else ''}{''.join(ranges)}]", at + 1


def _bound(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] in {"", "-", "]"}:
        raise InvalidPattern("syntax error in pattern")
    at += text[at] == "\\"
    if at + 1 >= len(text):
        raise InvalidPattern("syntax error in pattern")
    return text[at], at + 1


@dataclass(frozen=True, slots=True)
class _Line:
    """One line: whether it leaves out or takes in again, and what it matches, by a name and by the folder above."""

    leaves_out: bool
    pattern: Pattern
    by_folder: Pattern | None


class IgnoreRules:
    """Lines of gitignore; what Git would discard matches nothing. Raises `TooMuchToMatch`."""

    def __init__(self, lines: Sequence[str]) -> None:
        if len(lines) > IGNORE_LINES or sum(map(len, lines)) > IGNORE_SIZE:
            words = f"there are more than {IGNORE_LINES} ignore patterns, or more than {IGNORE_SIZE >> 10} KiB of them"
            raise TooMuchToMatch(words, "write fewer lines into .sourceignore, .helmignore and spec.ignore")
        self._any, self._lines = _compiled(tuple(lines))
        self._spent = 0.0

    def match(self, path: str) -> bool:
        """Whether they leave the file out; blocking. Raises `TooMuchToMatch` after `PATTERN_SECONDS` of all files."""
        began = time.perf_counter()
        found = (self._any is None or self._any.found_in(path)) and self._last(path)
        self._spent += time.perf_counter() - began
        if self._spent > PATTERN_SECONDS:
            words = f"the ignore patterns take longer than {PATTERN_SECONDS} s for all files"
            raise TooMuchToMatch(words, "write simpler patterns into .sourceignore, .helmignore and spec.ignore")
        return found

    def _last(self, path: str) -> bool:
        """The last line that means the file itself wins, else the last one that means a folder above it."""
        by_folder: bool | None = None
        for line in reversed(self._lines):
            if line.pattern.found_in(path):
                return line.leaves_out
            if by_folder is None and line.by_folder is not None and line.by_folder.found_in(path):
                by_folder = line.leaves_out
        return bool(by_folder)


@lru_cache(maxsize=64)
def _compiled(lines: tuple[str, ...]) -> tuple[Pattern | None, list[_Line]]:
    """The lines, and one pattern that finds what any of them means: most files are left in by a single look."""
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    kept: list[_Line] = []
    expressions: list[str] = []
    for line in lines:
        try:
            expression, leaves_out = GitIgnoreSpecPattern.pattern_to_regex(line)
            if expression is None:
                continue
            whole, folder = expression, ""
            if whole.endswith(_OR_FOLDER):
                whole, folder = f"{whole.removesuffix(_OR_FOLDER)}$", f"{whole.removesuffix(_OR_FOLDER)}/"
            elif _FOLDER in whole:
                whole, folder = _NOTHING, whole.replace(_FOLDER, "/")
            kept.append(_Line(bool(leaves_out), _of_line(whole), _of_line(folder) if folder else None))
        except ValueError:  # as Git does
            continue
        expressions.append(f"(?:{expression.replace(_FOLDER, '/')})")
    try:
        return _of_line("|".join(expressions)), kept
    except InvalidPattern:  # too large in one
        return None, kept


_FOLDER = "(?P<ps_d>/)"
_OR_FOLDER = f"(?:{_FOLDER}|$)"
"""How pathspec marks that a folder above the file matched."""


def _of_line(text: str) -> Pattern:
    return Pattern(text, length=8 * IGNORE_SIZE, memory=IGNORE_MEMORY)


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")  # a name on disk may be no UTF-8; its characters keep their number


def _words(error: Exception) -> str:
    said = error.args[0]
    kind, _, part = (said.decode(errors="replace") if isinstance(said, bytes) else str(said)).partition(": ")
    return f"{_GO.get(kind, kind)}: `{part}`"


def _text(part: bytes | str) -> str:
    return part if isinstance(part, str) else part.decode()

"""Semantic versions and ranges as Masterminds/semver v3 reads them, which Flux uses for `spec.ref.semver`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering

_VERSION = re.compile(
    r"^v?(0|[0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?$", re.ASCII
)
_TERM = re.compile(
    r"\s*(=|!=|>=|=>|<=|=<|>|<|~>|~|\^)?\s*"
    r"v?([0-9]+|[xX*])(?:\.([0-9]+|[xX*]))?(?:\.([0-9]+|[xX*]))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\s*",
    re.ASCII,
)
_HYPHEN = re.compile(r"\s*(\S+)\s+-\s+(\S+)\s*")


@total_ordering
@dataclass(frozen=True)
class Version:
    """A version; missing parts are zero, and build metadata plays no part in the order."""

    major: int
    minor: int = 0
    patch: int = 0
    prerelease: str = ""

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """Read `1.2.3`, `v1.2`, `1.2.3-rc.1+build`; None for anything else."""
        match = _VERSION.match(text)
        if match is None:
            return None
        return cls(int(match[1]), int(match[2] or 0), int(match[3] or 0), match[4] or "")

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Without the prerelease."""
        return self.major, self.minor, self.patch

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[tuple[int, int, int], int, tuple[tuple[int, int, str], ...]]:
        parts = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease.split(".") if part
        )
        return self.numbers, 0 if self.prerelease else 1, parts


@dataclass(frozen=True)
class _Term:
    """One comparison. `given` is how many of the three numbers stand there; the others are wildcards."""

    operator: str
    version: Version
    given: int

    def holds(self, version: Version) -> bool:
        if version.prerelease and not self.version.prerelease and self.operator != "!=":
            return False  # prereleases only count where a range names one
        if self.operator == "!=":
            return not self._equal(version)
        return self._compare(version)

    def _equal(self, version: Version) -> bool:
        if self.given < 3:
            return version.numbers[: self.given] == self.version.numbers[: self.given]
        return version == self.version

    def _compare(self, version: Version) -> bool:
        bound = self._bound()
        match self.operator:
            case "" | "=":
                return self._equal(version)
            case ">":
                return version >= bound if self.given < 3 else version > self.version
            case ">=":
                return version >= self.version
            case "<":
                return version < self.version
            case "<=":
                return version < bound if self.given < 3 else version <= self.version
            case "~":
                return self.given == 0 or self.version <= version < self._tilde()
            case _:
                return self.given == 0 or self.version <= version < self._caret()

    def _bound(self) -> Version:
        """The first version behind all that the wildcards stand for."""
        major, minor, _ = self.version.numbers
        return Version(major + 1) if self.given == 1 else Version(major, minor + 1)

    def _tilde(self) -> Version:
        major, minor, _ = self.version.numbers
        return Version(major + 1) if self.given == 1 else Version(major, minor + 1)

    def _caret(self) -> Version:
        major, minor, patch = self.version.numbers
        if major > 0 or self.given == 1:
            return Version(major + 1)
        if minor > 0 or self.given == 2:
            return Version(0, minor + 1)
        return Version(0, 0, patch + 1)


_SAME = {"=>": ">=", "=<": "<=", "~>": "~"}


@dataclass(frozen=True)
class Constraint:
    """Alternatives (`||`) of terms that must all hold (`,` or a blank)."""

    alternatives: tuple[tuple[_Term, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read a range such as `>=1.2 <2.0`, `~1.2`, `1.x || ^3`, `1.0 - 2.0`. Raises ValueError."""
        return cls(tuple(_terms(part, text) for part in text.split("||")))

    def matches(self, version: Version) -> bool:
        """Whether the version is in the range. A prerelease is only when the range names one."""
        return any(all(term.holds(version) for term in terms) for terms in self.alternatives)


def _terms(part: str, whole: str) -> tuple[_Term, ...]:
    hyphen = _HYPHEN.fullmatch(part)
    if hyphen is not None:
        part = f">={hyphen[1]}, <={hyphen[2]}"
    terms: list[_Term] = []
    for piece in part.split(","):
        position = 0
        while position < len(piece) or position == 0:
            match = _TERM.match(piece, position)
            if match is None or match.end() == position:
                raise ValueError(f"improper constraint: {whole}")
            terms.append(_term(match))
            position = match.end()
    return tuple(terms)


def _term(match: re.Match[str]) -> _Term:
    numbers: list[int] = []
    for group in (match[2], match[3], match[4]):
        if group is None or group in "xX*":
            break
        numbers.append(int(group))
    operator = _SAME.get(match[1] or "", match[1] or "")
    padded = [*numbers, 0, 0, 0][:3]
    if not numbers and operator in {"", "=", ">=", "<="}:
        operator = "~"
    return _Term(operator, Version(padded[0], padded[1], padded[2], match[5] or ""), len(numbers))


def highest(tags: Iterable[str], constraint: Constraint) -> str | None:
    """The tag with the highest version in the range, or None. Tags that are no versions do not count."""
    found = [(version, tag) for tag in tags if (version := Version.parse(tag)) and constraint.matches(version)]
    return max(found)[1] if found else None

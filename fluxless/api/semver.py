"""Semantic versions and ranges as Masterminds/semver v3 reads them, which Flux uses for `spec.ref.semver`. Pure.

`source/` calls it to choose a tag. The quirks of the model are kept: a prerelease counts only when some term beside it
names one, `!=` included; `^*` means 0.0.0 alone and `<=*` means 0.0.x.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering

LONGEST_VERSION = 256
LONGEST_RANGE = 512
MOST_ALTERNATIVES = 32
_LIMIT = 2**64
_IDS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:-({_IDS}))?(?:\+{_IDS})?")
_NUMBER = r"[0-9]+|[xX*]"
_TERM = re.compile(
    r"(=|!=|>|<|>=|=>|<=|=<|~|~>|\^|)"
    rf"v?({_NUMBER})(?:\.({_NUMBER}))?(?:\.({_NUMBER}))?(?:-({_IDS}))?(?:\+{_IDS})?"
)
_ANY = rf"v?[0-9xX*]+(?:\.[0-9xX*]+){{0,2}}(?:-{_IDS})?(?:\+{_IDS})?"
_HYPHEN = re.compile(rf"\s*({_ANY})\s+-\s+({_ANY})\s*", re.ASCII)
_OPERATOR_GAP = re.compile(r"([=!<>~^])\s+(?=[v0-9xX*])", re.ASCII)
_AND = re.compile(r"\s*,\s*|\s+", re.ASCII)
_SAME = {"": "=", "=>": ">=", "=<": "<=", "~>": "~"}


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version; missing parts are zero, and build metadata plays no part in the order."""

    major: int
    minor: int = 0
    patch: int = 0
    prerelease: str = ""

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """Read `1.2.3`, `v1.2`, `01.2.3-rc.1+build`; None for anything else."""
        match = _VERSION.fullmatch(text) if len(text) <= LONGEST_VERSION else None
        if match is None:
            return None
        major, minor, patch = (int(match[part] or 0) for part in (1, 2, 3))
        prerelease = match[4] or ""
        padded = any(part.isdigit() and part != "0" and part[0] == "0" for part in prerelease.split("."))
        if padded or max(major, minor, patch) >= _LIMIT:
            return None
        return cls(major, minor, patch, prerelease)

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Without the prerelease."""
        return self.major, self.minor, self.patch

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[tuple[int, int, int], bool, list[tuple[bool, int, str]]]:
        parts = self.prerelease.split(".") if self.prerelease else []
        keys = [(False, int(part), "") if part.isdigit() and int(part) < _LIMIT else (True, 0, part) for part in parts]
        return self.numbers, not parts, keys


@dataclass(frozen=True, slots=True)
class _Term:
    """One comparison. `given` is how many of the three numbers stand there; the others are wildcards."""

    operator: str
    version: Version
    given: int

    @classmethod
    def parse(cls, text: str) -> _Term:
        """Read `>=1.2`; what follows the first wildcard does not count. Raises ValueError."""
        match = _TERM.fullmatch(text)
        if match is None:
            raise ValueError(text)
        numbers = [match[part] for part in (2, 3, 4)]
        given = next((at for at, number in enumerate(numbers) if number is None or number in "xX*"), 3)
        prerelease = f"-{match[5]}" if match[5] else ""
        version = Version.parse(".".join([*numbers[:given], *"000"][:3]) + prerelease)
        if version is None:
            raise ValueError(text)
        return cls(_SAME.get(match[1], match[1]), version, given)

    def holds(self, version: Version) -> bool:
        """Whether a version passes, prerelease or not."""
        bound, given = self.version, self.given
        shared = 1 if given == 1 else 2
        match self.operator:
            case "=":
                return version == bound if given == 3 else self._tilde(version)
            case "!=" if given in {1, 2}:
                differ = given == 2 and version.prerelease != bound.prerelease
                return differ or version.numbers[:given] != bound.numbers[:given]
            case "!=":
                return version != bound
            case ">" if given in {1, 2}:
                return version.numbers[:given] > bound.numbers[:given]
            case ">":
                return version > bound
            case ">=":
                return version >= bound
            case "<":
                return version < bound
            case "<=":
                return version <= bound if given == 3 else version.numbers[:shared] <= bound.numbers[:shared]
            case "~":
                return self._tilde(version)
            case _:
                return version >= bound and self._caret(version)

    def _tilde(self, version: Version) -> bool:
        shared = 1 if self.given == 1 else 2
        everything = self.version.numbers == (0, 0, 0) and self.given in {0, 3}
        return version >= self.version and (everything or version.numbers[:shared] == self.version.numbers[:shared])

    def _caret(self, version: Version) -> bool:
        """Up to the next change of the first number that is not zero."""
        bound = self.version.numbers
        if bound[0] > 0 or self.given == 1:
            shared = 1
        elif bound[1] > 0 or self.given == 2:
            shared = 2
        else:
            shared = 3
        return version.numbers[:shared] == bound[:shared]


@dataclass(frozen=True, slots=True)
class Constraint:
    """Alternatives (`||`) of terms that must all hold (a comma or a blank between them)."""

    alternatives: tuple[tuple[_Term, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read a range such as `>=1.2 <2.0`, `~1.2`, `1.x || ^3`, `1.0 - 2.0`. Raises ValueError."""
        if len(text) > LONGEST_RANGE or text.count("||") >= MOST_ALTERNATIVES:
            raise ValueError("range of versions is too long")
        parts = _HYPHEN.sub(r">=\1, <=\2 ", text).split("||")
        try:
            return cls(tuple(_terms(part) for part in parts))
        except ValueError as error:
            raise ValueError(f"improper constraint: {text}") from error

    def matches(self, version: Version) -> bool:
        """Whether the version is in the range."""
        return any(
            all(term.holds(version) for term in terms)
            for terms in self.alternatives
            if not version.prerelease or any(term.version.prerelease for term in terms)
        )


def _terms(part: str) -> tuple[_Term, ...]:
    glued = _OPERATOR_GAP.sub(r"\1", part.strip())
    return tuple(_Term.parse(term) for term in _AND.split(glued))


def candidates(tags: Iterable[str], constraint: Constraint) -> list[str]:
    """The tags of the highest version in the range, sorted; several when they differ by build metadata or a `v`, where
    Flux takes the newest commit (GR-24). As in Flux, a tag counts only with all three numbers.
    """
    matching = [
        (version, tag)
        for tag in tags
        if tag.count(".") >= 2 and (version := Version.parse(tag)) and constraint.matches(version)
    ]
    best = max((version for version, _ in matching), default=None)
    return sorted(tag for version, tag in matching if version == best)


def highest(tags: Iterable[str], constraint: Constraint) -> str | None:
    """The tag with the highest version in the range, or None; between equal versions the last by name."""
    return next(reversed(candidates(tags, constraint)), None)

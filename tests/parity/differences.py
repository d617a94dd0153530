"""Where Fluxless is known to end differently from Flux, and why. `compare` fails on every other difference."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Known:
    """Scenarios, and paths in their records, as patterns (`*` is anything)."""

    scenario: str
    path: str
    why: str

    def covers(self, scenario: str, path: str) -> bool:
        """Whether this explains a difference."""
        return fnmatchcase(scenario, self.scenario) and fnmatchcase(path, self.path)


KNOWN: tuple[Known, ...] = ()


def known(scenario: str, path: str) -> Known | None:
    """What explains a difference, if anything does."""
    return next((entry for entry in KNOWN if entry.covers(scenario, path)), None)

"""All scenarios, by subject; a name stands once."""

from tests.parity.corpus import (
    applying,
    artifacts,
    directives,
    failures,
    generation,
    health,
    merging,
    releases,
    sources,
    substitution,
)
from tests.parity.scenario import Scenario

SUBJECTS = (generation, merging, substitution, applying, directives, health, sources, artifacts, failures, releases)
SCENARIOS: tuple[Scenario, ...] = tuple(item for subject in SUBJECTS for item in subject.SCENARIOS)

assert len({item.name for item in SCENARIOS}) == len(SCENARIOS)

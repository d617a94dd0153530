"""Which version of a chart is meant (CH-1), by Helm's rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fluxless.api.semver import Constraint, Version
from fluxless.charts.errors import ChartProblem, InvalidChart


def choose(chart: str, entries: Sequence[Mapping[str, Any]] | None, version: str) -> Mapping[str, Any]:
    """The entry of an index: an exact version, else the highest in the range; of equal ones the newest. Raises
    `ChartProblem`.
    """
    if entries is None:
        raise InvalidChart(f"no chart name found: '{chart}'", "correct the name, or look into the repository's index")
    for entry in entries:
        if version and entry["version"] == version:
            return entry
    constraint = _constraint(version)
    found = [
        (parsed, str(entry.get("created") or ""), entry)
        for entry in entries
        if (parsed := Version.parse(str(entry["version"]))) is not None and constraint.matches(parsed)
    ]
    if not found:
        raise _none(chart, version)
    return max(found, key=lambda each: (each[0], each[1]))[2]


def choose_tag(chart: str, tags: Iterable[str], version: str) -> str:
    """The version among the tags of a registry, in which `_` stands for `+`. Raises `ChartProblem`."""
    versions = [tag.replace("_", "+") for tag in tags]
    if version in versions:
        return version
    constraint = _constraint(version)
    found = [
        (parsed, text)
        for text in versions
        if (parsed := Version.parse(text)) is not None and constraint.matches(parsed)
    ]
    if not found:
        raise _none(chart, version)
    return max(found)[1]


def with_metadata(version: str, metadata: str) -> str:
    """The version with this build metadata in place of its own. Raises `ChartProblem`."""
    parsed = Version.parse(version)
    if parsed is None:
        words = f"failed to parse version from chart metadata as SemVer: '{version}'"
        raise ChartProblem(words, "correct the version in Chart.yaml")
    numbers = f"{parsed.major}.{parsed.minor}.{parsed.patch}"
    return f"{numbers}{f'-{parsed.prerelease}' if parsed.prerelease else ''}+{metadata}"


def satisfies(version: str, constraint: str) -> bool:
    """Whether a version is in a range. Raises `ChartProblem`."""
    parsed = Version.parse(version)
    return parsed is not None and _constraint(constraint).matches(parsed)


def _constraint(version: str) -> Constraint:
    try:
        return Constraint.parse(version or "*")
    except ValueError:
        raise InvalidChart(
            f"invalid version/constraint format '{version}'", "write it like 1.2.3, ~1.2 or 1.x"
        ) from None


def _none(chart: str, version: str) -> InvalidChart:
    words = f"no '{chart}' chart with version matching '{version or '*'}' found"
    return InvalidChart(words, "publish such a version, or widen spec.version")

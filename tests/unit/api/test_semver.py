"""GR-3: versions and ranges as Masterminds/semver v3 reads them; every expectation was checked against v3.5.0."""

import pytest

from fluxless.api.semver import Constraint, Version, candidates, highest

ASCENDING = [
    "0.0.0-0",
    "0.0.0",
    "0.0.3",
    "0.1.0",
    "0.9.9",
    "1.0.0-0",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-1a",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.2.0",
    "1.10.0",
    "2.0.0",
    "10.0.0",
]

VERSIONS = {
    "1.2.3": (1, 2, 3, ""),
    "v1.2.3": (1, 2, 3, ""),
    "v1.2": (1, 2, 0, ""),
    "1": (1, 0, 0, ""),
    "v2025.02.03-rc.1": (2025, 2, 3, "rc.1"),
    "1.2.3-rc.1+build.5": (1, 2, 3, "rc.1"),
    "1.2.3+build": (1, 2, 3, ""),
    "1.2.3-01a": (1, 2, 3, "01a"),
    "18446744073709551615.0.0": (2**64 - 1, 0, 0, ""),
}

NO_VERSIONS = [
    "",
    "v",
    "V1.2.3",
    "latest",
    "release-1.2.3",
    " 1.2.3",
    "1.2.3\n",
    "1..2",
    "1.2.3.4",
    "1.2.x",
    "1.2.3-",
    "1.2.3-a..b",
    "1.2.3-01",
    "1.2.3+",
    "18446744073709551616.0.0",
    "1.2.3-" + "a" * 300,
]

TAGS = [
    "0.0.0",
    "0.0.1",
    "0.0.3",
    "0.1.0",
    "0.1.2",
    "0.2.0",
    "1.0.0-0",
    "1.0.0-rc.1",
    "1.0.0",
    "1.1.0",
    "1.2.0-rc.1",
    "1.2.0",
    "1.2.3",
    "1.3.0",
    "2.0.0-rc.1",
    "2.0.0",
    "2.1.0",
    "3.0.0",
]

RANGES = {
    "1.1.0": "1.1.0",
    "=1.1.0": "1.1.0",
    "v1.1.0": "1.1.0",
    "1.1": "1.1.0",
    "*": "0.0.0 0.0.1 0.0.3 0.1.0 0.1.2 0.2.0 1.0.0 1.1.0 1.2.0 1.2.3 1.3.0 2.0.0 2.1.0 3.0.0",
    "1.x": "1.0.0 1.1.0 1.2.0 1.2.3 1.3.0",
    "1.X.7": "1.0.0 1.1.0 1.2.0 1.2.3 1.3.0",
    "1.2.*": "1.2.0 1.2.3",
    "~1": "1.0.0 1.1.0 1.2.0 1.2.3 1.3.0",
    "~1.2": "1.2.0 1.2.3",
    "~>1.2.1": "1.2.3",
    "~0.0.0": "0.0.0 0.0.1 0.0.3 0.1.0 0.1.2 0.2.0 1.0.0 1.1.0 1.2.0 1.2.3 1.3.0 2.0.0 2.1.0 3.0.0",
    "^1.2": "1.2.0 1.2.3 1.3.0",
    "^1": "1.0.0 1.1.0 1.2.0 1.2.3 1.3.0",
    "^0.1.0": "0.1.0 0.1.2",
    "^0.0.1": "0.0.1",
    "^0.0": "0.0.0 0.0.1 0.0.3",
    "^0": "0.0.0 0.0.1 0.0.3 0.1.0 0.1.2 0.2.0",
    "^*": "0.0.0",
    ">=1.0.0 <2.0.0": "1.0.0 1.1.0 1.2.0 1.2.3 1.3.0",
    ">= 1.2 , < 1.3": "1.2.0 1.2.3",
    "=>1.3.0,=<2.0.0": "1.3.0 2.0.0",
    ">1": "2.0.0 2.1.0 3.0.0",
    ">1.2": "1.3.0 2.0.0 2.1.0 3.0.0",
    ">1.2.0 <2": "1.2.3 1.3.0",
    "<=1 >=1.2.3": "1.2.3 1.3.0",
    "<=1.1 >=1": "1.0.0 1.1.0",
    "<0.1": "0.0.0 0.0.1 0.0.3",
    "<=*": "0.0.0 0.0.1 0.0.3",
    "!=1 <2 >0.1.9": "0.2.0",
    "!=1.2 1.x": "1.0.0 1.1.0 1.3.0",
    "!=1.2.3 ~1.2": "1.2.0",
    "1.1 - 1.2.0": "1.1.0 1.2.0",
    "1.1.0 - 1.2": "1.1.0 1.2.0 1.2.3",
    "^1.3, 1.0 - 2.0": "1.3.0",
    "0.1.x || 3": "0.1.0 0.1.2 3.0.0",
    "1.0.0||1.1.0 || 2.0 - 2.1": "1.0.0 1.1.0 2.0.0 2.1.0",
    ">=1.0.0-0 <2.0.0": "1.0.0-0 1.0.0-rc.1 1.0.0 1.1.0 1.2.0-rc.1 1.2.0 1.2.3 1.3.0 2.0.0-rc.1",
    "<1.2.0 >=1.0.0-rc.1": "1.0.0-rc.1 1.0.0 1.1.0 1.2.0-rc.1",
    "~1.2.0-0": "1.2.0-rc.1 1.2.0 1.2.3",
    "^1.2.0-rc.1": "1.2.0-rc.1 1.2.0 1.2.3 1.3.0",
    "!=1.0.0-rc.1 <1.0.0 || 3": "0.0.0 0.0.1 0.0.3 0.1.0 0.1.2 0.2.0 1.0.0-0 3.0.0",
    ">=2.0.0-0 || 1.2.x": "1.2.0 1.2.3 2.0.0-rc.1 2.0.0 2.1.0 3.0.0",
}

NO_RANGES = [
    "",
    " ",
    "latest",
    "1.2.3.4",
    ">=1.0.0<2.0.0",
    ">= 1.0,",
    ",1.0",
    "1.0,,2.0",
    "1.0 ||",
    "|| 1.0",
    "> = 1.0",
    "==1.0",
    "<>1.0",
    "1.0 -2.0",
    ">=1.0 - 2.0",
    "1.2.3-01",
    "1.2.3-a..b",
    "||".join(["1"] * 33),
    "1" + " " * 512,
]


@pytest.mark.parametrize("text", VERSIONS)
def test_a_version_is_read_leniently(text: str) -> None:
    version = Version.parse(text)
    assert version is not None
    assert (*version.numbers, version.prerelease) == VERSIONS[text]


@pytest.mark.parametrize("text", NO_VERSIONS)
def test_anything_else_is_no_version(text: str) -> None:
    assert Version.parse(text) is None


def test_versions_are_ordered_with_prereleases_first() -> None:
    versions = [version for text in ASCENDING if (version := Version.parse(text))]
    assert len(versions) == len(ASCENDING)
    assert all(low < high for at, low in enumerate(versions) for high in versions[at + 1 :])


def test_build_metadata_plays_no_part_in_the_order() -> None:
    assert Version.parse("1.0.0+a") == Version.parse("v1.0.0+b")


@pytest.mark.parametrize("text", RANGES)
def test_a_range_holds_exactly_these_versions(text: str) -> None:
    constraint = Constraint.parse(text)
    inside = [tag for tag in TAGS if (version := Version.parse(tag)) and constraint.matches(version)]
    assert inside == RANGES[text].split()


@pytest.mark.parametrize("text", NO_RANGES)
def test_a_wrong_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"constraint|too long"):
        Constraint.parse(text)


HIGHEST = {
    "the highest version, not the last name": ("1.x", ["1.2.0", "1.10.0", "1.9.0"], "1.10.0"),
    "with a v": (">=1", ["v1.0.0", "v1.2.0"], "v1.2.0"),
    "no prerelease unless asked": ("1.x", ["1.2.0-rc.1", "1.1.0"], "1.1.0"),
    "a prerelease when asked": (">=1.0.0-0", ["1.2.0-rc.1", "1.1.0"], "1.2.0-rc.1"),
    "tags that are no versions do not count": ("*", ["latest", "release-9.0.0", "0.1.0"], "0.1.0"),
    "tags without all three numbers do not count": ("*", ["9", "v2.1", "0.1.0"], "0.1.0"),
    "nothing in the range": (">=2", ["1.0.0"], None),
    "no tags": ("*", [], None),
    "GR-24 a tie is settled by name": ("1.x", ["1.0.0+b", "1.0.0+a"], "1.0.0+b"),
}


@pytest.mark.parametrize("case", HIGHEST)
def test_the_highest_tag_is_taken(case: str) -> None:
    text, tags, expected = HIGHEST[case]
    assert highest(tags, Constraint.parse(text)) == expected


def test_all_tags_of_the_highest_version_are_candidates() -> None:
    """GR-24: which of them is newest is for the repository to say."""
    tags = ["v1.1.0", "1.1.0+b", "1.1.0+a", "1.0.0", "2.0.0"]
    assert candidates(tags, Constraint.parse("1.x")) == ["1.1.0+a", "1.1.0+b", "v1.1.0"]

"""Patterns of users: Go's words, Go's globs, gitignore as before, and bounds."""

import random

import pytest
from pathspec import GitIgnoreSpec

from fluxless.limits import IGNORE_LINES, PATTERN_LENGTH
from fluxless.patterns import IgnoreRules, InvalidPattern, TooMuchToMatch, glob, regex, shell

SAID = {
    "(": "missing closing ): `(`",
    "a)": "unexpected ): `a)`",
    "[a": "missing closing ]: `[a`",
    "a**": "invalid nested repetition operator: `**`",
    "*a": "missing argument to repetition operator: `*`",
    "x{1001}": "invalid repeat count: `{1001}`",
    "\\": "trailing backslash at end of expression: ``",
    "(?P<n": "invalid named capture: `(?P<n`",
    "[z-a]": "invalid character class range: `z-a`",
    "\\1": "invalid escape sequence: `\\1`",
}


@pytest.mark.parametrize("text", SAID)
def test_a_mistake_is_told_in_the_words_of_go(text: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        regex(text)
    assert str(caught.value) == f"error parsing regexp: {SAID[text]}"


def test_a_pattern_is_bounded_by_its_length_and_by_the_machine_it_stands_for() -> None:
    with pytest.raises(InvalidPattern, match="more than 4096 characters"):
        regex("a" * (PATTERN_LENGTH + 1))
    with pytest.raises(InvalidPattern, match="expression too large"):
        regex("(a|b|[cd]){1000}(.?){1000}\\pL{900}")


GLOBS = [
    ("*.yaml", False, "a.yaml", True),
    ("*.yaml", False, "d/a.yaml", False),
    ("**/a", False, "x/y/a", False),
    ("[^a]?", False, "bc", True),
    ("[a-c]\\*", False, "b*", True),
    ("{a,b}", False, "{a,b}", True),
    ("a/**", True, "a", True),
    ("a/**", True, "a/b/c", True),
    ("**/x.tgz", True, "x.tgz", True),
    ("**/x.tgz", True, "a/b/x.tgz", True),
    ("a/**/b", True, "a/b", True),
    ("a/**/b", True, "a/x/y/b", True),
    ("a**", True, "ab/c", False),
    ("*.{tgz,tar.gz}", True, "x.tar.gz", True),
    ("{a,b/**}", True, "b/c/d", True),
    ("[!a]", True, "b", True),
    ("*", True, ".hidden", True),
]


@pytest.mark.parametrize(("text", "stars", "path", "matches"), GLOBS)
def test_globs_are_those_of_go(text: str, stars: bool, path: str, matches: bool) -> None:
    assert glob(text, stars=stars).matches(path) is matches


@pytest.mark.parametrize("text", ["[a", "[", "\\", "[]a]", "{a"])
def test_a_malformed_glob_is_refused(text: str) -> None:
    with pytest.raises(InvalidPattern):
        glob(text, stars=True)


def test_a_shell_glob_takes_the_shortest_or_the_longest_prefix() -> None:
    assert (shell("*/").prefix("a/b/c"), shell("*/", longest=True).prefix("a/b/c")) == ("a/", "a/b/")
    assert shell("x").prefix("a") is None


SEGMENTS = ["a", "b", "ab", "foo", "a.txt", ".h", "*", "**", "*.txt", "a*", "?", "[ab]", "f?o", "[!a]*", "\\a"]


def test_ignore_rules_say_what_a_backtracking_matcher_says() -> None:
    chance = random.Random(7)

    def path(names: list[str], longest: int) -> str:
        return "/".join(chance.choice(names) for _ in range(chance.randint(1, longest)))

    for _ in range(400):
        lines = [
            chance.choice(["", "!", "/"]) + path(SEGMENTS, 4) + chance.choice(["", "/"])
            for _ in range(chance.randint(1, 5))
        ]
        before, now = GitIgnoreSpec.from_lines(lines, backend="simple"), IgnoreRules(lines)
        for _ in range(20):
            name = path(SEGMENTS[:6], 5)
            assert now.match(name) == before.match_file(name), (lines, name)


def test_a_line_that_git_would_discard_matches_nothing() -> None:
    rules = IgnoreRules(["a\\", "[z-a]", "[", "*.md"])
    assert [rules.match(name) for name in ("a", "[", "b.md")] == [False, False, True]


def test_a_name_that_is_no_utf_8_is_matched_as_well() -> None:
    assert IgnoreRules(["*.md"]).match("\udcff.md")


def test_too_many_lines_are_refused() -> None:
    with pytest.raises(TooMuchToMatch, match="ignore patterns"):
        IgnoreRules(["a"] * (IGNORE_LINES + 1))

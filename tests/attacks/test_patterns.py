"""Patterns of users that a backtracking matcher never ends with: each is answered, or refused, in a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fluxless.api.failure import Problem
from fluxless.apply.ignore import Rule
from fluxless.artifacts.compose import Copy
from fluxless.artifacts.ignore import Ignore
from fluxless.charts.chart import load_folder
from fluxless.git import submodules
from fluxless.kustomize.string_functions import FUNCTIONS
from fluxless.oci.media import HELM_CHART
from fluxless.source.oci import _by_semver
from fluxless.source.path_pattern import expand
from tests.support.clock import within

STARS = "*a" * 30 + "b"
NAME = "a" * 200


def _files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


def _ignore_stars(_: Path) -> Any:
    return Ignore({"": STARS}).leaves_out(NAME)


def _ignore_folders(_: Path) -> Any:
    return Ignore({}, "**/a/" * 30 + "b").leaves_out("a/" * 60 + "c")


def _helmignore(folder: Path) -> Any:
    files = _files(folder, "Chart.yaml", NAME)
    (files / "Chart.yaml").write_text("apiVersion: v2\nname: a\nversion: 1.0.0\n")
    (files / ".helmignore").write_text(STARS)
    return load_folder(folder, ".", "chart").name


def _substitution(_: Path) -> Any:
    return FUNCTIONS["##"](NAME * 5, [STARS])


def _long_substitution(_: Path) -> Any:
    return len(FUNCTIONS["#"]("a" * 200_000, ["*b"]))


def _path_pattern(folder: Path) -> Any:
    _files(folder, f"{NAME}/x")
    captures = "".join(f"{{v{n}}}" for n in range(8))
    spec = {"pathPattern": f"@src/{captures}!", "artifacts": [{"name": "a", "copy": []}]}
    return expand(spec, {"src": folder})


def _excluding_glob(folder: Path) -> Any:
    deep = "a/" * 60 + "c"
    _files(folder / "src", deep)
    (folder / "out").mkdir()
    Copy("@src/*", "@artifact/", exclude=("**/a/" * 15 + "b",)).into(folder / "out", {"src": folder / "src"})
    return (folder / "out" / deep).exists()


def _braces(folder: Path) -> Any:
    _files(folder / "src", "a")
    (folder / "out").mkdir()
    Copy("@src/*", "@artifact/", exclude=("{a,b}" * 40,)).into(folder / "out", {"src": folder / "src"})
    return (folder / "out/a").exists()


def _ignored_fields(_: Path) -> Any:
    rule = Rule.parse({"paths": ["/spec"], "target": {"name": "(a+)+b"}})
    return rule.means({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}})


def _gitmodules(_: Path) -> Any:
    text = '[submodule "a"]\npath = a\nurl = https://example.test/a\nx = y' + " " * 100_000 + "z"
    return submodules.read(text, "https://example.test/b")


CASES: dict[str, tuple[Callable[[Path], Any], Any]] = {
    "ignore patterns of stars": (_ignore_stars, False),
    "ignore patterns of folders": (_ignore_folders, False),
    ".helmignore of stars": (_helmignore, "a"),
    "a substitution that trims by stars": (_substitution, NAME * 5),
    "a substitution that trims a long value": (_long_substitution, 200_000),
    "a path pattern of captures": (_path_pattern, []),
    "a glob that excludes from a copy": (_excluding_glob, True),
    "a glob of braces": (_braces, True),
    "a target of fields to ignore": (_ignored_fields, False),
    "a .gitmodules of spaces": (_gitmodules, {"a": "https://example.test/a"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_pattern_is_matched_in_a_moment(case: str, tmp_path: Path) -> None:
    attack, expected = CASES[case]
    with within(3):
        assert attack(tmp_path) == expected


class _Registry:
    async def tags(self) -> list[str]:
        return [f"{NAME}-{number}" for number in range(50)]


async def test_a_hostile_semver_filter_is_matched_in_a_moment() -> None:
    run: Any = SimpleNamespace(layer={"mediaType": HELM_CHART}, url="oci://registry/app", ref="OCIRepository/a/b")
    registry: Any = _Registry()
    with within(3), pytest.raises(Problem, match="no match found for semver"):
        await _by_semver(run, registry, {"semver": ">=1.0.0", "semverFilter": "(a+)+$|(a|a)*b"})
    with within(3), pytest.raises(Problem, match="missing closing \\): `\\(`"):
        await _by_semver(run, registry, {"semver": ">=1.0.0", "semverFilter": "("})

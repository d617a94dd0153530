"""One set of artifacts for each folder that matches `spec.pathPattern` (AG-4). Pure, but for a look at the folders."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.patterns import InvalidPattern, Pattern, regex

_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_PART = re.compile(r"\{([^{}]*)\}|([{}])")
_LABEL = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
_OBJECT = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")


class PatternProblem(Problem):
    """The pattern cannot be used: trying again does not help."""

    def __init__(self, words: str) -> None:
        super().__init__(Failure(FailureClass.VALIDATION, words, next_step="correct spec.pathPattern or the names"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """An artifact to be made, with the labels that its captures become."""

    output: Mapping[str, Any]
    labels: Mapping[str, str]


def expand(spec: Mapping[str, Any], sources: Mapping[str, Path]) -> list[Wanted]:
    """What is to be made; blocking. Raises `PatternProblem`."""
    pattern = str(spec.get("pathPattern") or "")
    if not pattern:
        return [Wanted(output, {}) for output in spec["artifacts"]]
    alias, _, path = pattern.removeprefix("@").partition("/")
    if alias not in sources:
        raise PatternProblem(f"pathPattern '{pattern}': source alias {alias} not found in local sources")
    matcher = _matcher(pattern, path)
    found: list[Wanted] = []
    seen: dict[str, str] = {}
    root = sources[alias]
    for parent, folders, _ in os.walk(root):
        folders.sort()
        for folder in folders:
            below = (Path(parent) / folder).relative_to(root).as_posix()
            raw = matcher.captures(below)
            if raw is None:
                continue
            labels = {name: value.lower() for name, value in raw.items()}
            for name, value in labels.items():
                if not _LABEL.match(value):
                    words = f"captured value '{value}' for variable '{name}' is not a valid Kubernetes label value"
                    raise PatternProblem(f"pathPattern '{pattern}': {words}")
            for output in spec["artifacts"]:
                made = _rendered(output, labels, raw)
                name = str(made["name"])
                if not _OBJECT.match(name):
                    words = f"rendered artifact name '{name}' is not a valid Kubernetes object name"
                    raise PatternProblem(f"pathPattern '{pattern}': {words}")
                if name in seen:
                    words = f"directories '{seen[name]}' and '{below}' both resolve to artifact name '{name}'"
                    raise PatternProblem(f"pathPattern '{pattern}': {words}")
                seen[name] = below
                found.append(Wanted(made, labels))
    return found


def _matcher(pattern: str, path: str) -> Pattern:
    names: set[str] = set()
    text, last = "", 0
    for part in _PART.finditer(path):
        name = part[1]
        if name is None:
            raise PatternProblem(f"pathPattern '{pattern}': a brace has no other one")
        if not _NAME.match(name):
            raise PatternProblem(f"pathPattern '{pattern}': capture variable '{name}' must be a valid capture name")
        if name in names:
            raise PatternProblem(f"pathPattern '{pattern}': duplicate capture variable '{name}'")
        names.add(name)
        text += re.escape(path[last : part.start()]) + f"(?P<{name}>[^/]+)"
        last = part.end()
    try:
        return regex(text + re.escape(path[last:]))
    except InvalidPattern as problem:
        raise PatternProblem(f"pathPattern '{pattern}': {problem}") from None


def _rendered(output: Mapping[str, Any], labels: Mapping[str, str], raw: Mapping[str, str]) -> dict[str, Any]:
    copies = [
        {**copy, "from": _fill(str(copy["from"]), raw), "to": _fill(str(copy["to"]), raw)} for copy in output["copy"]
    ]
    return {**output, "name": _fill(str(output["name"]), labels), "copy": copies}


def _fill(text: str, values: Mapping[str, str]) -> str:
    def value(part: re.Match[str]) -> str:
        if part[1] is None or part[1] not in values:
            raise PatternProblem(f"invalid template '{text}': '{part[0]}' is not defined by pathPattern")
        return values[part[1]]

    return _PART.sub(value, text)

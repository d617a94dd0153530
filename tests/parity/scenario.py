"""What a scenario is: data only. `@ns@` in any text stands for the scenario's own namespace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Obj = dict[str, Any]
Files = Mapping[str, str | None]
MARK = "@ns@"
APP = "app"
"""The Kustomization that every scenario is about; its source is called `repo`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing after the other: `put`, `patch` and `drop` as a user of kubectl, a push, a change of the specs.

    In `spec` and `source` None takes a field away. `ends` is the status of Ready that is awaited, if not any.
    """

    push: Files = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    put: tuple[Obj, ...] = ()
    patch: tuple[Obj, ...] = ()
    drop: tuple[Obj, ...] = ()
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further Kustomizations by name, written before `app`; fields not given are as in `app`'s first spec."""
    git: tuple[tuple[str, ...], ...] = ()
    """Further git commands in the work tree, after the push."""
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Specs of sources by `Kind/name`: the scenario is about these alone, without `app` and `repo`."""
    release: Mapping[str, Any] = field(default_factory=dict)
    """Changes of the spec of the HelmRelease `app`; the scenario is about that, and `others` are further ones."""
    asks: tuple[str, ...] = ()
    """`force` and `reset`, as `flux reconcile helmrelease` asks."""
    stalls: bool = False
    """Whether a release is to be tried until nothing more is tried."""
    delete: bool = False
    """Delete `app`, and wait until it is gone."""
    ignored: bool = False
    """Nobody will answer, because it is suspended: look after a while."""
    ends: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`rows` are those of the reference that it shows; `without_source` leaves the GitRepository out."""

    name: str
    rows: str
    steps: tuple[Step, ...]
    without_source: bool = False

    @property
    def of_releases(self) -> bool:
        """Whether it is about a HelmRelease."""
        return any(step.release for step in self.steps)

    @property
    def of_sources(self) -> bool:
        """Whether it is about sources alone."""
        return any(step.sources for step in self.steps)


def scenario(name: str, rows: str, *steps: Step, without_source: bool = False) -> Scenario:
    """A scenario of one or more steps."""
    return Scenario(name, rows, steps, without_source)


def one(name: str, rows: str, push: Files, spec: Mapping[str, Any] | None = None, **more: Any) -> Scenario:
    """A scenario of one push."""
    return scenario(name, rows, Step(push=push, spec=spec or {}, **more))


def placed(value: Any, namespace: str, marks: Mapping[str, str] | None = None) -> Any:
    """A copy with the namespace, and what further `marks` stand for, in their place; as they stand in JSON."""
    text = json.dumps(value).replace(MARK, namespace)
    for mark, meant in (marks or {}).items():
        text = text.replace(mark, meant)
    return json.loads(text)


def unplaced(value: Any, namespace: str, marks: Mapping[str, str] | None = None) -> Any:
    """The reverse of `placed`."""
    text = json.dumps(value).replace(namespace, MARK)
    for mark, meant in (marks or {}).items():
        text = text.replace(meant, mark)
    return json.loads(text)

"""The variables of a Kustomization (KC-69), merged from what was read of the cluster and from the spec. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fluxless.api.failure import Failure, FailureClass, Problem

NAME = re.compile(r"^[_a-zA-Z][_a-zA-Z0-9]*$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """One entry of `postBuild.substituteFrom` and the data found there; None when there is no such object."""

    kind: str
    name: str
    optional: bool
    data: Mapping[str, bytes] | None


class VariablesProblem(Problem):
    """A variable cannot be had or has no valid name."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(Failure(FailureClass.SUBSTITUTION, message, next_step=next_step))


def merge(references: Iterable[Reference], inline: Mapping[str, str]) -> dict[str, str]:
    """Later references win over earlier ones, in-line values over all; newlines are dropped from values.

    Raises `VariablesProblem` for a missing object that is not optional and for a name that Flux refuses.
    """
    found: dict[str, str] = {}
    for reference in references:
        if reference.data is None:
            if reference.optional:
                continue
            raise VariablesProblem(
                f"substitute from '{reference.kind}/{reference.name}' error: not found",
                f"create the {reference.kind} in the namespace of the Kustomization, or mark it optional",
            )
        found |= {key: value.decode(errors="replace") for key, value in reference.data.items()}
    found |= {key: str(value) for key, value in inline.items()}
    for name in found:
        if not NAME.match(name):
            raise VariablesProblem(
                f"'{name}' var name is invalid, must match '^[_[:alpha:]][_[:alpha:][:digit:]]*$'",
                "rename the key: letters, digits and underscores only",
            )
    return {name: value.replace("\n", "") for name, value in found.items()}

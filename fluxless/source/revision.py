"""Which commit does `spec.ref` mean (GR-3, GR-21)? Pure, over what a remote has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fluxless.api.semver import Constraint, candidates
from fluxless.git.errors import EmptyRepository, ReferenceNotFound, public
from fluxless.git.ls_remote import Refs

DEFAULT_BRANCH = "master"
COMMIT = re.compile(r"^[0-9a-f]{40}([0-9a-f]{24})?$")


@dataclass(frozen=True, slots=True)
class Target:
    """A commit, the reference that leads to it (empty for a bare commit), and the revision as Flux writes it."""

    commit: str
    ref: str
    revision: str


class InvalidReference(ReferenceNotFound):
    """`spec.ref` itself is wrong: trying again cannot help."""


def resolve(ref: Mapping[str, Any], refs: Refs, url: str) -> list[Target]:
    """What `ref` means by precedence: commit, name, semver, tag, branch. Raises `GitProblem` naming what is missing.

    There are several where a range of versions has several tags of the same highest version: the one with the newest
    commit is meant (GR-24), which only the commits themselves can tell.
    """
    shown = public(url)
    if not refs.commits:
        raise EmptyRepository(url)
    if commit := str(ref.get("commit") or ""):
        return [_commit(commit, str(ref.get("branch") or ""))]
    if name := str(ref.get("name") or ""):
        return [_named(refs, name, name, f"reference '{name}'", shown)]
    if semver := str(ref.get("semver") or ""):
        tags = _highest(refs, semver, shown)
        return [_named(refs, f"refs/tags/{tag}", tag, f"tag '{tag}'", shown) for tag in tags]
    return [_single(ref, refs, shown)]


def _single(ref: Mapping[str, Any], refs: Refs, shown: str) -> Target:
    if tag := str(ref.get("tag") or ""):
        return _named(refs, f"refs/tags/{tag}", tag, f"tag '{tag}'", shown)
    branch = str(ref.get("branch") or DEFAULT_BRANCH)
    return _named(refs, f"refs/heads/{branch}", branch, f"branch '{branch}'", shown)


def _commit(commit: str, branch: str) -> Target:
    if not COMMIT.match(commit):
        message = f"spec.ref.commit '{commit}' is not a full commit id"
        raise InvalidReference(message, "give all 40 characters of the commit")
    if branch:
        return Target(commit, f"refs/heads/{branch}", f"{branch}@{_hash(commit)}")
    return Target(commit, "", _hash(commit))


def _named(refs: Refs, name: str, shown: str, what: str, url: str) -> Target:
    commit = refs.commit(name)
    if commit is None:
        have = sorted(ref.removeprefix("refs/heads/") for ref in refs.commits if ref.startswith("refs/heads/"))
        step = f"correct spec.ref; its branches are {', '.join(have[:10])}" if have else "correct spec.ref"
        raise ReferenceNotFound(f"couldn't find remote {what} in '{url}'", step)
    return Target(commit, name, f"{shown}@{_hash(commit)}")


def _highest(refs: Refs, semver: str, url: str) -> list[str]:
    try:
        constraint = Constraint.parse(semver)
    except ValueError:
        message = f"spec.ref.semver '{semver}' is not a range of versions"
        raise InvalidReference(message, "write it like >=1.0.0 <2.0.0, or 1.x") from None
    tags = [name.removeprefix("refs/tags/") for name in refs.commits if name.startswith("refs/tags/")]
    found = candidates(tags, constraint)
    if not found:
        step = f"push a matching tag with all three numbers, or widen the range; it has {len(tags)} tag(s)"
        raise ReferenceNotFound(f"no match found for semver: {semver} in '{url}'", step)
    return found


def _hash(commit: str) -> str:
    return f"{'sha1' if len(commit) == 40 else 'sha256'}:{commit}"

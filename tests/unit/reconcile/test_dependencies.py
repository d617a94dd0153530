"""KC-62: who waits for whom, and how that is said."""

import itertools

import pytest

from fluxless.reconcile.dependencies import waits_for
from fluxless.reconcile.world import Ref, World
from tests.unit.reconcile.objects import kustomization, source, world

CASES = {
    "no dependencies": (world(source(), kustomization("a")), None),
    "ready dependency": (world(source(), kustomization("a", "b"), kustomization("b")), None),
    "source object missing": (world(kustomization("a")), "Source 'GitRepository/apps/repo' not found"),
    "KC-60 no artifact yet": (
        world(source(revision=None), kustomization("a")),
        "Source artifact not found, retrying in 30s",
    ),
    "dependency missing": (world(source(), kustomization("a", "b")), "dependency 'apps/b' not found"),
    "dependency without status": (
        world(source(), kustomization("a", "b"), kustomization("b", ready=None)),
        "dependency 'apps/b' is not ready",
    ),
    "dependency failed": (
        world(source(), kustomization("a", "b"), kustomization("b", ready="False")),
        "dependency 'apps/b' is not ready",
    ),
    "dependency ready for an older generation": (
        world(source(), kustomization("a", "b"), kustomization("b", generation=2, observed=1)),
        "dependency 'apps/b' is not ready",
    ),
    "same source, older revision": (
        world(source(revision="main@sha1:2"), kustomization("a", "b"), kustomization("b", revision="main@sha1:1")),
        "dependency 'apps/b' revision is not up to date",
    ),
    "other source, other revision": (
        world(source(), source("other", "x"), kustomization("a", "b"), kustomization("b", of="other", revision="x")),
        None,
    ),
    "the end of the chain is named": (
        world(source(), kustomization("a", "b"), kustomization("b", "c", ready="False")),
        "dependency 'apps/b' is not ready (in the end: dependency 'apps/c' not found)",
    ),
    "suspended dependency": (
        world(source(), kustomization("a", "b"), _suspended := kustomization("b", ready="False")),
        "dependency 'apps/b' is not ready (it waits in the end for 'apps/b', which is suspended)",
    ),
}
_suspended["spec"]["suspend"] = True


@pytest.mark.parametrize(("found", "expected"), CASES.values(), ids=CASES.keys())
def test_waits_for(found: World, expected: str | None) -> None:
    wait = waits_for(found.objects[Ref("Kustomization", "apps", "a")], found)
    assert (wait.message if wait else None) == expected
    assert wait is None or not wait.impossible


def test_a_cycle_is_named_in_full_on_every_object_in_it() -> None:
    found = world(source(), kustomization("a", "b"), kustomization("b", "c"), kustomization("c", "a"))
    for name, path in {"a": "a b c a", "b": "b c a b", "c": "c a b c"}.items():
        wait = waits_for(found.objects[Ref("Kustomization", "apps", name)], found)
        assert wait is not None
        assert wait.impossible
        assert wait.message == "dependency cycle: " + " -> ".join(f"apps/{part}" for part in path.split())


def test_an_object_that_needs_itself_is_a_cycle_of_one() -> None:
    found = world(source(), kustomization("a", "a"))
    wait = waits_for(found.objects[Ref("Kustomization", "apps", "a")], found)
    assert wait is not None
    assert wait.impossible


def test_an_object_outside_of_a_cycle_waits_for_it_without_an_endless_search() -> None:
    found = world(
        source(), kustomization("a", "b"), kustomization("b", "c", ready=None), kustomization("c", "b", ready=None)
    )
    wait = waits_for(found.objects[Ref("Kustomization", "apps", "a")], found)
    assert wait is not None
    assert not wait.impossible


def test_a_long_chain_is_followed_without_recursion() -> None:
    names = [f"k{i}" for i in range(2000)]
    chain = [kustomization(a, b, ready="False") for a, b in itertools.pairwise(names)]
    found = world(source(), *chain, kustomization(names[-1]))
    assert waits_for(found.objects[Ref("Kustomization", "apps", "k0")], found) is not None

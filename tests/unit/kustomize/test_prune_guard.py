"""When does a prune hold?"""

import pytest

from fluxless.kustomize.prune_guard import APPROVAL, Limit, held

PLAIN = ["ns_a__ConfigMap", "ns_b__ConfigMap"]


@pytest.mark.parametrize(
    ("setting", "left", "inventory", "holds"),
    [
        ("", PLAIN, 2, False),
        ("2", PLAIN, 100, False),
        ("1", PLAIN, 100, True),
        ("50%", PLAIN, 4, False),
        ("49%", PLAIN, 4, True),
        ("100", ["_a__Namespace"], 100, True),
        ("100%", ["ns_a__PersistentVolumeClaim"], 1, True),
        ("100", ["_a_apiextensions.k8s.io_CustomResourceDefinition"], 100, True),
        ("0", [], 100, False),
    ],
)
def test_it_holds_beyond_the_limit_and_for_what_takes_data_with_it(
    setting: str, left: list[str], inventory: int, holds: bool
) -> None:
    said = held(Limit.parse(setting), left, inventory, {})
    assert bool(said) == holds
    if holds:
        assert not held(Limit.parse(setting), left, inventory, {APPROVAL: said.rpartition("=")[2]})


@pytest.mark.parametrize("text", ["many", "x%", "1.5"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid|could not"):
        Limit.parse(text)

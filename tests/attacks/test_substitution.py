"""Variables that stand for gigabytes, and expressions within expressions: refused before anything grows."""

import time

import pytest

from fluxless.kustomize.substitute import SubstitutionProblem, substitute

LONG = {"long": "x" * 1_000_000, "short": "y"}
ATTACKS = {
    "a long value over and over": ("${long}" * 1_000, "more than"),
    "a long value within one expression": ("${none:=" + "${long}" * 1_000 + "}", "more than"),
    "each character by a long value": ("${long//x/${long}}", "more than"),
    "nothing by a long value": ("${long//${none:=${empty}}/${long}}", "more than"),
    "the length of a long value": ("${#long}" * 1_000, "go through"),
    "nothing of a long value": ("${long##*x}" * 1_000, "go through"),
    "values for values": ("${none:=" * 20 + "${long}${long}" + "}" * 20, "more than"),
    "expressions within expressions": ("${none:=" * 100_000, "nested deeper"),
    "patterns within patterns": ("${short#" * 100_000, "nested deeper"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_refused_within_a_moment(name: str) -> None:
    text, words = ATTACKS[name]
    began = time.process_time()
    with pytest.raises(SubstitutionProblem, match=words):
        substitute(text, LONG | {"empty": ""}, strict=False)
    assert time.process_time() - began < 2.0


def test_what_is_usual_passes() -> None:
    assert len(substitute("${long}" * 20, LONG)) == 20_000_000
    assert substitute("${none:=${none:=${none:=${short}}}}", LONG) == "y"

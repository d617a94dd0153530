"""The short run of `make fuzz`: nothing that others send makes a room crash, read outside, or grow without end."""

from __future__ import annotations

import math

import pytest

from tools.fuzz.runner import faults, known

SEED = 20261129
MOST, FEW = 150, 12


@pytest.mark.parametrize("name", sorted(known()))
def test_odd_input_is_refused_by_a_problem(name: str) -> None:
    target = known()[name]
    seeds = range(SEED, SEED + (FEW if target.slow else MOST))
    tried = list(faults(target, iter(seeds), until=math.inf))
    assert len(tried) == len(seeds)
    assert not [str(fault) for fault in tried if fault is not None]

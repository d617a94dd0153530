"""The short run of `make fuzz`: nothing that others send makes a room crash, read outside, or grow without end."""

from __future__ import annotations

import itertools
import time

import pytest

from tools.fuzz.runner import faults, known

SEED = 20261129
MOST, FEW = 150, 12
WITHIN = 4.0
"""Seconds for one target."""


@pytest.mark.parametrize("name", sorted(known()))
def test_odd_input_is_refused_by_a_problem(name: str) -> None:
    target = known()[name]
    seeds = itertools.islice(itertools.count(SEED), FEW if target.slow else MOST)
    tried = list(faults(target, seeds, time.monotonic() + WITHIN))
    assert len(tried) >= FEW // 2
    assert not [str(fault) for fault in tried if fault is not None]

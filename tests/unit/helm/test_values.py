"""Values against Flux's own code (HR-71, HR-72): what it makes of each case is in `tests/parity/valuesgo`."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fluxless.helm import strvals, values

TABLE: dict[str, Any] = json.loads((Path(__file__).parents[2] / "parity" / "valuesgo" / "values.json").read_text())


@pytest.mark.parametrize("case", TABLE["sets"], ids=lambda case: f"{case['path'][:30]}={case['value'][:20]}")
def test_a_value_is_set_where_flux_sets_it(case: dict[str, Any]) -> None:
    found = copy.deepcopy(case.get("values") or {})
    work = strvals.assign_literal if case.get("literal") else strvals.assign
    try:
        work(found, case["path"], case["value"])
        refused = False
    except strvals.InvalidPath:
        refused = True
    assert refused == bool(case.get("refused"))
    if not refused:
        assert found == (case.get("result") or {})


@pytest.mark.parametrize("case", TABLE["encoded"], ids=lambda case: case["yaml"][:40])
def test_values_are_digested_as_flux_does(case: dict[str, Any]) -> None:
    found = values.parsed(case["yaml"], "the case")
    if found:
        assert values.encoded(found).decode() == case["text"]
    assert values.digest(found) == case["digest"]

"""What a gate means where the spec says nothing (HR-81)."""

from typing import Any

import pytest

from fluxless.helm.gates import GATES, HELM_3, NO_DIGESTS, RETRY, completed

STRATEGY = {"strategy": {"name": "RetryOnFailure"}}


@pytest.mark.parametrize(
    ("spec", "gates", "expected"),
    [
        ({"install": {"timeout": "1m"}}, set(), {"install": {"timeout": "1m"}}),
        ({}, {NO_DIGESTS}, {}),
        ({"install": {"timeout": "1m"}}, {RETRY}, {"install": {"timeout": "1m", **STRATEGY}, "upgrade": STRATEGY}),
        (
            {"install": {"strategy": {"name": "RemediateOnFailure"}}},
            {RETRY},
            {"install": {"strategy": {"name": "RemediateOnFailure"}}, "upgrade": STRATEGY},
        ),
        (
            {"waitStrategy": {"name": "poller"}},
            {HELM_3},
            {
                "install": {"serverSideApply": False},
                "waitStrategy": {"name": "poller"},
                "postRenderStrategy": "nohooks",
            },
        ),
    ],
)
def test_a_gate_completes_a_spec(spec: dict[str, Any], gates: set[str], expected: dict[str, Any]) -> None:
    before = str(spec)
    assert completed(spec, gates) == expected
    assert str(spec) == before
    assert gates <= GATES

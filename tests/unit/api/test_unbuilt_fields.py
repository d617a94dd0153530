"""What this version does not build is named, and nothing else is."""

from typing import Any

import pytest

from fluxless.api.unbuilt import unbuilt_fields


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"driftDetection": {"mode": "warn"}}, ["driftDetection.mode"]),
        ({"driftDetection": {"mode": "disabled"}}, []),
        ({"test": {"enable": True}, "waitStrategy": {"name": "legacy"}}, ["waitStrategy.name"]),
        ({"waitStrategy": {"name": "poller"}}, []),
        ({"postRenderStrategy": "separate"}, ["postRenderStrategy"]),
        ({"install": {"strategy": {"name": "RetryOnFailure"}}}, ["install.strategy"]),
        ({"upgrade": {"strategy": {"name": "RemediateOnFailure"}}}, []),
        ({"upgrade": {"chartNameChangeStrategy": "InPlaceUpdate"}}, ["upgrade.chartNameChangeStrategy"]),
        ({"interval": "1m", "install": None, "values": {"test": {"enable": True}}}, []),
    ],
)
def test_a_field_that_is_not_built_is_named(spec: dict[str, Any], expected: list[str]) -> None:
    assert unbuilt_fields("HelmRelease", spec) == expected
    assert unbuilt_fields("Kustomization", spec) == []

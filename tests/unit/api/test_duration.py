"""Durations of objects: what Go refuses is refused, in little time."""

import pytest

from fluxless.api.duration import parse_duration


@pytest.mark.parametrize("text", ["1" * 20_000, "9" * 60 + "h", "9223372037s"])
def test_a_duration_without_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)

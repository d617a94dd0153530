"""What attacks share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluxless import addresses


@pytest.fixture
def strict() -> Iterator[None]:
    """As the app is without settings: nothing on its own machine. Other tests allow 127.0.0.1."""
    before = addresses.use(addresses.AddressPolicy())
    yield
    addresses.use(before)

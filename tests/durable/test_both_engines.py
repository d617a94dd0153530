"""Our engine is judged by Microsoft's: the same happens on both."""

from __future__ import annotations

import asyncio

import pytest

from tests.durable.playing import Stage
from tests.durable.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("play", SCENARIOS, ids=lambda play: play.__name__.replace("_", "-"))
async def test_the_same_happens_on_both(theirs: Stage, ours: Stage, play: Scenario) -> None:
    there, here = await asyncio.gather(asyncio.to_thread(play, theirs), asyncio.to_thread(play, ours))
    assert there == SCENARIOS[play]
    assert here == there

"""Fifteen seconds of what ``make fuzz`` does for ten minutes."""

from pathlib import Path

import pytest

from tests.fuzz.storm import storm

GROWTH_BYTES_MAX = 48 * 1024 * 1024


@pytest.mark.proof
async def test_hostile_input_gets_typed_refusals_that_add_up_and_leaves_the_collector_as_it_was(tmp_path: Path) -> None:
    """Every answer is a typed refusal or an acceptance, all are counted, memory is flat, and a good batch is taken at the end."""
    report = await storm(tmp_path, seconds=15, seed=20)
    assert report.wrong == [], report.summary()
    assert "/v1/batches" in report.doors
    assert report.statuses[200] > 0
    assert report.refused.total() > 100
    assert report.growth_bytes() < GROWTH_BYTES_MAX, report.summary()

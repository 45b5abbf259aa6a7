"""Remote write into the real programs: nothing is lost while they are away."""

from pathlib import Path

import pytest

from tests.collector.outage import outage
from tests.collector.receivers import real


@pytest.mark.proof
@pytest.mark.peer("prometheus", "victoria-metrics")
@pytest.mark.parametrize("kind", ["prometheus", "victoria-metrics"])
async def test_a_receiver_that_was_killed_holds_every_sample_afterwards(kind: str, tmp_path: Path) -> None:
    """Seconds of outage here; ``make bench NAME=remote-write`` has the full minute."""
    async with real(kind, tmp_path / "receiver") as receiver:
        assert await outage(receiver, tmp_path, before=2, away=3, after=2) > 30


@pytest.mark.proof
@pytest.mark.peer("prometheus", "victoria-metrics")
@pytest.mark.parametrize("kind", ["prometheus", "victoria-metrics"])
async def test_a_minute_without_a_receiver_costs_no_sample(kind: str, tmp_path: Path) -> None:
    """Killed for a minute: after recovery it holds every sample."""
    async with real(kind, tmp_path / "receiver") as receiver:
        assert await outage(receiver, tmp_path, before=5, away=60, after=5) > 300

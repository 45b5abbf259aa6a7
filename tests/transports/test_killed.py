"""The union of two ledgers equals what the hosts handed over, whoever is killed, over HTTP and over JetStream."""

from pathlib import Path

import pytest

from benchmarks.kill_run import killed

pytestmark = [pytest.mark.proof, pytest.mark.end_to_end, pytest.mark.peer("nats-server")]


@pytest.mark.parametrize("over", ["http", "jetstream"])
async def test_under_load_and_kill_9_every_observation_is_in_one_ledger_once(over: str, tmp_path: Path) -> None:
    """Half a minute here; ``make bench NAME=collectors_killed`` has the five minutes."""
    found = await killed(tmp_path, seconds=25, every_seconds=4, rate=2000, over=over)
    assert sum(found.kills.values()) >= 4
    assert found.sent > 10_000
    assert found.exact, (found.sent, found.counted, found.unobserved, found.left, found.wrong)

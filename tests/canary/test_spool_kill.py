"""kill -9 of the canary itself: what was told is told once, what was lost is within a gap that the next life tells."""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from canary.absence import absent
from canary.plan import hosts
from tests.canary.spool_child import config_of
from tests.canary.world import FakeCollector, collector_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.proof
@pytest.mark.end_to_end
async def test_a_killed_canary_loses_only_what_its_next_life_tells_as_a_gap(tmp_path: Path) -> None:
    """Seven lives, the collector losing answers, busy or away among them: nothing twice, no gap that is not told."""
    dice = random.Random(4)
    async with collector_server() as collector:
        for _ in range(6):
            collector.lose_answers = dice.choice((0, 0, 2))
            collector.statuses = dice.choice(([], [], [503] * 30))
            await live(tmp_path, collector, seconds=dice.uniform(0.7, 2.2))
        collector.lose_answers, collector.statuses = 0, []
        seen, _ = record(tmp_path)
        await live(tmp_path, collector, seconds=4.0)
        told = Counter({r.at: 0 for r in collector.readings()})
        for reading in collector.readings():
            told[reading.at] += sum(reading.counts.values())
        _, gaps = record(tmp_path)
    assert sum(seen.values()) > 1000
    assert {at: told[at] - n for at, n in seen.items() if told[at] > n and at < max(seen)} == {}, "counted twice"
    missing = [at for at, n in seen.items() if told[at] < n]
    assert [at for at in missing if not any(int(since) <= at <= until for since, until in gaps)] == []
    down = sum(u.count for b in collector.batches for u in b.unobserved if u.reason == "canary_down")
    assert down > 0
    assert {u.reason for b in collector.batches for u in b.unobserved} == {"canary_down"}


async def live(folder: Path, collector: FakeCollector, *, seconds: float) -> None:
    """One life, killed after so many seconds of observing."""
    lives = len(record(folder)[1])
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.canary.spool_child", str(folder), collector.url, cwd=ROOT
    )
    try:
        async with asyncio.timeout(30):
            while len(record(folder)[1]) == lives:
                await asyncio.sleep(0.02)
        await asyncio.sleep(seconds)
        assert child.returncode is None
    finally:
        child.kill()
        await child.wait()


def record(folder: Path) -> tuple[Counter[int], list[tuple[float, float]]]:
    """What was observed in each second, and the gaps that the lives told: since when, until when."""
    seen, gaps = Counter[int](), []
    path = folder / "record"
    for line in path.read_text().splitlines() if path.exists() else ():
        word, first, second = line.split()
        if word == "seen":
            seen[int(first)] += int(second)
        else:
            gaps.append((float(first), float(second)))
    return seen, gaps


def test_what_was_missed_is_counted_by_the_schedule(tmp_path: Path) -> None:
    """An hour away: every cell's probes, by five minutes, as many as its cadence asks; a moment away: none or one."""
    config = config_of(tmp_path, "http://a")
    (host,) = hosts(config)
    rows = absent(config, host, 1, since=1_000_200.0, until=1_003_800.0)
    by_cell: Counter[tuple[str, str]] = Counter()
    for row in rows:
        assert (row.at % 300, row.reason) == (0, "canary_down")
        by_cell[row.operation, row.connection] += row.count
    assert by_cell["write", "fresh"] == by_cell["strong_read", "pooled"] == 1800
    assert by_cell["query", "fresh"] == 180
    whole = absent(config, host, 1, since=1_000_000.3, until=1_000_777.7)
    parts = [*absent(config, host, 1, since=1_000_000.3, until=1_000_400.1)]
    parts += absent(config, host, 1, since=1_000_400.1, until=1_000_777.7)
    assert sum(row.count for row in whole) == sum(row.count for row in parts)


def test_longer_than_the_ledger_takes_is_not_told(tmp_path: Path) -> None:
    """A host that was off for a month tells of six days."""
    config = config_of(tmp_path, "http://a")
    (host,) = hosts(config)
    rows = absent(config, host, 1, since=0.0, until=30 * 86400.0)
    assert min(row.at for row in rows) == 24 * 86400

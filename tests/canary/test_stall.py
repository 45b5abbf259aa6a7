"""A target that stands still loses no intended probe: they overlap, they wait, and each of them is told."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from canary.schedule import Schedule, Step
from tests.canary.test_process import free_ports, running
from tests.canary.world import FakeStore, collector_server, config, dns_server

STALL_SECONDS = 2.0


@pytest.fixture
def store() -> Iterator[subprocess.Popen[bytes]]:
    """A store that can be stopped."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-m", "tests.canary.store_process"], stdout=subprocess.PIPE, cwd=root)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


class Intentions:
    """Counts what schedules intend, until told that it is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.over = 0, False
        step = Schedule.step

        def counted(schedule: Schedule, now: float) -> Step:
            if self.over:
                return Step((), ())
            found = step(schedule, now)
            self.count += len(found.ticks) + sum(missed.count for missed in found.missed)
            return found

        monkeypatch.setattr(Schedule, "step", counted)


async def test_a_stalled_target_loses_no_intended_probe(
    store: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped for two cadences: intended = observed, nothing unobserved, nothing failed, and the wait shows."""
    assert store.stdout is not None
    target = FakeStore()
    target.port = int(await asyncio.to_thread(store.stdout.readline))
    intentions = Intentions(monkeypatch)
    async with dns_server() as dns, collector_server() as collector:
        operations = ("write", "strong_read")
        settings = config(
            dns,
            target,
            (collector.url,),
            free_ports(),
            operations=operations,
            deadline_seconds=5.0,
            cadence_seconds=1.0,
        )
        async with running(settings) as ready:
            await asyncio.wait_for(ready.wait(), 10)
            os.kill(store.pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(STALL_SECONDS)
            finally:
                os.kill(store.pid, signal.SIGCONT)
            await asyncio.sleep(0.5)
            intentions.over = True
            observed = lambda: sum(sum(r.counts.values()) for r in collector.readings())  # noqa: E731
            await collector.until(lambda: observed() >= intentions.count)
            await asyncio.sleep(1.2)
        assert observed() == intentions.count
        assert not [lost for batch in collector.batches for lost in batch.unobserved]
        assert not [failure for reading in collector.readings() for failure in reading.failures]
        slow = sum(sum(reading.latency[9:]) for reading in collector.readings())
        cells = 2 * 2 * len(operations)
        assert slow >= cells  # each waited for more than half a second at least once

"""Batches reach a collector in order, once, whatever collectors do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from canary.clock import Clock
from canary.reporter import Reporter
from canary.spool import Spool
from canary.tally import Tally
from canary.transport.http import HttpTransport
from collector.series import Health
from tests.canary.test_spool import observation, series
from tests.canary.world import collector_server


@contextlib.asynccontextmanager
async def reporting(*urls: str, token: str | None = None) -> AsyncIterator[tuple[Tally, Reporter]]:
    tally = Tally()
    collectors = [HttpTransport(url, token) for url in urls]
    health = lambda: Health(host="h", zone="z", at=0.0, recused=False)  # noqa: E731
    reporter = Reporter(tally, Spool("h", "z", "b", urls), collectors, Clock(), health)
    task = asyncio.create_task(reporter.run())
    try:
        yield tally, reporter
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_failures_of_one_moment_share_a_batch_and_do_not_wait() -> None:
    """Several failures in one turn of the loop arrive together within 50 ms."""
    async with collector_server() as collector, reporting(collector.url) as (tally, reporter):
        await collector.until(lambda: bool(collector.batches))
        for at in range(3):
            tally.failure(series(), observation(float(at)))
            reporter.hurry()
        await collector.until(lambda: bool(collector.readings()), seconds=0.5)
        assert len(collector.batches[-1].readings) == 3


async def test_a_lost_answer_is_sent_again_with_the_same_identity() -> None:
    """The collector sees the same number twice and the next one once."""
    async with collector_server() as collector:
        collector.lose_answers = 2
        async with reporting(collector.url) as (tally, reporter):
            tally.failure(series(), observation(1.0))
            reporter.hurry()
            await collector.until(lambda: len(collector.batches) >= 2)
        assert [b.sequence for b in collector.arrivals][:2] == [1, 1]
        assert [b.sequence for b in collector.batches] == list(range(1, len(collector.batches) + 1))


async def test_a_busy_or_dead_collector_is_passed_over_for_the_next() -> None:
    """The first that answers gets the batch; the token is shown to it."""
    async with collector_server() as busy, collector_server() as alive:
        busy.statuses = [503] * 100
        async with reporting("http://127.0.0.1:9", busy.url, alive.url, token="secret"):
            await alive.until(lambda: bool(alive.batches))
        assert not busy.batches
        assert set(alive.tokens) == {"Bearer secret"}


async def test_a_refused_batch_does_not_block_those_after_it() -> None:
    """After a 422 the number goes out again with unobserved counts, then the rest follows."""
    async with collector_server() as collector:
        async with reporting(collector.url) as (tally, reporter):
            await collector.until(lambda: bool(collector.batches))
            collector.statuses = [422]
            tally.failure(series(), observation(1.0))
            reporter.hurry()
            await collector.until(lambda: any(b.unobserved for b in collector.batches))
        assert [u.reason for b in collector.batches for u in b.unobserved] == ["refused"]
        assert [b.sequence for b in collector.batches] == list(range(1, len(collector.batches) + 1))

"""Batches reach a collector in order, once, whatever collectors do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from canary.backlog import Bound, Store
from canary.clock import Clock
from canary.config import CanaryConfig
from canary.reporter import Reporter
from canary.spool import Spool
from canary.spool_files import DiskStore
from canary.tally import Tally
from canary.transport.choice import transports
from canary.transport.config import CollectorTlsConfig
from canary.transport.http import HttpTransport
from canary.transport.port import Answer
from collector.config import CollectorConfig
from collector.series import Health
from collector.wire import encode
from tests.canary.test_spool import observation, series
from tests.canary.world import collector_server
from tests.collector.samples import free_port, make_batch, running
from tests.collector.test_doors import Authority


@contextlib.asynccontextmanager
async def reporting(
    *urls: str, token: str | None = None, store: Store | None = None
) -> AsyncIterator[tuple[Tally, Reporter]]:
    tally = Tally()
    collectors = [HttpTransport(url, token) for url in urls]
    health = lambda: Health(host="h", zone="z", at=0.0, recused=False)  # noqa: E731
    reporter = Reporter(tally, Spool("h", "z", "b", urls, store=store), collectors, Clock(), health)
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


async def test_a_lost_answer_holds_nothing_else_back() -> None:
    """With two collectors the batch in doubt goes to the first again; a failure observed meanwhile reaches the second at once."""
    async with collector_server() as first, collector_server() as second:
        async with reporting(first.url, second.url) as (tally, reporter):
            await first.until(lambda: bool(first.batches))
            first.lose_answers = 3
            tally.failure(series(), observation(1.0))
            reporter.hurry()
            await first.until(lambda: bool(first.readings()), seconds=2.0)
            tally.failure(series(), observation(2.0))
            reporter.hurry()
            await second.until(lambda: bool(second.readings()), seconds=0.5)
            await first.until(lambda: not first.lose_answers)
            await first.until(lambda: len(first.arrivals) > len(first.batches) + 2)
        assert [r.at for r in first.readings()] == [1]
        assert [r.at for r in second.readings()] == [2]


async def test_a_collector_that_answers_again_gets_its_hosts_back() -> None:
    """After a pause in which it was busy, the preferred collector is asked again and not the other."""
    async with collector_server() as home, collector_server() as other:
        home.statuses = [503] * 2
        async with reporting(home.url, other.url):
            await other.until(lambda: bool(other.batches))
            home.statuses = []
            await home.until(lambda: bool(home.batches), seconds=8.0)
            before = len(other.batches)
            await home.until(lambda: len(home.batches) >= 3)
            assert len(other.batches) <= before + 1


async def test_what_was_not_sent_at_the_end_is_in_the_spool(tmp_path: Path) -> None:
    """An orderly end writes down what nobody has taken, the second under way included; the next life sends it."""
    async with collector_server() as collector:
        store = DiskStore(tmp_path / "h", max_bytes=1 << 20)
        async with reporting("http://127.0.0.1:9", store=store) as (tally, _):
            await asyncio.sleep(0)  # it begins
            tally.failure(series(), observation(1.0))
        store = DiskStore(tmp_path / "h", max_bytes=1 << 20)
        async with reporting(collector.url, store=store):
            await collector.until(lambda: bool(collector.readings()))
        assert [r.at for r in collector.readings()] == [1]


async def test_certificates_are_shown_and_asked_for(tmp_path: Path) -> None:
    """A collector with mutual TLS takes a batch from a canary with a certificate of its authority, and from no other."""
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    certificate, key = ours.issue("collector")
    config = CollectorConfig(
        port=free_port(),
        data_dir=tmp_path / "collector",
        tls_certificate_file=certificate,
        tls_key_file=key,
        client_ca_file=ours.file,
    )
    batch = make_batch(1)
    bound = Bound("", batch, encode(batch))
    url = f"https://127.0.0.1:{config.port}"
    async with running(config):
        for authority, answer in ((theirs, {Answer.NOT_TAKEN, Answer.IN_DOUBT}), (ours, {Answer.TAKEN})):
            mine, secret = authority.issue("canary")
            tls = CollectorTlsConfig(ca_file=ours.file, certificate_file=mine, key_file=secret)
            (transport,) = transports(CanaryConfig(collectors=(url,), collector_tls=tls), None, 0)
            assert await transport.offer(bound) in answer
            await transport.close()

"""Two real collectors feed one judgement: each entry once, and nobody waits for the one that is away."""

import asyncio
import time
from pathlib import Path

import pytest

from cfa.feed import CollectorClient
from cfa.feeds import MergedFeed
from collector.config import CollectorConfig
from collector.series import FeedEntry
from collector.wire import decode_feed
from collector.writer import Writer
from tests.collector.samples import Client, free_port, make_batch, running


class Reading:
    """Reads the merged feed to its end, again and again."""

    def __init__(self, feed: MergedFeed) -> None:
        self.feed = feed
        self.entries: list[FeedEntry] = []

    @property
    def index(self) -> int:
        """Of the last entry."""
        return self.entries[-1].cursor if self.entries else 0

    async def until(self, wanted: int, *, seconds: float = 10.0) -> float:
        """Until so many entries have come; how long it took."""
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            while len(self.entries) < wanted:
                self.entries += await self.feed.read(self.index, limit=100, wait_seconds=1.0)
        return time.monotonic() - began


async def post(client: Client, host: str, sequences: range) -> None:
    for sequence in sequences:
        status, _ = await client.post(make_batch(sequence, host=host))
        assert status == 200


async def test_two_collectors_one_of_which_goes_and_comes_back(tmp_path: Path) -> None:
    """All entries of both come once, numbered without holes; while one is away the other's come within a second."""
    configs = [CollectorConfig(port=free_port(), data_dir=tmp_path / str(i)) for i in range(2)]
    clients = {f"http://127.0.0.1:{c.port}": CollectorClient(f"http://127.0.0.1:{c.port}") for c in configs}
    feed = MergedFeed(clients)
    reading = Reading(feed)
    try:
        async with running(configs[0]) as first:
            async with running(configs[1]) as second:
                await post(first, "az1-canary-1", range(1, 6))
                await post(second, "az2-canary-1", range(1, 6))
                await reading.until(10)
            await post(first, "az1-canary-1", range(6, 11))
            assert await reading.until(15) < 2.0
            async with running(configs[1]) as second:
                await post(second, "az2-canary-1", range(6, 11))
                await post(first, "az1-canary-1", range(11, 13))
                await reading.until(22)
        assert [one.cursor for one in reading.entries] == list(range(1, 23))
        times = [one.received_at for one in reading.entries]
        assert times == sorted(times)
        hosts = [one.host for one in reading.entries]
        assert (hosts.count("az1-canary-1"), hosts.count("az2-canary-1")) == (12, 10)
        _, runs = feed.journal()
        assert runs[-1].index == 22
    finally:
        await feed.close()
        for client in clients.values():
            await client.close()


async def test_a_reader_that_is_ahead_of_what_the_loop_knows_is_not_told_of_another_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry is in the file before the writer's thread has told the loop of it: whoever has read it may ask for the next."""
    wake = Writer._wake

    def late(writer: Writer, newest: int, received_at: float) -> None:
        writer._loop.call_later(1.0, wake, writer, newest, received_at)

    monkeypatch.setattr(Writer, "_wake", late)
    async with running(CollectorConfig(port=free_port(), data_dir=tmp_path)) as client:
        await post(client, "az1-canary-1", range(1, 3))
        async with client.session.get(f"{client.base}/v1/feed?after=0") as answer:
            entries = decode_feed(await answer.read())
        assert len(entries) == 2
        async with client.session.get(f"{client.base}/v1/feed?after={entries[-1].cursor}&wait=0.1") as answer:
            assert (answer.status, await answer.read()) == (200, b"[]")
        async with client.session.get(f"{client.base}/v1/feed?after=99") as answer:
            assert answer.status == 410

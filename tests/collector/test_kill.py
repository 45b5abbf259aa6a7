"""kill -9 at any moment: nothing acknowledged is lost, nothing is counted twice."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from collector.config import CollectorConfig
from collector.observation import Outcome
from collector.wire import decode_feed
from tests.collector.samples import Client, make_batch

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import asyncio, sys
from collector.config import CollectorConfig
from collector.server import run
asyncio.run(run(CollectorConfig.model_validate_json(sys.argv[1])))
"""
HOSTS = tuple(f"az{zone}-canary-{n}" for zone in (1, 2, 3) for n in (1, 2))


@contextlib.asynccontextmanager
async def process(config: CollectorConfig) -> AsyncIterator[asyncio.subprocess.Process]:
    """A collector of its own process, killed on leaving."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, config.model_dump_json(), cwd=ROOT)
    try:
        await until_ready(config)
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def until_ready(config: CollectorConfig) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://{config.host}:{config.port}/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.02)


class Sender:
    """A host that numbers its batches, and sends one again until it is acknowledged, as canaries do."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.sequence = 1
        self.acknowledged = 0
        self.repeated = 0

    async def send(self, client: Client, stop: asyncio.Event) -> None:
        """Until told to stop, or the collector is dead."""
        with contextlib.suppress(aiohttp.ClientError, OSError):
            while not stop.is_set():
                status, answer = await client.post(make_batch(self.sequence, host=self.host))
                assert status == 200
                self.repeated += answer["status"] == "duplicate"
                self.acknowledged += 1
                self.sequence += 1


@pytest.mark.proof
@pytest.mark.end_to_end
async def test_kill_9_under_load_loses_nothing_and_counts_nothing_twice(
    config_of: Callable[..., CollectorConfig],
) -> None:
    """Six hosts send as fast as they can through six deaths; feed and ledger then hold each acknowledged batch exactly once."""
    config, dice = config_of(), random.Random(9)
    senders = [Sender(host) for host in HOSTS]
    for _ in range(6):
        async with process(config) as child, aiohttp.ClientSession() as session:
            client, stop = Client(config, session), asyncio.Event()
            sending = [asyncio.create_task(sender.send(client, stop)) for sender in senders]
            await asyncio.sleep(dice.uniform(0.1, 0.4))
            child.kill()
            await asyncio.gather(*sending)
    async with process(config), aiohttp.ClientSession() as session:
        client = Client(config, session)
        await check(client, senders)


async def check(client: Client, senders: list[Sender]) -> None:
    """Feed and ledger against what the senders were told. A batch on its way at a death may be there once, unacknowledged."""
    seen: dict[str, int] = {}
    cursor, times = 0, []
    while entries := decode_feed(await feed(client, cursor)):
        for entry in entries:
            assert entry.cursor > cursor
            cursor = entry.cursor
            times.append(entry.received_at)
            seen[entry.host] = seen.get(entry.host, 0) + 1
    assert times == sorted(times)
    assert sum(s.acknowledged for s in senders) > 100
    for sender in senders:
        assert 0 <= seen[sender.host] - sender.acknowledged <= 1
    counted: dict[str, int] = {}
    for row in await client.rows(by="host"):
        counted[row.series.host] = counted.get(row.series.host, 0) + row.counts[Outcome.SUCCESS]
    assert counted == {host: 2 * batches for host, batches in seen.items()}


async def feed(client: Client, after: int) -> bytes:
    async with client.session.get(f"{client.base}/v1/feed?after={after}&limit=1000") as answer:
        return await answer.read()

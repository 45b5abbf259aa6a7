"""kill -9 under load, sealing and checkpoints going on: every acknowledged batch is counted exactly once, and nothing else."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from collector.column_batch import decode_told
from collector.config import CollectorConfig
from collector.interval import interval_of
from tests.collector.bulk.frames import counts, expected, names, open_store, totals
from tests.collector.samples import Client
from tests.collector.test_kill import process

HOSTS = ("az1-a", "az2-b", "az3-c", "az1-d")
SERIES = 2000


class Sender:
    """Numbers its batches, sends one again until it is acknowledged, and knows what each holds."""

    def __init__(self, host: str, began: int) -> None:
        self.host = host
        self.began = began
        self.dice = random.Random(host)
        self.body = b""
        self.acknowledged = 0
        self.wanted: dict[int, Counter[Any]] = {}

    def make(self) -> None:
        """The next batch: of an interval long over, which is sealed as it comes, or of the current one."""
        number = self.acknowledged + 1
        at = self.began - 300 * self.dice.randrange(3)
        places = {
            "success": {n: self.dice.randrange(1, 1000) for n in self.dice.sample(range(SERIES), 200)},
            "server_fault": dict.fromkeys(self.dice.sample(range(SERIES), 3), 1),
        }
        self.wanted[number] = expected(self.host, at, places)
        self.body = counts(self.host, number, at, places)

    async def send(self, client: Client, stop: asyncio.Event) -> None:
        """Until told to stop, or the collector is dead."""
        with contextlib.suppress(aiohttp.ClientError, OSError):
            while not stop.is_set():
                if self.acknowledged + 1 not in self.wanted:
                    self.make()
                await self._post(client, self.body)
                self.acknowledged += 1

    async def _post(self, client: Client, body: bytes) -> None:
        async with client.session.post(f"{client.base}/v1/counters", data=body) as answer:
            if answer.status == 409:
                await self._post(client, names(self.host, range(SERIES)))
                return await self._post(client, body)
            assert answer.status == 200, await answer.text()
        return None


@pytest.mark.proof
@pytest.mark.end_to_end
async def test_kill_9_under_load_loses_nothing_and_counts_nothing_twice(
    config_of: Callable[..., CollectorConfig],
) -> None:
    """Four senders through four deaths, intervals being sealed meanwhile; then feed, open and sealed counts are compared with what was sent."""
    config = config_of(seal_after_seconds=0)
    dice, began = random.Random(9), int(time.time())
    senders = [Sender(host, began) for host in HOSTS]
    for _ in range(4):
        async with process(config) as child, aiohttp.ClientSession() as session:
            client, stop = Client(config, session), asyncio.Event()
            sending = [asyncio.create_task(sender.send(client, stop)) for sender in senders]
            await asyncio.sleep(dice.uniform(0.3, 2.5))
            child.kill()
            await asyncio.gather(*sending)
    async with process(config), aiohttp.ClientSession() as session:
        seen = await in_feed(Client(config, session))
    assert sum(sender.acknowledged for sender in senders) > 100
    wanted: Counter[Any] = Counter()
    for sender in senders:
        assert seen[sender.host] == list(range(1, len(seen[sender.host]) + 1))
        # A batch on its way at a death may be there once, unacknowledged.
        assert 0 <= len(seen[sender.host]) - sender.acknowledged <= 1
        wanted.update(sum((sender.wanted[n] for n in seen[sender.host]), Counter()))
    store = open_store(config.data_dir / "counters")
    assert len(store.sealed.newest) >= 1
    assert totals(store) == wanted
    store.close()
    assert interval_of(began) - 600 in store.sealed.newest


async def in_feed(client: Client) -> dict[str, list[int]]:
    """The sequence numbers of each host, in the feed's order."""
    seen: dict[str, list[int]] = {host: [] for host in HOSTS}
    cursor = 0
    while True:
        async with client.session.get(f"{client.base}/v1/counters/feed?after={cursor}") as answer:
            if answer.status == 204:
                return seen
            assert answer.status == 200, await answer.text()
            for entry, _ in decode_told(await answer.read()):
                assert entry.cursor > cursor
                cursor = entry.cursor
                seen[entry.host].append(entry.sequence)

"""One process of synthetic hosts that report through the real spool and reporter, and write down what they handed over.

``python -m benchmarks.kill_load JSON``: see :class:`Order`. When the time is over, or a line comes on standard input, it
waits until every spool is empty and prints an :class:`Account`.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from canary.backlog import Bound
from canary.clock import Clock
from canary.config import CanaryConfig
from canary.plan import Host
from canary.reporter import Reporter
from canary.tally import Tally
from canary.transport.choice import Way, way_of
from canary.transport.config import JetStreamConfig, SpoolConfig
from canary.transport.port import Answer, Transport
from collector.interval import interval_of
from collector.observation import Connection, Observation, OperationClass, Outcome, Vantage
from collector.series import Health, Series

STEP_SECONDS = 0.02
FAILURE_SHARE = 0.004
EMPTY_WITHIN_SECONDS = 90.0
OPERATIONS = (OperationClass.WRITE, OperationClass.STRONG_READ, OperationClass.EVENTUAL_READ)


class Order(msgspec.Struct, frozen=True):
    """What to do."""

    hosts: list[str]
    first_rank: int
    rate: float
    """Observations a second of each host."""
    seconds: float
    folder: str
    collectors: list[str]
    nats: str | None = None
    shards: int = 1
    seed: int = 1


class Account(msgspec.Struct):
    """What was done. ``counts``: host, operation, partition, interval, outcome and how often."""

    counts: list[tuple[str, str, str, int, str, int]]
    left: int
    answers: dict[str, int]
    failure_delays: list[float]
    """Seconds from a failure to the answer that it is durable."""


class Watched:
    """A transport whose answers are counted."""

    def __init__(self, transport: Transport, account: Account) -> None:
        self._transport = transport
        self._account = account
        self.name = transport.name

    async def offer(self, bound: Bound) -> Answer:
        """Pass it on."""
        answer = await self._transport.offer(bound)
        answers = self._account.answers
        answers[answer] = answers.get(answer, 0) + 1
        if answer is Answer.TAKEN:
            now = time.time()
            failures = [f.at for reading in bound.batch.readings for f in reading.failures]
            self._account.failure_delays += [now - at for at in failures]
        return answer

    async def probe(self) -> bool:
        """Pass it on."""
        return await self._transport.probe()

    async def close(self) -> None:
        """Pass it on."""
        await self._transport.close()


def config_of(order: Order) -> CanaryConfig:
    """The canaries' settings."""
    nats = None if order.nats is None else JetStreamConfig(servers=(order.nats,), shards=order.shards)
    return CanaryConfig(
        collectors=tuple(order.collectors), jetstream=nats, spool=SpoolConfig(dir=Path(order.folder) / "spool")
    )


def series_of(host: str, operation: OperationClass, partition: str) -> Series:
    """One of a host's series."""
    return Series(
        vantage=Vantage.CANARY,
        host=host,
        zone=host[:3],
        operation=operation,
        table="canary",
        endpoint="standard",
        connection=Connection.POOLED,
        partition=partition,
    )


class SyntheticHost:
    """Observes at a steady rate; keeps its own count."""

    def __init__(self, host: Host, order: Order, way: Way, account: Account) -> None:
        self._series = [series_of(host.name, o, f"p-{p}") for o in OPERATIONS for p in range(3)]
        self._dice = random.Random(f"{order.seed}/{host.name}")
        self._rate = order.rate
        self.tally = Tally()
        self.spool = way.spool
        self.seen: Counter[tuple[Series, int, Outcome]] = Counter()
        ways: Sequence[Transport] = [Watched(transport, account) for transport in way.transports]
        health = Health(host=host.name, zone=host.zone, at=time.time(), recused=False)
        self.reporter = Reporter(self.tally, way.spool, ways, Clock(), lambda: health)

    async def observe(self, until: float, stop: asyncio.Event) -> None:
        """Until the monotonic time ``until``, or told to stop."""
        began, made = time.monotonic(), 0
        while (now := time.monotonic()) < until and not stop.is_set():
            for _ in range(int((now - began) * self._rate) - made):
                made += 1
                self._one()
            await asyncio.sleep(STEP_SECONDS)

    def _one(self) -> None:
        series, at = self._dice.choice(self._series), time.time()
        if self._dice.random() >= FAILURE_SHARE:
            self.tally.success(series, at, self._dice.uniform(0.5, 30))
            self.seen[series, interval_of(int(at)), Outcome.SUCCESS] += 1
            return
        self.tally.failure(series, _failure(series, at))
        self.seen[series, interval_of(int(at)), Outcome.TIMEOUT] += 1
        self.reporter.hurry()


def _failure(series: Series, at: float) -> Observation:
    return Observation(
        at=at,
        endpoint="standard",
        connection=Connection.POOLED,
        operation=series.operation,
        table="canary",
        outcome=Outcome.TIMEOUT,
        reason="deadline",
        partition=series.partition,
    )


async def run(order: Order) -> Account:
    """Observe, then wait until everything is told."""
    account = Account([], 0, {}, [])
    boot = f"{time.time_ns():x}"
    names = [Host(name, name[:3], order.first_rank + i) for i, name in enumerate(order.hosts)]
    hosts = [SyntheticHost(host, order, way_of(config_of(order), host, boot, None), account) for host in names]
    reporting = [asyncio.create_task(host.reporter.run()) for host in hosts]
    stop = asyncio.Event()
    told = asyncio.create_task(_told_to_stop(stop))
    until = time.monotonic() + order.seconds
    await asyncio.gather(*(host.observe(until, stop) for host in hosts))
    await asyncio.sleep(1.5)  # the last flush
    ends = time.monotonic() + EMPTY_WITHIN_SECONDS
    while any(len(host.spool) for host in hosts) and time.monotonic() < ends:
        await asyncio.sleep(0.05)
    for task in (told, *reporting):
        task.cancel()
    await asyncio.gather(told, *reporting, return_exceptions=True)
    account.left = sum(len(host.spool) for host in hosts)
    account.counts = [
        (series.host, series.operation, series.partition or "", start, outcome, count)
        for host in hosts
        for (series, start, outcome), count in host.seen.items()
    ]
    return account


async def _told_to_stop(stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    if await reader.readline():
        stop.set()


if __name__ == "__main__":
    found = asyncio.run(run(msgspec.json.decode(sys.argv[1], type=Order)))
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")

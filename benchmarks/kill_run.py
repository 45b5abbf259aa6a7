"""Two collectors under load while something is killed with -9 again and again; then ledgers against what was handed over."""

import asyncio
import contextlib
import itertools
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.kill_load import Account, Order
from collector.config import CollectorConfig, HistoryConfig
from collector.transport.config import JetStreamIntakeConfig
from collector.wire import UnobservedRow, decode_intervals

ROOT = Path(__file__).resolve().parents[1]
COLLECTOR = """
import asyncio, sys
from collector.config import CollectorConfig
from collector.server import run
asyncio.run(run(CollectorConfig.model_validate_json(sys.argv[1])))
"""
START_SECONDS = 60.0
Key = tuple[str, str, str, int, str]


@dataclass
class Program:
    """One process that is killed and started again; the same command each time."""

    name: str
    command: list[str]
    log: Path = Path("/dev/null")
    process: asyncio.subprocess.Process | None = None
    kills: int = 0

    async def start(self) -> None:
        """Start it; whether it is ready, others find out."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(*self.command, cwd=ROOT, stdout=log, stderr=log)

    async def kill(self) -> None:
        """Kill -9."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
            self.kills += 1

    async def kill_and_start(self) -> None:
        """A crash, and a supervisor that starts it again."""
        await self.kill()
        await self.start()


@dataclass(kw_only=True)
class Outcome:
    """``wrong``: by key, counted minus handed over, where it is not 0."""

    sent: int
    counted: int
    unobserved: int
    wrong: dict[Key, int]
    left: int
    kills: dict[str, int]
    answers: dict[str, int] = field(default_factory=dict)
    failure_delays: list[float] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Every observation in one of the ledgers, once; nothing waits, nothing is unobserved."""
        return not self.wrong and not self.left and not self.unobserved and self.sent == self.counted


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def collector_configs(folder: Path, nats: str | None) -> list[CollectorConfig]:
    """Two; over JetStream each has one of two shards."""
    return [
        CollectorConfig(
            port=free_port(),
            data_dir=folder / f"collector-{i}",
            history=HistoryConfig(enabled=False),
            jetstream=None if nats is None else JetStreamIntakeConfig(servers=(nats,), shards=2, mine=(i,)),
        )
        for i in range(2)
    ]


def collector(config: CollectorConfig, folder: Path) -> Program:
    """A collector as its own process."""
    name = config.data_dir.name
    command = [sys.executable, "-c", COLLECTOR, config.model_dump_json()]
    return Program(name, command, log=folder / f"{name}.log")


def nats_server(folder: Path, port: int) -> Program:
    """Debian's nats-server with JetStream on disk."""
    found = shutil.which("nats-server", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        raise FileNotFoundError("nats-server: apt-get install nats-server")
    command = [found, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder / "nats")]
    return Program("nats-server", command, log=folder / "nats.log")


async def until_ready(config: CollectorConfig) -> None:
    """Until it answers."""
    async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{config.port}/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


async def ledger(config: CollectorConfig, since: float) -> tuple[Counter[Key], int]:
    """All counts of one ledger, and how many probes it calls unobserved."""
    counts: Counter[Key] = Counter()
    span = {"start": f"{since - 600:.0f}", "end": f"{time.time() + 600:.0f}"}
    base = f"http://127.0.0.1:{config.port}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/v1/intervals", params=span) as answer:
            for row in decode_intervals(await answer.read()):
                s = row.series
                for outcome, count in row.counts.items():
                    counts[s.host, s.operation, s.partition or "", row.start, outcome] += count
        async with session.get(f"{base}/v1/unobserved", params=span) as answer:
            rows = msgspec.json.decode(await answer.read(), type=list[UnobservedRow])
    return counts, sum(row.count for row in rows)


@contextlib.asynccontextmanager
async def running(programs: list[Program]) -> AsyncIterator[None]:
    """All of them, killed on leaving."""
    try:
        for program in programs:
            await program.start()
        yield
    finally:
        for program in programs:
            await program.kill()


async def load(order: Order) -> Account:
    """One process of synthetic hosts, to its end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.kill_load",
        msgspec.json.encode(order).decode(),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        output = await child.stdout.read()  # not communicate(): that would close its standard input
        await child.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
    return msgspec.json.decode(output, type=Account)


async def killed(
    folder: Path, *, seconds: float, every_seconds: float, rate: float, over: str, hosts: int = 20
) -> Outcome:
    """``over``: ``http`` (a collector is killed each time, in turn) or ``jetstream`` (the server and both collectors, in turn)."""
    port = free_port()
    nats = f"nats://127.0.0.1:{port}" if over == "jetstream" else None
    configs = collector_configs(folder, nats)
    collectors = [collector(config, folder) for config in configs]
    programs = [nats_server(folder, port), *collectors] if nats else collectors
    names = [f"az{1 + i % 3}-canary-{1 + i // 3}" for i in range(hosts)]
    orders = [
        Order(
            hosts=names[half::2],
            first_rank=half,
            rate=rate / hosts,
            seconds=seconds,
            folder=str(folder),
            collectors=[f"http://127.0.0.1:{config.port}" for config in configs],
            nats=nats,
            shards=2,
            seed=half,
        )
        for half in range(2)
    ]
    began = time.time()
    async with running(programs):
        for config in configs:
            await until_ready(config)
        killing = asyncio.create_task(_kill_in_turn(programs, began + seconds, every_seconds))
        accounts = await asyncio.gather(*(load(order) for order in orders))
        await killing
        for config in configs:
            await until_ready(config)
        if nats:
            await _until_quiet(configs, began, sum(n for a in accounts for *_, n in a.counts))
        ledgers = [await ledger(config, began) for config in configs]
    return compare(accounts, ledgers, {program.name: program.kills - 1 for program in programs})


async def _kill_in_turn(programs: list[Program], until: float, every_seconds: float) -> None:
    for program in itertools.cycle(programs):
        await asyncio.sleep(every_seconds)
        if time.time() > until:
            return
        await program.kill_and_start()


async def _until_quiet(configs: list[CollectorConfig], since: float, wanted: int) -> None:
    """Until the collectors have taken from the stream what was sent, or nothing more comes."""
    last, still = -1, 0
    while still < 50:
        found = sum([sum((await ledger(config, since))[0].values()) for config in configs])
        if found >= wanted:
            return
        still = still + 1 if found == last else 0
        last = found
        await asyncio.sleep(0.5)


def compare(accounts: list[Account], ledgers: list[tuple[Counter[Key], int]], kills: dict[str, int]) -> Outcome:
    """The union of the ledgers against what was handed over."""
    sent: Counter[Key] = Counter()
    answers: Counter[str] = Counter()
    for account in accounts:
        sent.update({(h, o, p, start, outcome): n for h, o, p, start, outcome, n in account.counts})
        answers.update(account.answers)
    counted: Counter[Key] = Counter()
    for counts, _ in ledgers:
        counted.update(counts)
    wrong = {key: counted[key] - sent[key] for key in sent.keys() | counted.keys() if counted[key] != sent[key]}
    return Outcome(
        sent=sum(sent.values()),
        counted=sum(counted.values()),
        unobserved=sum(unobserved for _, unobserved in ledgers),
        wrong=wrong,
        left=sum(account.left for account in accounts),
        kills=kills,
        answers=dict(answers),
        failure_delays=sorted(delay for account in accounts for delay in account.failure_delays),
    )

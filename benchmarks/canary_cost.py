"""CPU per probe of a whole canary (schedule, signing, attempt, checks, recording, reporting) beside blackbox_exporter.

One small server for both, the same rate, each prober alone in its process, its CPU from /proc divided by the requests that
the server has answered meanwhile; rounds interleaved. Then lateness at 1,000 probes a second, and a target that stands still.
``BENCH_ROUNDS`` and ``BENCH_SECONDS`` change how long.
"""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from benchmarks.figures import Result
from benchmarks.processes import cpu_seconds, running
from benchmarks.target_files import certificate, free_port
from canary.connection import HttpConnection, open_http, open_tcp
from collector.wire import decode_batch

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
RATES = (200, 1000)
"""Rarely asked, every probe finds the processor cold and is dearer, for everybody."""
WARM_UP_SECONDS = 1.5
FIRST_ROUND_SECONDS = 9.0
"""A canary meets each series for the first time in its first round over the nine partitions' keys; it then runs for weeks."""
BUSY_RATE, STALL_RATE, STALL_SECONDS = 1000, 500, 2.0
BLACKBOX = shutil.which("prometheus-blackbox-exporter") or shutil.which("blackbox_exporter")
CASES = {"canary fresh": "fresh", "canary pooled": "pooled", "blackbox": "blackbox"}


@dataclass(slots=True)
class Stub:
    """A collector that only counts."""

    observed: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    unobserved: dict[str, int] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One canary's connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if b"content-length:" not in head:  # a poll for asks: there is nothing of the kind here
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                self.take(await reader.readexactly(size))
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"status":"accepted"}')
        writer.close()

    def take(self, body: bytes) -> None:
        """Count a batch."""
        batch = decode_batch(body)
        for reading in batch.readings:
            self.observed += sum(reading.counts.values())
            for failure in reading.failures:
                self.failures[failure.reason] = self.failures.get(failure.reason, 0) + 1
        for lost in batch.unobserved:
            self.unobserved[lost.reason] = self.unobserved.get(lost.reason, 0) + lost.count
        if self.observed:
            self.arrived.set()


@dataclass(frozen=True, slots=True)
class Target:
    """The small server: where it is, its process, and its certificate when it speaks TLS."""

    port: int
    pid: int
    authority: Path | None

    async def answered(self) -> int:
        """How many probes it has answered."""
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context(cafile=str(self.authority)) if self.authority else None
        connection = await open_http(loop, await open_tcp(loop, "127.0.0.1", self.port), tls, "127.0.0.1")
        try:
            return int((await connection.ask(b"GET /count HTTP/1.1\r\nHost: target\r\n\r\n")).body)
        finally:
            connection.abort()


@contextlib.contextmanager
def target(folder: Path, *, tls: bool) -> Iterator[Target]:
    """The small server for as long as the block lasts."""
    files = certificate(folder) if tls else None
    command = [sys.executable, "-m", "benchmarks.small_server", *map(str, files or ())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Target(int(process.stdout.readline()), process.pid, files[0] if files else None)
    finally:
        process.kill()
        process.wait()


def canary_config(
    folder: Path, at: Target, collector: int, rate: int, connections: tuple[str, ...]
) -> dict[str, object]:
    """One host whose cells, each asked once a second, make up ``rate``; every probe is a series of its own (the dear case)."""
    endpoints = rate // 2 // len(connections)
    tls = at.authority is not None
    return {
        "zones": ["az1"],
        "hosts_per_zone": 1,
        "endpoints": [
            {"name": f"endpoint-{i}", "host": "127.0.0.1", "port": at.port, "tls": tls} for i in range(endpoints)
        ],
        "ca_file": str(at.authority) if tls else None,
        "operations": ["write", "strong_read"],
        "connections": connections,
        "cadence_seconds": 1.0,
        "deadline_seconds": 5.0,
        "collectors": [f"http://127.0.0.1:{collector}"],
        "admin_ports": {"az1": free_port()},
        "spool": {"dir": tempfile.mkdtemp(dir=folder)},
        # Only what the schedule intends, so that the sums must agree.
        "sdk": {"cadence_seconds": 0},
        "extra_probes_per_second": 0,
    }


@contextlib.asynccontextmanager
async def canary(
    folder: Path, at: Target, rate: int, connections: tuple[str, ...], *more: str
) -> AsyncIterator[tuple[int, Stub]]:
    """A canary process that is at work."""
    stub = Stub()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, limit=16 * 1024 * 1024)
    config = canary_config(folder, at, server.sockets[0].getsockname()[1], rate, connections)
    path = folder / "canary.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    with running([sys.executable, "-m", "benchmarks.canary_host", str(path), *more], folder / "canary.log") as pid:
        async with asyncio.timeout(20):
            await stub.arrived.wait()
        yield pid, stub
    server.close()


async def canary_cost(folder: Path, at: Target, rate: int, kind: str) -> float:
    """Microseconds per probe."""
    async with canary(folder, at, rate, (kind,)) as (pid, stub):
        await asyncio.sleep(FIRST_ROUND_SECONDS)
        cost = await cost_of(pid, at)
        assert not stub.failures, stub.failures
        return cost


async def cost_of(pid: int, at: Target) -> float:
    """CPU microseconds of a process per request that the target answers, while it is asked."""
    await asyncio.sleep(WARM_UP_SECONDS)
    began, used = await at.answered(), cpu_seconds((pid,))
    await asyncio.sleep(SECONDS)
    return (cpu_seconds((pid,)) - used) / (await at.answered() - began) * 1e6


async def blackbox_cost(folder: Path, at: Target, rate: int, _kind: str) -> float:
    """Microseconds per probe; what Prometheus needs to ask for it is left out."""
    assert BLACKBOX
    port = free_port()
    tls = "" if at.authority is None else f"\n      tls_config:\n        ca_file: {at.authority}"
    modules = f"modules:\n  http:\n    prober: http\n    http:\n      preferred_ip_protocol: ip4{tls}\n"
    (folder / "blackbox.yml").write_text(modules)
    command = [BLACKBOX, f"--config.file={folder}/blackbox.yml", f"--web.listen-address=127.0.0.1:{port}"]
    with running([*command, "--log.level=error"], folder / "blackbox.log") as pid:
        await listening(port)
        driver = asyncio.create_task(drive(port, at, rate))
        try:
            return await cost_of(pid, at)
        finally:
            driver.cancel()
            await asyncio.wait([driver])


async def listening(port: int) -> None:
    """Wait until somebody accepts connections."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                (await open_tcp(asyncio.get_running_loop(), "127.0.0.1", port)).close()
                return
            await asyncio.sleep(0.1)


async def drive(port: int, at: Target, rate: int) -> None:
    """Ask blackbox ``rate`` times a second, whether or not earlier answers have come."""
    scheme = "http" if at.authority is None else "https"
    url = f"/probe?module=http&target={scheme}://127.0.0.1:{at.port}/"
    idle: list[HttpConnection] = []
    loop, due = asyncio.get_running_loop(), monotonic()
    async with asyncio.TaskGroup() as group:

        async def ask() -> None:
            connection = (
                idle.pop() if idle else await open_http(loop, await open_tcp(loop, "127.0.0.1", port), None, "")
            )
            answer = await connection.ask(f"GET {url} HTTP/1.1\r\nHost: blackbox\r\n\r\n".encode())
            assert b"probe_success 1" in answer.body, answer.body
            idle.append(connection)

        while True:
            group.create_task(ask())
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - monotonic()))


async def costs(folder: Path, *, tls: bool) -> dict[str, list[float]]:
    """All rounds of each prober; 1,000 handshakes a second would be more than a core, for either."""
    found: dict[str, list[float]] = {}
    with target(folder, tls=tls) as at:
        for _, rate, (name, kind) in itertools.product(range(ROUNDS), RATES[:1] if tls else RATES, CASES.items()):
            if kind == "blackbox" and BLACKBOX is None:
                continue
            measure = blackbox_cost if kind == "blackbox" else canary_cost
            case = f"{name}{', TLS' if tls else ''}, {rate}/s"
            found.setdefault(case, []).append(await measure(folder, at, rate, kind))
    return found


@dataclass(frozen=True, slots=True)
class Punctuality:
    """Start lateness of one round, milliseconds, and cores used; beside it a bare timer's."""

    p50: float
    p99: float
    worst: float
    cores: float
    ticker_p99: float
    ticker_worst: float
    unobserved: int


def noted(path: Path) -> dict[str, Any]:
    """What a canary host has written down."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


async def punctuality(folder: Path, at: Target) -> Punctuality:
    """One round at ``BUSY_RATE``, half of it on fresh connections."""
    ours, bare = folder / "lateness.json", folder / "ticker.json"
    ticker = [sys.executable, "-m", "benchmarks.canary_host", "ticker", str(BUSY_RATE), str(bare)]
    with running(ticker, folder / "ticker.log"):
        async with canary(folder, at, BUSY_RATE, ("fresh", "pooled"), str(ours)) as (pid, stub):
            await asyncio.sleep(WARM_UP_SECONDS)
            used = cpu_seconds((pid,))
            await asyncio.sleep(SECONDS)
            cores = (cpu_seconds((pid,)) - used) / SECONDS
    kept, idle = (sorted(noted(path)["lateness"][-int(BUSY_RATE * SECONDS) :]) for path in (ours, bare))
    at_share = lambda values, share: values[int(share * (len(values) - 1))] * 1000  # noqa: E731
    return Punctuality(
        at_share(kept, 0.5),
        at_share(kept, 0.99),
        kept[-1] * 1000,
        cores,
        at_share(idle, 0.99),
        idle[-1] * 1000,
        sum(stub.unobserved.values()),
    )


@dataclass(frozen=True, slots=True)
class Stall:
    """What became of the probes that were intended while a target stood still for a while."""

    intended: int
    observed: int
    unobserved: int
    failed: int


async def stall(folder: Path, at: Target) -> Stall:
    """The target is stopped for two seconds; then the canary's intentions end, and all that it intended must have been reported."""
    ours = folder / "stall.json"
    async with canary(folder, at, STALL_RATE, ("fresh", "pooled"), str(ours)) as (pid, stub):
        await asyncio.sleep(WARM_UP_SECONDS)
        os.kill(at.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(STALL_SECONDS)
        finally:
            os.kill(at.pid, signal.SIGCONT)
        await asyncio.sleep(2.0)
        os.kill(pid, signal.SIGUSR1)
        await asyncio.sleep(3.0)
    return Stall(
        int(noted(ours)["intended"]), stub.observed, sum(stub.unobserved.values()), sum(stub.failures.values())
    )


def spread(values: list[float]) -> str:
    """Median (minimum–maximum)."""
    return f"{median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def table(found: dict[str, list[float]], rounds: list[Punctuality], still: Stall) -> str:
    """For a person."""
    lines = ["| prober | CPU µs per probe |", "| --- | --- |"]
    lines += [f"| {name} | {spread(values)} |" for name, values in found.items()]
    lines += ["", "| 1,000 probes/s | p50 ms | p99 ms | max ms | cores | bare timer p99 / max ms | unobserved |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| round {i} | {r.p50:.2f} | {r.p99:.2f} | {r.worst:.1f} | {r.cores:.2f} | {r.ticker_p99:.2f} / {r.ticker_worst:.1f} | {r.unobserved} |"
        for i, r in enumerate(rounds, start=1)
    ]
    lines += ["", f"target stopped for {STALL_SECONDS:g} s at {STALL_RATE}/s: {still}"]
    return "\n".join(lines)


async def measure(folder: Path) -> tuple[dict[str, list[float]], list[Punctuality], Stall]:
    """Everything, one after the other."""
    found = await costs(folder, tls=False) | await costs(folder, tls=True)
    with target(folder, tls=False) as at:
        rounds = [await punctuality(folder, at) for _ in range(ROUNDS)]
        return found, rounds, await stall(folder, at)


def run() -> Result:
    """The table; the ratio is that of fresh probes without TLS."""
    import uvloop  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        found, rounds, still = uvloop.run(measure(Path(folder)))
    best = min(rounds, key=lambda r: r.p99)
    figures = {
        f"{name.replace(', ', '_').replace(' ', '_').replace('/', '_per_')}_us": median(values)
        for name, values in found.items()
    }
    figures["stall_lost"] = float(still.intended - still.observed - still.unobserved)
    figures |= {"lateness_p99_ms": best.p99, "cores_at_1000": best.cores, "stall_unobserved": float(still.unobserved)}
    against = found.get("blackbox, 200/s")
    return Result(
        name="canary-cost",
        figures=figures,
        ratio=median(against) / median(found["canary fresh, 200/s"]) if against else None,
        against="blackbox_exporter, same server, fresh connections, no TLS, 200/s"
        if against
        else "(no blackbox_exporter here)",
        table=table(found, rounds, still),
    )

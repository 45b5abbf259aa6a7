"""Counters by the million: the columnar lane of a real collector against VictoriaMetrics, over sockets, the same counts.

``BENCH_SERIES`` (1,000,000), ``BENCH_TICKS`` (5) and ``BENCH_SAMPLES`` (samples a batch, 50,000) change the size. CPU and memory
are those of the serving process, from /proc; what the sender needs is not counted on either side.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bulk_frames import RemoteWrite, Ticks, table
from benchmarks.figures import Result
from benchmarks.processes import memory_bytes, running
from collector.column_batch import decode_told
from collector.config import CollectorConfig

SERIES = int(os.environ.get("BENCH_SERIES", "1000000"))
TICKS = int(os.environ.get("BENCH_TICKS", "5"))
SAMPLES = int(os.environ.get("BENCH_SAMPLES", "50000"))
CONNECTIONS = 4
VICTORIA = shutil.which("victoria-metrics")
_COLLECTOR = """
import asyncio, sys, logging, uvloop
from collector.config import CollectorConfig
from collector.server import run
uvloop.run(run(CollectorConfig.model_validate_json(sys.argv[1])))
"""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a server listens, and its process."""

    port: int
    pid: int

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """One request; an answer above 299 is an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            return _asked(connection, method, path, body, headers)
        finally:
            connection.close()

    def send(self, path: str, bodies: Iterable[bytes], **headers: str) -> None:
        """All of ``bodies`` over a few connections."""
        waiting = iter(bodies)

        def work() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
            for body in _shared(waiting):
                _asked(connection, "POST", path, body, headers)
            connection.close()

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            for done in [threads.submit(work) for _ in range(CONNECTIONS)]:
                done.result()

    def until_ready(self, path: str) -> float:
        """Wait for a 200; seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < 120:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.ask("GET", path)
                return time.monotonic() - began
            time.sleep(0.02)
        raise TimeoutError(f"port {self.port} never answered {path}")


def _asked(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> bytes:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    told = answer.read()
    if answer.status > 299:
        raise RuntimeError(f"{method} {path}: {answer.status} {told[:300]!r}")
    return told


def _shared(bodies: Iterator[bytes]) -> Iterator[bytes]:
    """Each thread's share: generators cannot be asked by two at once, and nothing here is made while one is asked."""
    while True:
        try:
            yield next(bodies)
        except StopIteration:
            return
        except ValueError:  # another thread is asking just now
            time.sleep(0.001)


def _cpu_seconds(pid: int) -> float:
    """CPU of all threads of a process, to the nanosecond: /proc/PID/stat counts hundredths, a tick needs only a few of them."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _collector(folder: Path, ready: str = "/ready") -> Iterator[Door]:
    config = CollectorConfig(port=_port(), data_dir=folder / "collector", seal_after_seconds=600)
    command = [sys.executable, "-c", _COLLECTOR, config.model_dump_json()]
    with running(command, folder / "collector.log") as pid:
        door = Door(config.port, pid)
        door.until_ready(ready)
        yield door


def run() -> Result:
    """Measure ours, then the alternative."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        figures = _ours(folder)
        if VICTORIA is not None:
            figures |= _victoria(folder)
    ratio = figures.get("victoria_cpu_us_per_sample", 0.0) / figures["cpu_us_per_sample"]
    return Result(
        name="bulk_counters", figures=figures, ratio=ratio or None,
        against="VictoriaMetrics, the same counters by remote write (CPU per sample)", table=_table(figures),
    )  # fmt: skip


def _ours(folder: Path) -> dict[str, float]:
    ticks = Ticks(SERIES)
    with _collector(folder) as door:
        used = _cpu_seconds(door.pid)
        door.send("/v1/counters", ticks.names())
        figures = {"register_cpu_us_per_series": (_cpu_seconds(door.pid) - used) / SERIES * 1e6}
        door.send("/v1/counters", ticks.frames(0, int(time.time()), SAMPLES))
        figures |= _ticks(door, ticks)
        figures["rss_mib"] = memory_bytes((door.pid,)) / 2**20
        figures |= _feed(door)
        figures |= _sealing(door, ticks)
        figures |= _query(door)
        figures["rss_peak_mib"] = _peak_mib(door.pid)
        _check(door, ticks)
        os.kill(door.pid, 9)
    began = time.monotonic()
    with _collector(folder, "/v1/counters/senders") as door:
        figures["restart_seconds"] = time.monotonic() - began
        figures["restart_cpu_seconds"] = _cpu_seconds(door.pid)
        _check(door, ticks)
    return figures


def _ticks(door: Door, ticks: Ticks) -> dict[str, float]:
    """CPU of ``TICKS`` ticks of two counters a series, each made before it is timed."""
    used, took = [], []
    for tick in range(1, TICKS + 1):
        frames = ticks.frames(tick, int(time.time()), SAMPLES)
        before, began = _cpu_seconds(door.pid), time.monotonic()
        door.send("/v1/counters", frames)
        took.append(time.monotonic() - began)
        used.append(_cpu_seconds(door.pid) - before)
    samples = 2 * SERIES
    return {
        "cpu_us_per_sample": statistics.median(used) / samples * 1e6,
        "samples_per_core_second": samples / statistics.median(used),
        "tick_samples": samples,
        "tick_cpu_seconds": statistics.median(used),
        "tick_cpu_seconds_worst": max(used),
        "tick_wall_seconds": statistics.median(took),
    }


def _feed(door: Door) -> dict[str, float]:
    """The whole feed once: what serving it and reading it cost."""
    before, own, cursor, samples = _cpu_seconds(door.pid), 0.0, 0, 0
    while data := door.ask("GET", f"/v1/counters/feed?after={cursor}"):
        began = time.process_time()
        for entry, increments in decode_told(data):
            cursor = entry.cursor
            samples += sum(len(one.values) for one in increments)
        own += time.process_time() - began
    served = _cpu_seconds(door.pid) - before
    return {
        "feed_serving_cpu_us_per_sample": served / samples * 1e6,
        "feed_reading_cpu_us_per_sample": own / samples * 1e6,
    }


def _sealing(door: Door, ticks: Ticks) -> dict[str, float]:
    """A tick of an interval that is long over, and CPU and time until it is sealed (checkpoint included)."""
    door.send("/v1/counters", ticks.frames(0, int(time.time()) - 3600, SAMPLES))
    before, began = _cpu_seconds(door.pid), time.monotonic()
    while b'intervals_sealed_total{kind="first"} 1.0' not in door.ask("GET", "/metrics"):
        time.sleep(0.1)
    took = time.monotonic() - began
    time.sleep(5)  # the checkpoint follows
    return {"seal_wall_seconds": took, "seal_cpu_seconds": _cpu_seconds(door.pid) - before}


def _peak_mib(pid: int) -> float:
    """The most resident memory that the process ever had, sealing included."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _query(door: Door) -> dict[str, float]:
    """Wall time of a table's intervals of two hours, the sealed one among them."""
    took = []
    now = int(time.time())
    for n in range(50):
        began = time.monotonic()
        rows = json.loads(
            door.ask(
                "GET", f"/v1/counters/intervals?start={now - 7200}&end={now}&table={table(n * 7919 % (SERIES // 2))}"
            )
        )
        took.append(time.monotonic() - began)
        assert len(rows) >= 4, rows
    return {"query_ms": statistics.median(took) * 1e3, "query_ms_worst": max(took) * 1e3}


def _check(door: Door, ticks: Ticks) -> None:
    """What the collector tells of some tables is what was sent, to the last count."""
    every = [ticks.values(tick) for tick in (*range(TICKS + 1), 0)]
    now = int(time.time())
    for n in range(0, SERIES // 2, max(1, SERIES // 40)):
        rows = json.loads(door.ask("GET", f"/v1/counters/intervals?start={now - 7200}&end={now + 1}&table={table(n)}"))
        got = [sum(row["counts"].get(place, 0) for row in rows) for place in ("success", "server_fault")]
        assert got == [int(sum(int(v[k][2 * n]) + int(v[k][2 * n + 1]) for v in every)) for k in (0, 1)], n


def _victoria(folder: Path) -> dict[str, float]:
    assert VICTORIA is not None
    ticks = Ticks(SERIES)
    writer = RemoteWrite(ticks)
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    port = _port()
    command = [VICTORIA, f"-storageDataPath={folder / 'victoria'}", f"-httpListenAddr=127.0.0.1:{port}"]
    with running(command, folder / "victoria.log") as pid:
        door = Door(port, pid)
        door.until_ready("/health")
        used = []
        for tick in range(min(TICKS, 3) + 1):  # making the requests takes longer than serving them
            before = _cpu_seconds(pid)
            at_ms = int(time.time()) * 1000
            door.send("/api/v1/write", writer.requests(tick, at_ms), **headers)
            used.append(_cpu_seconds(pid) - before)
            time.sleep(1)
        return {
            "victoria_cpu_us_per_sample": statistics.median(used[1:]) / (2 * SERIES) * 1e6,
            "victoria_first_cpu_us_per_sample": used[0] / (2 * SERIES) * 1e6,
            "victoria_rss_mib": memory_bytes((pid,)) / 2**20,
        }


def _table(figures: dict[str, float]) -> str:
    lines = [
        f"{SERIES:,} series, {2 * SERIES:,} samples a tick, {SAMPLES:,} a batch, median of {TICKS} ticks",
        *(f"  {name:<34} {value:>14,.3f}" for name, value in figures.items()),
    ]
    return "\n".join(lines)

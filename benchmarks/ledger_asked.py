"""The 30 days of a table, asked of a running collector over HTTP: the first question after kill -9, many, many beside a report (shell)."""

import asyncio
import contextlib
import sqlite3
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp

from benchmarks.processes import cpu_seconds
from benchmarks.target_files import free_port
from collector.config import CollectorConfig, HistoryConfig
from collector.ledger import Ledger
from collector.ledger_file import database_of

PROGRAM = """
import asyncio, sys
from collector.config import CollectorConfig
from collector.server import run
asyncio.run(run(CollectorConfig.model_validate_json(sys.argv[1])))
"""
STARTS = 5


def settings(folder: Path, history: Path, ledger: str) -> CollectorConfig:
    """A collector over ``history``, as whose writer it takes itself."""
    Ledger(folder).close()
    with contextlib.closing(sqlite3.connect(database_of(folder))) as database, database:
        database.execute("UPDATE identity SET name = ?", (ledger,))
    return CollectorConfig(
        port=free_port(), data_dir=folder, history=HistoryConfig(url=str(history)), interval_retention_seconds=1e10
    )


@contextlib.asynccontextmanager
async def collector(config: CollectorConfig) -> AsyncIterator[tuple[aiohttp.ClientSession, int]]:
    """A process that has just become ready, and its id; killed with -9 on leaving."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, config.model_dump_json())
    base = f"http://{config.host}:{config.port}"
    try:
        async with aiohttp.ClientSession(base, timeout=aiohttp.ClientTimeout(total=300)) as session:
            async with asyncio.timeout(60):
                while True:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with session.get("/ready") as answer:
                            if answer.status == 200:
                                break
                    await asyncio.sleep(0.01)
            yield session, child.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def asked(session: aiohttp.ClientSession, table: str, start: int, end: int) -> float:
    """Milliseconds until the whole answer is here; it must be of all 30 days."""
    began = time.perf_counter()
    async with session.get("/v1/availability", params={"table": table, "start": start, "end": end}) as answer:
        found = await answer.json()
    took = (time.perf_counter() - began) * 1e3
    assert found
    assert max(one["seen"] for one in found) == (end - start) // 300, found
    return took


async def measure(config: CollectorConfig, tables: Sequence[str], start: int, end: int, week: int) -> dict[str, float]:
    """``week``: the start of the span that a whole report reads meanwhile."""
    async with collector(config) as (session, _):  # notes what is there
        await asked(session, tables[0], start, end)
        await asyncio.sleep(10.0)
    firsts, later = [], []
    for number in range(STARTS):
        async with collector(config) as (session, _):
            firsts.append(await asked(session, tables[number], start, end))
        async with collector(config) as (session, _):
            await asyncio.sleep(2.0)
            later.append(await asked(session, tables[number], start, end))
    async with collector(config) as (session, pid):
        await asyncio.sleep(2.0)
        before = cpu_seconds((pid,))
        many = [await asked(session, table, start, end) for _ in range(5) for table in tables]
        cpu = cpu_seconds((pid,)) - before

        async def report() -> None:
            async with session.get("/v1/totals", params={"kind": "tables", "start": week, "end": end}) as answer:
                assert answer.status == 200
                await answer.read()

        whole, beside = asyncio.ensure_future(report()), []
        while not whole.done():
            beside.append(await asked(session, tables[len(beside) % len(tables)], start, end))
        await whole
    return {
        "http_first_at_once_ms_max": max(firsts),
        "http_first_after_2_s_ms_max": max(later),
        "http_ms_p50": statistics.median(many),
        "http_ms_p99": statistics.quantiles(many, n=100)[98],
        "http_ms_max": max(many),
        "http_cpu_ms": cpu / len(many) * 1e3,
        "http_beside_a_report_ms_p50": statistics.median(beside),
        "http_beside_a_report_ms_max": max(beside),
    }

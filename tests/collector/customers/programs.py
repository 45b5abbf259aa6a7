"""Starts a customer's program and reads what the ledger has of it."""

import asyncio
import json
import os
import socket
import sys
import time
from pathlib import Path

from tests.collector.samples import Client

PROGRAM = Path(__file__).with_name("program.py")
PLAN = (
    "success", "fault", "success", "throttle", "success", "reset", "unavailable", "condition", "success",
    "fault", "fault", "fault", "throttle", "throttle", "throttle", "success", "hang", "reset", "reset", "success", "success",
)  # fmt: skip


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run_program(port: int, table: str, calls: int, *more: str, **environment: str) -> dict[str, int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        str(port),
        table,
        str(calls),
        *more,
        env=clean
        | {"AWS_RETRY_MODE": "legacy", "AWS_CONFIG_FILE": os.devnull, "PYTHONPATH": os.pathsep.join(sys.path)}
        | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    counted: dict[str, int] = json.loads(out)
    return counted


async def ledger_of(client: Client, *, at_least: int) -> dict[tuple[str, str], dict[str, int]]:
    """``(table, level)`` → outcome → count, once so many are there."""
    deadline = time.monotonic() + 20
    while True:
        found: dict[tuple[str, str], dict[str, int]] = {}
        for row in await client.rows(vantage="customer", by="table"):
            counts = found.setdefault((row.series.table, row.series.level.value), {})
            for outcome, count in row.counts.items():
                counts[outcome.value] = counts.get(outcome.value, 0) + count
        if sum(sum(counts.values()) for counts in found.values()) >= at_least or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.1)

"""A running collector, and batches to feed it with."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from collector import server, wire
from collector.config import CollectorConfig
from collector.observation import Connection, Observation, OperationClass, Outcome, Vantage
from collector.series import Health, Reading, Series
from collector.wire import Batch


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_series(host: str = "az1-canary-1", **changes: Any) -> Series:
    known: dict[str, Any] = {
        "vantage": Vantage.CANARY,
        "host": host,
        "zone": host[:3],
        "operation": OperationClass.WRITE,
        "table": "canary",
        "endpoint": "standard",
        "connection": Connection.FRESH,
        "partition": "p-1",
    }
    return Series(**{**known, **changes})


def make_failure(at: float, **changes: Any) -> Observation:
    known: dict[str, Any] = {
        "at": at,
        "endpoint": "standard",
        "connection": Connection.FRESH,
        "operation": OperationClass.WRITE,
        "table": "canary",
        "outcome": Outcome.UNREACHABLE,
        "reason": "connect_refused",
    }
    return Observation(**{**known, **changes})


def make_batch(sequence: int = 1, at: float | None = None, **changes: Any) -> Batch:
    now = time.time() if at is None else at
    host = changes.pop("host", "az1-canary-1")
    reading = Reading(
        series=make_series(host),
        at=int(now),
        counts={Outcome.SUCCESS: 2, Outcome.UNREACHABLE: 1},
        latency=(0, 1, 1, *(0,) * 10),
        failures=(make_failure(now),),
    )
    known: dict[str, Any] = {"zone": host[:3], "boot": "b1", "sent_at": now, "readings": (reading,)}
    return Batch(host=host, sequence=sequence, **{**known, **changes})


def make_health(
    at: float, *, host: str = "az1-canary-1", recused: bool = False, reasons: tuple[str, ...] = ()
) -> Health:
    return Health(host=host, zone=host[:3], at=at, recused=recused, reasons=reasons)


class Client:
    """Talks to one collector."""

    def __init__(self, config: CollectorConfig, session: aiohttp.ClientSession) -> None:
        self.config = config
        self.session = session
        self.base = f"http://{config.host}:{config.port}"

    async def post(self, body: Batch | bytes, **options: Any) -> tuple[int, Any]:
        """Status and JSON of a POST to /v1/batches."""
        data = body if isinstance(body, bytes) else wire.encode(body)
        async with self.session.post(f"{self.base}/v1/batches", data=data, **options) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        """Status and JSON (or text) of a GET."""
        async with self.session.get(f"{self.base}{path}", **options) as answer:
            if answer.content_type != "application/json":
                return answer.status, await answer.text()
            return answer.status, await answer.json()

    async def rows(self, **query: Any) -> list[wire.IntervalRow]:
        """The ledger of the last day."""
        parameters = {"start": time.time() - 86400, "end": time.time() + 600, **query}
        async with self.session.get(f"{self.base}/v1/intervals", params=parameters) as answer:
            assert answer.status == 200, await answer.text()
            return wire.decode_intervals(await answer.read())


@contextlib.asynccontextmanager
async def running(config: CollectorConfig) -> AsyncIterator[Client]:
    ready = asyncio.Event()
    task = asyncio.create_task(server.run(config, ready))
    waiter = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    waiter.cancel()
    if task.done():
        await task
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(config, session)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

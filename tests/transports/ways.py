"""Both ways from a canary to a ledger, for one suite: HTTP, and a real nats-server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary.backlog import Bound
from canary.transport.config import JetStreamConfig
from canary.transport.http import HttpTransport
from canary.transport.jetstream import JetStreamTransport
from canary.transport.port import Answer, Transport
from collector.config import CollectorConfig
from collector.transport.config import JetStreamIntakeConfig
from collector.wire import Batch, encode
from tests.collector.samples import Client, free_port, running
from tests.dashboards.peers import program

WAYS = ("http", "jetstream")


class Nats:
    """A nats-server with JetStream on disk that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder = folder
        self._binary = program("nats-server", "/usr/sbin/nats-server")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Until it listens."""
        arguments = ("-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self._folder / "nats"))
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(self._binary, *arguments, stdout=quiet, stderr=quiet)
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """Kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@dataclass
class Way:
    """One transport, and the collector at its other end, which may be stopped."""

    name: str
    config: CollectorConfig
    transport: Transport
    nats: Nats | None

    @contextlib.asynccontextmanager
    async def collector(self) -> AsyncIterator[Client]:
        """The collector, running."""
        async with running(self.config) as client:
            yield client

    async def offer(self, batch: Batch) -> Answer:
        """Until somebody answers: at the start, the stream is not there yet."""
        bound = Bound(self.transport.name, batch, encode(batch))
        async with asyncio.timeout(20):
            while (answer := await self.transport.offer(bound)) in (Answer.NOT_TAKEN, Answer.IN_DOUBT):
                await asyncio.sleep(0.05)
        return answer


@contextlib.asynccontextmanager
async def way(name: str, folder: Path, **changes: Any) -> AsyncIterator[Way]:
    """``http`` or ``jetstream``; the collector is started by :meth:`Way.collector`."""
    nats = None
    if name == "jetstream":
        nats = Nats(folder)
        await nats.start()
        changes["jetstream"] = JetStreamIntakeConfig(servers=(nats.url,))
    config = CollectorConfig(port=free_port(), data_dir=folder / "collector", **changes)
    transport: Transport = (
        JetStreamTransport(JetStreamConfig(servers=(nats.url,)))
        if nats
        else HttpTransport(f"http://127.0.0.1:{config.port}", None)
    )
    try:
        yield Way(name, config, transport, nats)
    finally:
        await transport.close()
        if nats is not None:
            await nats.kill()


async def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for an answer that is true."""
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.05)

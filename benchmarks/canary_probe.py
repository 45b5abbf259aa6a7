"""CPU per attempt of a canary, on pooled and on fresh connections, against aiohttp's client asking the same server."""

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe

import aiohttp

from benchmarks.figures import Result
from canary.attempt import Asker, Errand
from canary.config import CanaryConfig, EndpointConfig
from canary.faults import Component
from canary.network import Network
from canary.path import Map
from canary.pool import Pool
from canary.resolver import Resolver
from collector.observation import Connection

ATTEMPTS, ROUNDS = 1500, 3
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-amz-crc32: 2745614147\r\n\r\n{}"
BODY = b"{" + b" " * 200 + b"}"


class Answerer(asyncio.Protocol):
    """Answers whatever comes, once for each piece of data."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        if data.endswith(b"}"):
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


def serve(pipe: Pipe) -> None:
    """A server in a process of its own, so that only the client's CPU is counted."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Answerer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def cpu_per(ask: Callable[[], Awaitable[None]]) -> float:
    """CPU microseconds per call, the least of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(ATTEMPTS):
            await ask()
        best = min(best, time.process_time() - began)
    return best / ATTEMPTS * 1e6


def canary(port: int) -> Callable[[Connection], Callable[[], Awaitable[None]]]:
    """Attempts of one host at the server."""
    network = Network(Component("az1-canary-1", "az1", "canary"), {}, Map(CanaryConfig()))
    asker = Asker(Resolver(None), network, Pool(), None)
    endpoint = EndpointConfig(name="standard", host="127.0.0.1", port=port, tls=False)
    request = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY

    def on(connection: Connection) -> Callable[[], Awaitable[None]]:
        async def ask() -> None:
            errand = Errand(endpoint, connection, 0, lambda _host: request, time.monotonic() + 2)
            trace = await asker.attempt(errand)
            assert trace.status == 200, trace

        return ask

    return on


async def measure(port: int) -> dict[str, float]:
    """All four figures."""
    on = canary(port)
    url = f"http://127.0.0.1:{port}/"

    async def alike(*, keep: bool) -> float:
        connector = aiohttp.TCPConnector(force_close=not keep)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def ask() -> None:
                async with session.post(url, data=BODY) as answer:
                    await answer.read()

            return await cpu_per(ask)

    return {
        "pooled_us": await cpu_per(on(Connection.POOLED)),
        "fresh_us": await cpu_per(on(Connection.FRESH)),
        "aiohttp_pooled_us": await alike(keep=True),
        "aiohttp_fresh_us": await alike(keep=False),
    }


def run() -> Result:
    """CPU per attempt; no TLS and no DNS on either side."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        import uvloop  # noqa: PLC0415

        figures = uvloop.run(measure(ours.recv()))
    finally:
        server.terminate()
        server.join()
    ratio = figures["aiohttp_pooled_us"] / figures["pooled_us"]
    return Result(
        name="canary-probe", figures=figures, ratio=ratio, against="aiohttp client, same server, pooled (no TLS)"
    )

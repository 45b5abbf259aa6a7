"""The collector as a program: the ledger, its writer, the HTTP server, the scraper (shell)."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from collector.answers import LOGGER, counting
from collector.api import Api
from collector.board_api import BoardApi
from collector.bulk.api import CountersApi
from collector.config import CollectorConfig
from collector.customers.door import CustomerDoors
from collector.door_tls import tls_of
from collector.doorkeeper import Doorkeeper, Handler
from collector.history.keeping import Keeper, open_history
from collector.history.reading import History
from collector.housekeeping import Housekeeper
from collector.joiner import Joiner
from collector.ledger import Ledger
from collector.merged_page import MergedPage
from collector.metrics import Metrics
from collector.reading import Reader
from collector.remote_write.figures import RemoteWriteFigures
from collector.remote_write.sender import Sender
from collector.servers import Scraper
from collector.submission import Submission
from collector.tokens import Tokens
from collector.transport.jetstream import JetStreamIntake
from collector.writer import Writer

logger = logging.getLogger("collector")

KEEPALIVE_SECONDS = 75.0


async def run(config: CollectorConfig, ready: asyncio.Event | None = None) -> None:
    """Collect until cancelled.

    Sets ``ready`` once batches are accepted. Raises :class:`collector.ledger_file.LedgerError` when the folder is in use or
    holds a ledger that is not ours to write, and ``OSError`` when the address cannot be had.
    """
    tokens, tls = _tokens(config), tls_of(config)
    ledger = Ledger(config.data_dir)
    history = open_history(config)
    known = ledger.last_points(config.customers.streams_max)
    writer, reader = Writer(ledger), Reader(config.data_dir, history)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    merged = MergedPage() if config.expose_merged else None
    writer.figures.on_commit = metrics.committed
    joiner = Joiner(config, writer, metrics)
    board = BoardApi(config.confirm_asks_per_minute, registry)
    writer.figures.on_stored = _telling(joiner.stored, board.stored, *([merged.stored] if merged else []))
    scraper = Scraper(config, writer, metrics)
    customers = CustomerDoors(config, writer, registry, known)
    counters = CountersApi(config, registry)
    api = Api(
        writer=writer,
        reader=reader,
        metrics=metrics,
        registry=registry,
        counters=counters,
        customers=customers,
        board=board,
        targets=scraper.states,
        tokens=tokens,
        merged=merged,
        late_seconds=config.late_seconds,
        body_seconds=config.request_seconds,
    )
    try:
        await counters.start()
        senders = _senders(config, reader, writer, registry)
        async with _listening(config, api, metrics, tls) as doorkeeper, asyncio.TaskGroup() as group:
            beside = _beside(config, history, writer, metrics, board)
            own = (doorkeeper.watch(), counters.run(), scraper.run(), joiner.run(), customers.run())
            for work in (*own, *beside, *(sender.run() for sender in senders)):
                group.create_task(work)
            logger.info("collector listens on %s:%d, ledger %s", config.host, config.port, config.data_dir)
            if ready is not None:
                ready.set()
    finally:
        await counters.close()
        await _close(writer, reader, ledger)


def _beside(
    config: CollectorConfig, history: History | None, writer: Writer, metrics: Metrics, board: BoardApi
) -> Iterator[Coroutine[Any, Any, None]]:
    """What runs beside the requests, as far as it is configured."""
    yield Housekeeper(config, writer, metrics).run()
    if history is not None:
        yield Keeper(config, history, writer, metrics).run()
    if config.jetstream is not None:
        intake = JetStreamIntake(
            config.jetstream, writer, metrics, data_dir=config.data_dir, late_seconds=config.late_seconds
        )
        board.listen(intake.ask)
        yield intake.run()


def _telling(*listeners: Callable[[Submission, float], None]) -> Callable[[Submission, float], None]:
    """Who hears of what is durable."""

    def stored(submission: Submission, received_at: float) -> None:
        for listener in listeners:
            listener(submission, received_at)

    return stored


async def _close(writer: Writer, reader: Reader, ledger: Ledger) -> None:
    await writer.close()
    await asyncio.to_thread(reader.close)
    ledger.close()


def _tokens(config: CollectorConfig) -> Tokens:
    return Tokens(write=_token(config.token_file), read=_token(config.read_token_file))


def _token(path: Path | None) -> bytes | None:
    if path is None:
        return None
    token = path.read_bytes().strip()
    if not token:
        raise ValueError(f"{path} is empty: put a token in it, or leave the setting out")
    return token


def _senders(config: CollectorConfig, reader: Reader, writer: Writer, registry: CollectorRegistry) -> list[Sender]:
    """Before the first batch is taken, so that a new receiver misses none."""
    if not config.remote_write:
        return []
    figures = RemoteWriteFigures(registry)
    return [
        Sender(receiver, folder=config.data_dir, reader=reader, writer=writer, figures=figures)
        for receiver in config.remote_write
    ]


@contextlib.asynccontextmanager
async def _listening(
    config: CollectorConfig, api: Api, metrics: Metrics, tls: ssl.SSLContext | None
) -> AsyncIterator[Doorkeeper]:
    """The HTTP server, closed on leaving: requests in flight get a second to end."""
    application = api.application()
    runner = web.AppRunner(
        application,
        access_log=LOGGER,
        access_log_class=counting(metrics),
        handle_signals=False,
        handler_cancellation=True,  # a reader that has hung up stops waiting
        auto_decompress=False,  # a compressed body is refused, not inflated
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=1.0,
        shutdown_timeout=1.0,
    )
    doors: list[Doorkeeper] = []  # needs the server, which takes the middleware before it exists

    @web.middleware
    async def mind(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await doors[0].mind(request, handler)

    application.middlewares.insert(0, mind)
    await runner.setup()
    assert runner.server is not None
    doorkeeper = Doorkeeper(
        runner.server,
        connections_max=config.connections_max,
        first_seconds=config.request_seconds,
        again_seconds=KEEPALIVE_SECONDS,
        count=lambda reason: metrics.connections_refused.labels(reason).inc(),
    )
    doors.append(doorkeeper)
    try:
        server = await asyncio.get_running_loop().create_server(
            doorkeeper,
            config.host,
            config.port,
            backlog=128,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else config.request_seconds,
        )
        try:
            yield doorkeeper
        finally:
            server.close()
    finally:
        await runner.cleanup()

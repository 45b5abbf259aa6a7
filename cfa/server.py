"""The judgement as one long-running part: engine, outbox and API together (shell)."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CollectorRegistry

from cfa.api import Api
from cfa.config import CfaConfig, CollectorTlsConfig
from cfa.destinations.build import destinations, paces
from cfa.engine import Engine
from cfa.feed import CollectorClient
from cfa.feeds import MergedFeed
from cfa.judgement import Judgement
from cfa.metrics import CfaMetrics
from cfa.outbox import Outbox
from cfa.ports import Feed, JudgeFactory
from cfa.report.compute import Several
from cfa.routes import Routes
from cfa.state import StateStore

logger = logging.getLogger("cfa")


@contextlib.asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=30.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=128).start()
        yield
    finally:
        await runner.cleanup()


async def _feed(config: CfaConfig, store: StateStore, clients: dict[str, CollectorClient]) -> Feed:
    """One collector's feed, or the merged one of several; a state that knows a merged order goes on with it."""
    known = await store.run(store.merged)
    if len(config.feed_urls) == 1 and not known:
        return clients[config.feed_urls[0]]
    return MergedFeed({url: clients[url] for url in config.feed_urls}, known)


def _tls(config: CollectorTlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ca_file)
    if config.certificate_file is not None:
        context.load_cert_chain(config.certificate_file, config.key_file)
    return context


async def run(config: CfaConfig, ready: asyncio.Event | None = None, judgement: JudgeFactory = Judgement) -> None:
    """Runs until cancelled. ``ready`` is set when the API listens (``GET /ready`` says when it also judges).

    Raises ``OSError`` when the port is taken or the data folder cannot be written.
    """
    async with contextlib.AsyncExitStack() as stack:
        store = stack.enter_context(StateStore(config.data_dir / "cfa.sqlite"))
        await store.run(store.forget_old, time.time())
        urls = {*config.feed_urls, *config.ledger_urls}
        tls = _tls(config.collector_tls) if any(url.startswith("https:") for url in urls) else None
        clients = {url: CollectorClient(url, config.collector_token_file, tls) for url in urls}
        for client in clients.values():
            stack.push_async_callback(client.close)
        feed = await _feed(config, store, clients)
        if isinstance(feed, MergedFeed):
            stack.push_async_callback(feed.close)
        places = destinations(config)
        for place in places:
            stack.push_async_callback(place.close)
        engine = await Engine.open(config, store, feed, judgement, Routes.of(config.destinations, config.routes))
        outbox = Outbox(store, places, paces=paces(config))
        engine.on_told(outbox.wake)
        registry = CollectorRegistry()
        metrics = CfaMetrics(engine, outbox)
        registry.register(metrics)
        api = Api(engine, store, metrics, registry, Several([clients[url] for url in config.ledger_urls]))
        await stack.enter_async_context(_listening(api.application(), config.host, config.port))
        logger.info("judging on http://%s:%d from entry %d", config.host, config.port, engine.cursor)
        if ready is not None:
            ready.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(engine.run(), name="cfa-engine")
            tasks.create_task(outbox.run(), name="cfa-outbox")

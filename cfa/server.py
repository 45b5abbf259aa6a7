"""The judgement as one long-running part: engine, outbox and API together (shell)."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from cfa.api import Api
from cfa.config import CfaConfig, CollectorTlsConfig
from cfa.delivery_metrics import DeliveryMetrics
from cfa.destinations.build import destinations, paces
from cfa.dispatch import Dispatch
from cfa.engine import FED_SECONDS, Engine
from cfa.feed import CollectorClient
from cfa.feeds import MergedFeed
from cfa.heartbeat import Heartbeat
from cfa.judgement import Judgement
from cfa.metrics import CfaMetrics
from cfa.mitigator import Journal, Mitigator
from cfa.operators import Action
from cfa.outbox import Outbox
from cfa.ports import Feed, JudgeFactory
from cfa.report.compute import Several
from cfa.routes import Routes
from cfa.side import SideBySide, listening
from cfa.state import StateStore

if TYPE_CHECKING:
    from cfa.tables.lane import TableLane

logger = logging.getLogger("cfa")


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

    Raises ``OSError`` when the port is taken or the data folder cannot be written, ``RuntimeError`` when a destination needs
    a package that is not installed.
    """
    with StateStore(config.data_dir / "cfa.sqlite") as store:
        await store.run(store.forget_old, time.time())
        if config.pair is None:
            await judge(config, store, ready, judgement)
        else:
            await store.run(store.track)
            tls = _tls(config.collector_tls) if any(url.startswith("https:") for url in config.feed_urls) else None

            def work(side: SideBySide) -> Coroutine[Any, Any, None]:
                return judge(config, store, ready, judgement, side)

            await SideBySide(config, store, tls).run(work, ready)


async def judge(
    config: CfaConfig,
    store: StateStore,
    ready: asyncio.Event | None,
    judgement: JudgeFactory,
    side: SideBySide | None = None,
) -> None:
    """Judges, delivers and answers until cancelled. ``side``: our part, when there is a second judgement."""
    async with contextlib.AsyncExitStack() as stack:
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
        outbox = Outbox(store, places, paces=paces(config), **({} if side is None else {"permit": side.permit}))
        engine.on_told(outbox.wake)
        dispatch, heartbeat = Dispatch(config, store, outbox), _heartbeat(config, engine)
        registry = CollectorRegistry()
        metrics = CfaMetrics(engine, outbox)
        registry.register(metrics)
        registry.register(DeliveryMetrics(outbox, dispatch, heartbeat, side))
        ledger = Several([clients[url] for url in config.ledger_urls])
        api = Api(engine, store, metrics, registry, ledger, delivery=lambda: _delivery(dispatch, heartbeat, side))
        mitigator = _mitigator(config, engine, lambda: side is None or side.permit() > 0)
        app = api.application()
        app.router.add_get("/v1/mitigations", mitigator.answer)
        if side is not None:
            side.add_routes(app.router)
        lanes = await _tables(config, store, stack, engine, (app.router, registry, outbox.wake))
        await stack.enter_async_context(listening(app, config.host, config.port))
        logger.info("judging on http://%s:%d from entry %d", config.host, config.port, engine.cursor)
        if ready is not None:
            ready.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(engine.run(), name="cfa-engine")
            tasks.create_task(outbox.run(), name="cfa-outbox")
            tasks.create_task(dispatch.run(), name="cfa-dispatch")
            tasks.create_task(mitigator.run(), name="cfa-mitigator")
            for lane in lanes:
                tasks.create_task(lane.run(), name="cfa-tables")
            if heartbeat is not None:
                stack.push_async_callback(heartbeat.close)
                tasks.create_task(heartbeat.run(), name="cfa-heartbeat")


async def _tables(
    config: CfaConfig,
    store: StateStore,
    stack: contextlib.AsyncExitStack,
    engine: Engine,
    places: tuple[web.UrlDispatcher, CollectorRegistry, Callable[[], None]],
) -> "list[TableLane]":
    """What judges the counters of single tables, when there are any."""
    if config.counters_feed is None:
        return []
    from cfa.tables.start import start  # noqa: PLC0415 (arrays for a million tables, which few need)

    lane = await start(config, store, stack, lambda: _tls(config.collector_tls), places)
    engine.beside, engine.acted = lane.open_incidents, lane.act
    return [lane]


def _mitigator(config: CfaConfig, engine: Engine, leads: Callable[[], bool]) -> Mitigator:
    async def note(incident: str, text: str) -> None:
        await engine.act(Action(kind="note", by="mitigation", subject=incident, text=text))

    return Mitigator(
        config.mitigation,
        Journal(config.data_dir / "mitigation.json"),
        incidents=engine.judge.incidents,
        status=lambda: engine.judge.status(engine.now()),
        note=note,
        leads=leads,
        clock=engine.now,
    )


def _heartbeat(config: CfaConfig, engine: Engine) -> Heartbeat | None:
    if config.heartbeat is None:
        return None

    def alive() -> bool:
        age = engine.seconds_since_fed
        return age is not None and age <= FED_SECONDS

    return Heartbeat(config.heartbeat, alive, {"region": config.region})


def _delivery(dispatch: Dispatch, heartbeat: Heartbeat | None, side: SideBySide | None) -> dict[str, Any]:
    return {
        **dispatch.view,
        "heartbeat": None if heartbeat is None else heartbeat.view(),
        "pair": None if side is None else side.view(),
    }

"""Puts the lane of tables together: its folder, source, routes and metrics (shell)."""

import contextlib
import ssl
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry

from cfa.config import CfaConfig
from cfa.objective import Objective
from cfa.routes import Routes
from cfa.state import StateStore
from cfa.tables.api import TablesApi
from cfa.tables.figures import TablesMetrics
from cfa.tables.lane import TableLane
from cfa.tables.source import CountersSource

FOLDER = "tables"


async def start(
    config: CfaConfig,
    store: StateStore,
    stack: contextlib.AsyncExitStack,
    tls: Callable[[], ssl.SSLContext],
    places: tuple[web.UrlDispatcher, CollectorRegistry, Callable[[], None]],
) -> TableLane:
    """The lane of ``config.counters_feed``, which must be set; ``stack`` closes what it opens.

    ``places``: where its questions and its metrics go, and whom it wakes when there are new notices.
    """
    url = config.counters_feed
    assert url is not None
    secured = tls() if url.startswith("https:") else None
    source = await stack.enter_async_context(CountersSource(url, config.collector_token_file, secured))
    objective = Objective(config.objectives.default, config.objectives.tables)
    judged = (config.region, objective, config.false_pages_per_year, config.table_groups)
    routes = Routes.of(config.destinations, config.routes)
    lane = await TableLane.open(config.data_dir / FOLDER, store, source, judged, routes)
    router, registry, told = places
    TablesApi(lane).add_routes(router)
    registry.register(TablesMetrics(lane.figures))
    lane.on_told(told)
    return lane

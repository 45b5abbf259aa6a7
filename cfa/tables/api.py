"""``GET /v1/tables`` and ``GET /v1/tables/NAME`` (shell)."""

import asyncio

import msgspec
from aiohttp import web

from cfa.tables.lane import TableLane
from cfa.tables.roster import VANTAGES
from cfa.tables.views import ORDERS, table_view, tables_view

LIMIT_MOST = 1000


class TablesApi:
    """Questions about the fleet; they wait for a tick that is under way."""

    def __init__(self, lane: TableLane) -> None:
        self._lane = lane

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Both routes."""
        router.add_get("/v1/tables", self.tables)
        router.add_get("/v1/tables/{name}", self.table)

    async def tables(self, request: web.Request) -> web.Response:
        """The most burned ones: ``order=burned`` (of the 30-day budget) or a window's name, ``limit=20``."""
        order, limit = request.query.get("order", "burned"), request.query.get("limit", "20")
        if order not in ORDERS:
            raise web.HTTPBadRequest(text=f"order: one of {', '.join(ORDERS)}")
        if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit) <= LIMIT_MOST:
            raise web.HTTPBadRequest(text=f"limit: 1 to {LIMIT_MOST}")
        async with self._lane.lock:
            return _json(await asyncio.to_thread(tables_view, self._lane.fleet, order, int(limit)))

    async def table(self, request: web.Request) -> web.Response:
        """One table, by each vantage that counts it."""
        name, fleet = request.match_info["name"], self._lane.fleet
        async with self._lane.lock:
            known = [s for vantage in VANTAGES if (s := fleet.roster.subject(vantage, name)) is not None]
            if not known:
                raise web.HTTPNotFound(text=f"no counters of a table {name}")
            return _json({"at": fleet.at, "views": [table_view(fleet, subject) for subject in known]})


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")

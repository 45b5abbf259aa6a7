"""The judgement over HTTP, as ``docs/api.md`` says (shell)."""

import asyncio
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from cfa.engine import FED_SECONDS, Engine
from cfa.incident import Incident
from cfa.metrics import CfaMetrics
from cfa.operator_api import OperatorApi
from cfa.ports import FeedUnavailable
from cfa.report.compute import ReportSource, week_report
from cfa.report.figures import Interruption
from cfa.report.period import Period
from cfa.state import StateStore
from cfa.time_to_page import summary

logger = logging.getLogger("cfa.api")

REQUESTS_AT_ONCE_MOST = 64
REQUEST_BYTES_MOST = 64 * 1024
STATUS_KEPT_SECONDS = 0.25
"""Many viewers ask for the same status; it is computed at most this often."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The routes; all but the operators' (:mod:`cfa.operator_api`) read the engine and the store, and change neither."""

    def __init__(
        self,
        engine: Engine,
        store: StateStore,
        metrics: CfaMetrics,
        registry: CollectorRegistry,
        ledger: ReportSource,
        *,
        delivery: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """``delivery``: how destinations, heartbeat and the second engine stand, for the status."""
        self._engine = engine
        self._store = store
        self._metrics = metrics
        self._registry = registry
        self._ledger = ledger
        self._delivery = delivery
        self._status: tuple[float, dict[str, Any]] | None = None
        self._reporting = asyncio.Lock()
        self._in_hand = 0
        self.refused: Counter[str] = Counter()
        self._operators = OperatorApi(engine, store, engine.config.operator_token_file, self._note_refused)

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=REQUEST_BYTES_MOST, middlewares=[self._limit])
        app.router.add_get("/v1/status", self.status)
        app.router.add_get("/v1/availability", self.availability)
        app.router.add_get("/v1/incidents", self.incidents)
        app.router.add_get("/v1/incidents/{id}", self.incident)
        app.router.add_get("/v1/pages", self.pages)
        app.router.add_get("/v1/report", self.report)
        self._operators.add_routes(app.router)
        app.router.add_get("/ready", self.ready)
        app.router.add_get("/metrics", self.metrics)
        return app

    def _note_refused(self, reason: str) -> None:
        self.refused[reason] += 1

    @web.middleware
    async def _limit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._in_hand >= REQUESTS_AT_ONCE_MOST:
            self.refused["busy"] += 1
            return _problem(503, "busy: try again in a second")
        self._in_hand += 1
        try:
            return await handler(request)
        except web.HTTPException as refusal:
            self.refused[str(refusal.status)] += 1
            return _problem(refusal.status, refusal.text or refusal.reason)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            return _problem(500, "the judgement could not answer; see its log")
        finally:
            self._in_hand -= 1

    async def status(self, _: web.Request) -> web.Response:
        """``GET /v1/status``."""
        return _json(self.current_status())

    def current_status(self) -> dict[str, Any]:
        """The judgement's status with what only the engine knows."""
        now = time.monotonic()
        if self._status is None or now - self._status[0] > STATUS_KEPT_SECONDS:
            self._status = (now, self._compute_status())
        return self._status[1]

    def _compute_status(self) -> dict[str, Any]:
        engine, at = self._engine, self._engine.now()
        judge = engine.judge
        return {
            "at": at,
            "region": engine.config.region,
            "objective": engine.config.objectives.default,
            "data_age_seconds": engine.seconds_since_fed,
            "matrix": [],
            "availability": [],
            "recused": [],
            "targets": [],
            **judge.status(at),
            "ready": self._reason_not_ready() is None,
            "cells_answered": len(engine.answered),
            "cells_expected": engine.config.matrix_cells,
            "incidents_open": sum(one.state == "open" for one in judge.incidents()) + len(engine.beside()),
            "false_pages_per_year": engine.config.false_pages_per_year,
            "feed_error": engine.feed_error,
            "feeds": [dataclasses.asdict(one) for one in engine.feeds],
            "delivery": self._delivery(),
        }

    async def availability(self, request: web.Request) -> web.Response:
        """``GET /v1/availability?scope=KIND``."""
        rows = self.current_status()["availability"]
        kind = request.query.get("scope")
        if kind is not None:
            wanted = set(kind.replace("×", "_").split("_"))
            rows = [row for row in rows if set(row["scope"]) == wanted]
        return _json({"at": self._engine.now(), "availability": rows})

    async def incidents(self, request: web.Request) -> web.Response:
        """``GET /v1/incidents?state=&since=``: open ones as they are this moment, closed ones as they ended."""
        state = request.query.get("state", "all")
        if state not in ("open", "closed", "all"):
            raise web.HTTPBadRequest(text="state is open, closed or all")
        since = _number(request, "since", 0.0)
        stored = {one.id: one for one in await self._store.run(self._store.incidents, since)}
        live = {one.id: one for one in self._engine.judge.incidents()}
        merged = {**stored, **{name: one for name, one in live.items() if _ended_after(one, since)}}
        newest = sorted(merged.values(), key=lambda one: (one.opened_at, one.id), reverse=True)
        return _json({"incidents": [one.to_json() for one in newest if state in ("all", one.state)]})

    async def incident(self, request: web.Request) -> web.Response:
        """``GET /v1/incidents/ID``."""
        name = request.match_info["id"]
        live = next((one for one in self._engine.judge.incidents() if one.id == name), None)
        found = live or await self._store.run(self._store.incident, name)
        if found is None:
            raise web.HTTPNotFound(text=f"no incident {name}")
        return _json(found.to_json())

    async def pages(self, request: web.Request) -> web.Response:
        """``GET /v1/pages?since=``."""
        return _json({"pages": await self._store.run(self._store.pages, _number(request, "since", 0.0))})

    async def report(self, request: web.Request) -> web.Response:
        """``GET /v1/report?week=2026-W47``; one at a time, for it reads the whole week's ledger."""
        try:
            period = Period.parse(request.query.get("week", ""))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        if self._reporting.locked():
            raise web.HTTPServiceUnavailable(text="another report is being computed; try again in a minute")
        async with self._reporting:
            incidents = await self._store.run(self._store.incidents, period.start, period.end)
            try:
                report = await week_report(
                    self._engine.config, period, self._ledger, _interruptions(incidents), time.time()
                )
            except FeedUnavailable as error:
                raise web.HTTPBadGateway(text=f"the collector's ledger: {error}") from error
            seconds = await self._store.run(self._store.times_to_page, period.start, period.end)
        return _json({**msgspec.to_builtins(report), "time_to_page": summary(seconds)})

    def _reason_not_ready(self) -> str | None:
        engine = self._engine
        age = engine.seconds_since_fed
        if age is None or age > FED_SECONDS:
            return f"not fed: {engine.feed_error or 'the collector has nothing new'}"
        if len(engine.answered) < engine.config.matrix_cells:
            return f"{len(engine.answered)} of {engine.config.matrix_cells} cells have answered"
        return None

    async def ready(self, _: web.Request) -> web.Response:
        """``GET /ready``."""
        reason = self._reason_not_ready()
        if reason is None:
            return _json({"ready": True})
        return _json({"ready": False, "reason": reason}, status=503)

    async def metrics(self, _: web.Request) -> web.Response:
        """``GET /metrics``."""
        open_now = [*self._engine.beside(), *(one for one in self._engine.judge.incidents() if one.state == "open")]
        severities = dict.fromkeys(("page", "ticket", "watch"), 0)
        self._metrics.refresh(
            self.current_status(),
            pending=await self._store.run(self._store.pending_counts),
            open_incidents=severities | Counter(one.severity for one in open_now),
            pages=await self._store.run(self._store.pages_by_event),
            refused=self.refused,
        )
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _interruptions(incidents: list[Incident]) -> list[Interruption]:
    """What customers suffered: a pager path that is broken is our own trouble."""
    return [Interruption.of(one) for one in incidents if one.category != "monitoring"]


def _ended_after(incident: Incident, since: float) -> bool:
    return incident.closed_at is None or incident.closed_at >= since


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _problem(status: int, reason: str) -> web.Response:
    return _json({"error": reason}, status)


def _number(request: web.Request, name: str, default: float) -> float:
    try:
        return float(request.query.get(name, default))
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{name} is a number of seconds since 1970") from error

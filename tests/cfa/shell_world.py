"""A scripted judgement, a collector to feed it and a receiver for its pages: the world around the shells."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import msgspec
from aiohttp import web

from cfa.config import CfaConfig
from cfa.incident import Evidence, Incident, IncidentEvent, Notify, TimelineEntry, Witnesses
from collector.observation import Connection, OperationClass, Outcome, Vantage
from collector.series import FeedEntry, Reading, Series
from collector.totals import of_rows
from collector.wire import encode

EPOCH = 1_764_000_000.0


def incident(name: str = "one", at: float = EPOCH, **changes: Any) -> Incident:
    """An open page about az1."""
    known: dict[str, Any] = {
        "id": f"i-{name}",
        "severity": "page",
        "scope": {"zone": "az1"},
        "operations": ("read", "write"),
        "side": "both",
        "opened_at": at,
        "first_failure_at": at - 1.5,
        "paged_at": at,
        "reason": "evidence_and_sustained_failure",
        "summary": "az1 fails reads and writes: 96 of 96 attempts",
        "evidence": Evidence(failures=96, attempts=96, share=1.0, share_low=0.96, share_high=1.0),
        "witnesses": Witnesses(bad=("az2-canary-1",), good=("az3-canary-1",)),
        "reasons": {"connect_refused": 80, "http_500": 16},
        "timeline": (TimelineEntry(at=at, event="opened", severity="page", reason="evidence"),),
    }
    return Incident(**{**known, **changes})


def entry(cursor: int, word: str = "calm", name: str = "", *, canary: bool = True) -> FeedEntry:
    """One entry; the scripted judgement reads its host: ``trigger NAME``, ``update NAME``, ``resolve NAME``, ``ticket NAME``."""
    series = Series(
        vantage=Vantage.CANARY,
        host="az1-canary-1",
        zone="az1",
        operation=OperationClass.WRITE,
        table="canary",
        endpoint="standard",
        connection=Connection.FRESH,
    )
    at = EPOCH + cursor
    return FeedEntry(
        cursor=cursor,
        received_at=at,
        host=f"{word} {name}".strip(),
        zone="az1",
        vantage=Vantage.CANARY if canary else Vantage.SERVER,
        readings=(Reading(series=series, at=int(at), counts={Outcome.SUCCESS: 1}),),
    )


class ScriptedJudgement:
    """Does what the entries say; as deterministic as the real one."""

    def __init__(self, config: CfaConfig) -> None:
        self.config = config
        self.known: dict[str, Incident] = {}
        self.ticks: list[float] = []
        self.steps = 0

    def step(self, entry: FeedEntry) -> list[IncidentEvent]:
        """Opens, updates or closes the incident that the entry names."""
        self.steps += 1
        word, _, name = entry.host.partition(" ")
        at = entry.received_at
        if word in ("trigger", "ticket"):
            severity = "page" if word == "trigger" else "ticket"
            self.known[name] = incident(name, at, severity=severity, paged_at=at if word == "trigger" else None)
            notify: Notify | None = "trigger" if word == "trigger" else None
            return [IncidentEvent(incident=self.known[name], event="opened", at=at, reason=word, notify=notify)]
        if word == "update":
            return [IncidentEvent(incident=self.known[name], event="updated", at=at, reason=word, notify="update")]
        if word == "resolve":
            return [self._close(name, at)]
        return []

    def _close(self, name: str, at: float) -> IncidentEvent:
        self.known[name] = replace(self.known[name], state="closed", closed_at=at, closed_reason="recovered")
        notify: Notify | None = "resolve" if self.known[name].severity == "page" else None
        return IncidentEvent(incident=self.known[name], event="closed", at=at, reason="recovered", notify=notify)

    def tick(self, at: float) -> list[IncidentEvent]:
        """Remembers that time passed."""
        self.ticks.append(at)
        return []

    def incidents(self) -> list[Incident]:
        """All that it knows."""
        return list(self.known.values())

    def status(self, at: float) -> dict[str, object]:
        """A status of one cell."""
        cell = {"zone": "az1", "endpoint": "standard", "operation": "write", "connection": "fresh", "verdict": "ok"}
        counts = {"good": 30, "bad": 0, "excluded": 0, "unobserved": 0, "availability": 1.0, "latency_ms_p50": 4.0}
        hosts = [{"host": "az3-canary-1", "zone": "az3", "since": at, "reasons": ["control_echo_failed"]}]
        return {
            "at": at,
            "region": self.config.region,
            "objective": 0.9999,
            "matrix": [{**cell, **counts, "latency_ms_p99": None, "last_at": at}],
            "availability": self.availability(at),
            "recused": hosts,
            "targets": [],
        }

    def availability(self, at: float) -> list[dict[str, object]]:
        """The region and one zone × endpoint."""
        window = {
            "good": 9,
            "bad": 1,
            "availability": 0.9,
            "burn_rate": 1000.0,
            "budget_remaining": -9.0,
            "verdict": "breach",
        }
        empty = {
            "good": 0,
            "bad": 0,
            "availability": None,
            "burn_rate": None,
            "budget_remaining": 1.0,
            "verdict": "unobserved",
        }
        windows = {"5m": window, "30d": empty}
        scopes = ({"region": "local"}, {"zone": "az1", "endpoint": "fips"}, {"table": "orders", "partition": "p1"})
        return [{"scope": scope, "side": "read", "windows": windows} for scope in scopes]

    def snapshot(self) -> bytes:
        """Its incidents."""
        return msgspec.msgpack.encode(self.known)

    @classmethod
    def restore(cls, config: CfaConfig, data: bytes) -> Self:
        """The opposite."""
        self = cls(config)
        try:
            self.known = msgspec.msgpack.decode(data, type=dict[str, Incident])
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error
        return self


@dataclass
class FakeCollector:
    """The feed of ``collector/wire.py`` over a list."""

    entries: list[FeedEntry] = field(default_factory=list)
    oldest: int = 1
    token: str | None = None
    reads: int = 0
    intervals: list[Any] = field(default_factory=list)
    unobserved: list[Any] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def append(self, *entries: FeedEntry) -> None:
        """Adds entries and wakes the readers."""
        self.entries += entries
        self.more.set()
        self.more = asyncio.Event()

    async def feed(self, request: web.Request) -> web.Response:
        """``GET /v1/feed``."""
        self.reads += 1
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "unauthorized"}, status=401)
        after = int(request.query["after"])
        if after < self.oldest - 1:
            return web.json_response({"oldest": self.oldest}, status=410)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(request.query["wait"])):
                while not self._after(after):
                    await self.more.wait()
        return web.Response(body=encode(self._after(after)[: int(request.query["limit"])]))

    def _after(self, after: int) -> list[FeedEntry]:
        return [one for one in self.entries if one.cursor > after]

    async def totals(self, request: web.Request) -> web.Response:
        """``GET /v1/totals``."""
        start, end = float(request.query["start"]), float(request.query["end"])
        rows = [row for row in self.intervals if start <= row.start < end]
        return web.Response(body=of_rows(request.query["kind"], rows).encode())

    async def holes(self, request: web.Request) -> web.Response:
        """``GET /v1/unobserved``."""
        start, end = float(request.query["start"]), float(request.query["end"])
        return web.Response(body=encode([row for row in self.unobserved if start <= row.start < end]))

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_get("/v1/feed", self.feed)
        app.router.add_get("/v1/totals", self.totals)
        app.router.add_get("/v1/unobserved", self.holes)
        return app


@dataclass
class Receiver:
    """An HTTP receiver that keeps what it gets, and may refuse or never answer."""

    got: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    hang: bool = False
    attempts: int = 0

    async def take(self, request: web.Request) -> web.Response:
        """Any POST."""
        self.attempts += 1
        if self.hang:
            await asyncio.sleep(60)
        if self.status < 300:
            self.headers.append(dict(request.headers))
            self.got.append(await request.json())
        return web.Response(status=self.status)

    def application(self) -> web.Application:
        """Takes POSTs on every path."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self.take)
        return app


@contextlib.asynccontextmanager
async def serving(app: web.Application, port: int = 0) -> AsyncIterator[str]:
    """The application on loopback; yields its URL."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.77.7.1", port)
        await site.start()
        name = runner.addresses[0]
        yield f"http://{name[0]}:{name[1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def running(coroutine: Awaitable[None]) -> AsyncIterator[asyncio.Task[None]]:
    """The coroutine as a task, cancelled at the end; its failure is the test's."""
    task = asyncio.ensure_future(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Waits until the condition holds (it may be a coroutine function), or fails."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.01)

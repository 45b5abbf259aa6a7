"""One host: starts each probe at its intended time, judges what came back, tells the reporter (shell)."""

import asyncio
import logging
from dataclasses import dataclass
from time import monotonic

from canary.attempt import Asker, Errand
from canary.classify import SUCCESS, TIMEOUT_REASONS, Verdict, answered, failed
from canary.clock import Clock
from canary.config import CanaryConfig, EndpointConfig
from canary.history import Before, History
from canary.keys import KeyBook
from canary.metrics import Metrics
from canary.path import Map, Path
from canary.plan import Cell, Host, Key, address_index, cells, key_index, phases, sort_key
from canary.pool import Pool
from canary.probes import dynamodb
from canary.reporter import Reporter
from canary.schedule import Missed, Schedule, Tick
from canary.selfcheck import LagTicker, SelfCheckRunner
from canary.signature import Signer
from canary.tally import Tally
from canary.trace import AttemptFailed, Trace
from collector.observation import Observation, OperationClass, Outcome, Phase, Vantage
from collector.series import Series

logger = logging.getLogger("canary")

REFRESH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker works with; all of one host but the keys, the map, the ticker and the metrics, which hosts share."""

    config: CanaryConfig
    host: Host
    boot: str
    host_count: int
    asker: Asker
    pool: Pool
    clock: Clock
    signer: Signer
    keys: KeyBook
    paths: Map
    history: History
    tally: Tally
    reporter: Reporter
    selfcheck: SelfCheckRunner
    ticker: LagTicker
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class _Asked:
    """One probe under way."""

    tick: Tick
    key: Key
    sk: str
    version: int
    before: Before
    started: float


def _round(milliseconds: float) -> float:
    """To the microsecond: more is noise on the wire."""
    return round(milliseconds, 3)


def _optional(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else _round(milliseconds)


class Worker:
    """The open loop of one host."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._endpoints = {endpoint.name: endpoint for endpoint in parts.config.endpoints}

    async def run(self) -> None:
        """Until cancelled; probes under way end with it."""
        await self._parts.keys.planned.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._refresh())
            await self._ask_on_time(group)

    async def _ask_on_time(self, group: asyncio.TaskGroup) -> None:
        schedule = self._schedule(monotonic())
        while True:
            step = schedule.step(monotonic())
            for tick in step.ticks:
                group.create_task(self._probe(tick))
            for missed in step.missed:
                self._missed(missed)
            # uvloop's timers round to milliseconds: half of one more, or it wakes early and looks again and again.
            await asyncio.sleep(max(0.0, schedule.next_at - monotonic()) + 0.0005)

    def _schedule(self, now: float) -> Schedule:
        parts = self._parts
        mine = cells(parts.config)
        return Schedule(
            mine,
            phases(len(mine), parts.host_count, parts.host.rank),
            cadence_seconds=parts.config.cadence_seconds,
            patience_seconds=parts.config.deadline_seconds,
            origin=now - parts.clock.wall(now),
            start=now,
        )

    def _missed(self, missed: Missed) -> None:
        self._parts.tally.unobserved(missed.cell, self._parts.clock.wall(missed.intended), "late", missed.count)
        self._parts.metrics.unobserved("late", missed.count)

    async def _refresh(self) -> None:
        """Look up the addresses for pooled probes now and then; a name service that is down changes nothing."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            for endpoint in self._endpoints.values():
                await self._refresh_one(endpoint)

    async def _refresh_one(self, endpoint: EndpointConfig) -> None:
        try:
            async with asyncio.timeout(self._parts.config.deadline_seconds):
                places = await self._parts.asker.resolve(endpoint, Trace())
        except (AttemptFailed, OSError) as error:
            logger.debug("%s keeps its addresses of %s: %r", self._parts.host.name, endpoint.name, error)
            return
        self._parts.pool.learn(endpoint.name, places)

    async def _probe(self, tick: Tick) -> None:
        try:
            asked = self._prepare(tick, monotonic())
            trace = await self._parts.asker.attempt(self._errand(asked))
            self._conclude(asked, trace)
        except Exception:
            logger.exception("probe of %s failed by our own fault", tick.cell)
            self._unobserved(tick, "canary_fault")

    def _prepare(self, tick: Tick, now: float) -> _Asked:
        parts, cell = self._parts, tick.cell
        keys = parts.keys.keys
        key = keys[key_index(tick.number, cell.index, parts.host.rank, len(keys))]
        sk = sort_key(parts.host.name, cell)
        writes = cell.operation is OperationClass.WRITE
        version = parts.history.begin_write(key.pk, sk, now) if writes else 0
        parts.metrics.started(max(0.0, now - tick.intended))
        return _Asked(tick, key, sk, version, parts.history.begin_read(key.pk, sk), now)

    def _errand(self, asked: _Asked) -> Errand:
        parts, tick = self._parts, asked.tick
        cell = tick.cell
        question = dynamodb.question(
            cell.operation, parts.config.table, asked.key.pk, asked.sk, version=asked.version, boot=parts.boot
        )
        return Errand(
            self._endpoints[cell.endpoint],
            cell.connection,
            address_index(tick.number, cell.index, parts.host.rank, len(parts.keys.keys)),
            lambda host: dynamodb.request(question, host, parts.signer, parts.clock.wall()),
            tick.intended + parts.config.deadline_seconds,
        )

    def _conclude(self, asked: _Asked, trace: Trace) -> None:
        parts, tick = self._parts, asked.tick
        verdict = trace.verdict or self._judge(asked, trace)
        if asked.version:
            good = verdict.outcome is Outcome.SUCCESS
            parts.history.end_write(asked.key.pk, asked.sk, asked.version, acknowledged=good)
        if verdict.reason in TIMEOUT_REASONS and parts.ticker.spoiled(tick.intended, trace.ended):
            self._unobserved(tick, "host_lag")
            return
        path = parts.paths.path(trace.address, trace.headers, asked.key.partition)
        parts.keys.heard(asked.key.pk, path.partition)
        total_ms = (trace.ended - tick.intended) * 1000
        parts.metrics.attempt(tick.cell, verdict.outcome, total_ms / 1000)
        at = parts.clock.wall(tick.intended)
        if verdict.outcome is Outcome.SUCCESS:
            parts.tally.success(self._series(tick.cell, path), at, total_ms)
            return
        parts.tally.failure(self._series(tick.cell, path), self._observation(asked, trace, verdict, path, at))
        parts.reporter.hurry()
        if verdict.outcome in (Outcome.UNREACHABLE, Outcome.TIMEOUT):
            parts.selfcheck.doubt()

    def _judge(self, asked: _Asked, trace: Trace) -> Verdict:
        """What an answer says: first the status, then the checksum, then the content."""
        verdict = answered(trace.status or 0, trace.headers, trace.body)
        if verdict is not SUCCESS:
            return verdict
        operation = asked.tick.cell.operation
        try:
            if operation is OperationClass.WRITE:
                dynamodb.confirm(trace.body)
                return SUCCESS
            got = dynamodb.stored(trace.body, asked.key.pk, asked.sk)
        except dynamodb.BadItem as error:
            return failed("wrong_value", Phase.SEMANTIC, str(error))
        strong = operation is OperationClass.STRONG_READ
        wrong = self._parts.history.end_read(asked.key.pk, asked.sk, asked.before, got, strong=strong, at=trace.ended)
        return SUCCESS if wrong is None else failed(wrong.reason, Phase.SEMANTIC, wrong.detail)

    def _unobserved(self, tick: Tick, reason: str) -> None:
        self._parts.tally.unobserved(tick.cell, self._parts.clock.wall(tick.intended), reason)
        self._parts.metrics.unobserved(reason, 1)

    def _series(self, cell: Cell, path: Path) -> Series:
        return Series(
            vantage=Vantage.CANARY,
            host=self._parts.host.name,
            zone=self._parts.host.zone,
            operation=cell.operation,
            table=self._parts.config.table,
            endpoint=cell.endpoint,
            connection=cell.connection,
            partition=path.partition,
            router=path.router,
            router_zone=path.router_zone,
            node=path.node,
            node_zone=path.node_zone,
        )

    def _observation(self, asked: _Asked, trace: Trace, verdict: Verdict, path: Path, at: float) -> Observation:
        tick = asked.tick
        return Observation(
            at=at,
            endpoint=tick.cell.endpoint,
            connection=tick.cell.connection,
            operation=tick.cell.operation,
            table=self._parts.config.table,
            outcome=verdict.outcome,
            reason=verdict.reason,
            partition=path.partition,
            phase=verdict.phase,
            address=trace.address,
            router=path.router,
            router_zone=path.router_zone,
            node=path.node,
            node_zone=path.node_zone,
            status=trace.status,
            request_id=trace.headers.get("x-amzn-requestid"),
            detail=verdict.detail,
            lateness_ms=_round(max(0.0, asked.started - tick.intended) * 1000),
            dns_ms=_optional(trace.dns_ms),
            tcp_ms=_optional(trace.tcp_ms),
            tls_ms=_optional(trace.tls_ms),
            http_ms=_optional(trace.http_ms),
            total_ms=_round((trace.ended - tick.intended) * 1000),
        )

"""Tells tally, metrics, reporter and self-check what came of a probe (shell)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic

from canary.classify import TIMEOUT_REASONS, Verdict
from canary.clock import Clock
from canary.metrics import Metrics
from canary.path import KNOWN_MAX, Map, Path
from canary.plan import Cell, Host
from canary.selfcheck import LagTicker, SelfCheckRunner
from canary.tally import Tally
from canary.trace import Trace
from collector.observation import Level, Observation, OperationClass, Outcome, Vantage
from collector.series import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One probe that came back. ``intended``, ``started``: monotonic; ``table``: the store's, or a check's service."""

    cell: Cell
    table: str
    intended: float
    started: float
    trace: Trace
    verdict: Verdict
    partition: str | None = None
    one_partition: bool = True
    level: Level = Level.ATTEMPT


def _round(milliseconds: float) -> float:
    """To the microsecond: more is noise on the wire."""
    return round(milliseconds, 3)


def _optional(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else _round(milliseconds)


class Recorder:
    """One host's pen."""

    def __init__(
        self,
        host: Host,
        *,
        clock: Clock,
        paths: Map,
        tally: Tally,
        ticker: LagTicker,
        metrics: Metrics,
        selfcheck: SelfCheckRunner,
        hurry: Callable[[], None],
    ) -> None:
        self._host = host
        self._clock = clock
        self._paths = paths
        self._tally = tally
        self._ticker = ticker
        self._metrics = metrics
        self._selfcheck = selfcheck
        self._hurry = hurry
        self._known: dict[tuple[Cell, str, Level, Path], Series] = {}

    def record(self, seen: Seen) -> bool:
        """Count it; False when it says nothing, for the host itself was too slow."""
        verdict, trace = seen.verdict, seen.trace
        if verdict.reason in TIMEOUT_REASONS and self._ticker.spoiled(seen.intended, trace.ended):
            if seen.level is Level.ATTEMPT:
                self.unobserved(seen.cell, seen.intended, "host_lag")
            return False
        path = self.path(seen)
        total_ms = (trace.ended - seen.intended) * 1000
        self._count(seen, total_ms)
        at = self._clock.wall(seen.intended)
        series = self._series(seen, path)
        if verdict.outcome is Outcome.SUCCESS:
            self._tally.success(series, at, total_ms)
            return True
        self._tally.failure(series, self._observation(seen, path, at))
        self._hurry()
        if (
            verdict.outcome in (Outcome.UNREACHABLE, Outcome.TIMEOUT)
            and seen.cell.operation is not OperationClass.CHECK
        ):
            self._selfcheck.doubt()
        return True

    def _count(self, seen: Seen, total_ms: float) -> None:
        if seen.level is Level.CALL:
            self._metrics.call(seen.cell, seen.verdict.outcome)
        else:
            self._metrics.attempt(seen.cell, seen.verdict.outcome, total_ms / 1000)

    def path(self, seen: Seen) -> Path:
        """The way of the attempt; of an answer about several partitions, node and partition are not said."""
        path = self._paths.path(seen.trace.address, seen.trace.headers, seen.partition)
        return path if seen.one_partition else replace(path, node=None, node_zone=None, partition=None)

    def unobserved(self, cell: Cell, intended: float, reason: str, count: int = 1) -> None:
        """``count`` intended probes, the first at monotonic ``intended``, that say nothing about the target."""
        self._tally.unobserved(cell, self._clock.wall(intended), reason, count)
        self._metrics.unobserved(reason, count)

    def started(self, intended: float) -> float:
        """A probe starts now; how late, the metrics say."""
        now = monotonic()
        self._metrics.started(max(0.0, now - intended))
        return now

    def _series(self, seen: Seen, path: Path) -> Series:
        """Made once for all probes that it names: making it costs more than counting with it."""
        key = (seen.cell, seen.table, seen.level, path)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[key] = self._new_series(seen, path)
        return known

    def _new_series(self, seen: Seen, path: Path) -> Series:
        return Series(
            vantage=Vantage.CANARY,
            host=self._host.name,
            zone=self._host.zone,
            operation=seen.cell.operation,
            table=seen.table,
            endpoint=seen.cell.endpoint,
            connection=seen.cell.connection,
            partition=path.partition,
            router=path.router,
            router_zone=path.router_zone,
            node=path.node,
            node_zone=path.node_zone,
            level=seen.level,
        )

    def _observation(self, seen: Seen, path: Path, at: float) -> Observation:
        trace, verdict = seen.trace, seen.verdict
        return Observation(
            at=at,
            endpoint=seen.cell.endpoint,
            software_version=path.software_version,
            connection=seen.cell.connection,
            operation=seen.cell.operation,
            table=seen.table,
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
            request_id=trace.request_id,
            detail=verdict.detail,
            lateness_ms=_round(max(0.0, seen.started - seen.intended) * 1000),
            dns_ms=_optional(trace.dns_ms),
            tcp_ms=_optional(trace.tcp_ms),
            tls_ms=_optional(trace.tls_ms),
            http_ms=_optional(trace.http_ms),
            total_ms=_round((trace.ended - seen.intended) * 1000),
        )
            software_version=path.software_version,

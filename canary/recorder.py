"""Tells tally, metrics, reporter and self-check what came of a probe (shell)."""

from collections.abc import Callable
from time import monotonic

import msgspec

from canary.classify import TIMEOUT_REASONS, Verdict
from canary.clock import Clock
from canary.figures import Figures
from canary.metrics import Metrics
from canary.path import KNOWN_MAX, Map, Path
from canary.plan import Cell, Host
from canary.selfcheck import LagTicker, SelfCheckRunner
from canary.tally import Account, Tally, bucket_of
from canary.trace import Trace
from collector.observation import Level, Observation, OperationClass, Outcome, Vantage
from collector.series import Series


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One probe that came back. ``intended``, ``started``: monotonic; ``at``: the intended start in UTC.

    ``table``: the store's, or a check's service.
    """

    cell: Cell
    table: str
    intended: float
    started: float
    at: float
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
        self._known: dict[tuple[Cell, str, Level, Path], tuple[Account, Figures]] = {}

    def record(self, seen: Seen) -> bool:
        """Count it; False when it says nothing, for the host itself was too slow."""
        verdict, trace = seen.verdict, seen.trace
        if verdict.reason in TIMEOUT_REASONS and self._ticker.spoiled(seen.intended, trace.ended):
            if seen.level is Level.ATTEMPT:
                self.unobserved(seen.cell, seen.intended, "host_lag")
            return False
        path = self.path(seen)
        account, figures = self._books(seen, path)
        total_ms = (trace.ended - seen.intended) * 1000
        if verdict.outcome is Outcome.SUCCESS:
            bucket = bucket_of(total_ms)
            figures.success(bucket, total_ms / 1000)
            account.success(seen.at, bucket)
            if self._tally.is_full:
                self._hurry()
            return True
        figures.failure(verdict.outcome)
        account.failure(self._observation(seen, path))
        self._hurry()
        self._doubt(seen)
        return True

    def _doubt(self, seen: Seen) -> None:
        """A store that cannot be reached may be our own fault."""
        lost = seen.verdict.outcome in (Outcome.UNREACHABLE, Outcome.TIMEOUT)
        if lost and seen.cell.operation is not OperationClass.CHECK:
            self._selfcheck.doubt()

    def path(self, seen: Seen) -> Path:
        """The way of the attempt; of an answer about several partitions, node and partition are not said."""
        path = self._paths.path(seen.trace.address, seen.trace.headers, seen.partition)
        if seen.one_partition:
            return path
        return msgspec.structs.replace(path, node=None, node_zone=None, partition=None)

    def unobserved(self, cell: Cell, intended: float, reason: str, count: int = 1) -> None:
        """``count`` intended probes, the first at monotonic ``intended``, that say nothing about the target."""
        self._tally.unobserved(cell, self._clock.wall(intended), reason, count)
        self._metrics.unobserved(reason, count)

    def started(self, intended: float) -> float:
        """A probe starts now; how late, the metrics say."""
        now = monotonic()
        self._metrics.started(max(0.0, now - intended))
        return now

    def _books(self, seen: Seen, path: Path) -> tuple[Account, Figures]:
        """Where it is counted; looked up once for all probes of a kind."""
        key = (seen.cell, seen.table, seen.level, path)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            account = self._tally.account(self._new_series(seen, path))
            known = self._known[key] = (account, self._metrics.figures(seen.cell, seen.level))
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
            software_version=path.software_version,
        )

    def _observation(self, seen: Seen, path: Path) -> Observation:
        trace, verdict = seen.trace, seen.verdict
        return Observation(
            at=seen.at,
            endpoint=seen.cell.endpoint,
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
            software_version=path.software_version,
        )

"""Reads a period out of the collector's ledger piece by piece and has its report computed (shell)."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from cfa.config import CfaConfig
from cfa.report.build import Terms, report_of
from cfa.report.figures import Interruption, Report
from cfa.report.fold import Fold
from cfa.report.period import Period
from collector.wire import IntervalRow, UnobservedRow

PIECE_SECONDS = 86400
CLIENT_DIMENSIONS = "zone,endpoint,table"
SERVER_DIMENSIONS = "zone,endpoint,table,node"


class ReportSource(Protocol):
    """The collector's ledger."""

    async def intervals(self, start: float, end: float, *, vantage: str, by: str) -> list[IntervalRow]:
        """Rows that begin in ``[start, end)``; raises ``FeedUnavailable``."""
        ...

    async def unobserved(self, start: float, end: float) -> list[UnobservedRow]:
        """What was not asked in ``[start, end)``; raises ``FeedUnavailable``."""
        ...


async def week_report(
    config: CfaConfig, period: Period, ledger: ReportSource, incidents: Sequence[Interruption], now: float
) -> Report:
    """The report of a period; raises ``FeedUnavailable`` when the ledger cannot be read."""
    fold = Fold(period.starts_until(now))
    for start in range(period.start, fold.starts.stop, PIECE_SECONDS):
        await _fold_piece(fold, ledger, start, min(start + PIECE_SECONDS, fold.starts.stop))
    terms = Terms(region=config.region, objective=config.objectives.default, tables=config.objectives.tables)
    return await asyncio.to_thread(report_of, terms, period, fold, incidents, now=now)


async def _fold_piece(fold: Fold, ledger: ReportSource, start: int, end: int) -> None:
    for vantage in ("canary", "customer", "server"):
        by = SERVER_DIMENSIONS if vantage == "server" else CLIENT_DIMENSIONS
        rows = await ledger.intervals(start, end, vantage=vantage, by=by)
        await asyncio.to_thread(fold.add, rows)
    fold.add_unobserved(await ledger.unobserved(start, end))

"""Reads a period out of the collector's ledger piece by piece and has its report computed (shell)."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from cfa.config import CfaConfig
from cfa.report.build import Terms, report_of
from cfa.report.figures import Interruption, Report
from cfa.report.fold import Fold
from cfa.report.period import Period
from collector.totals import Totals, merged
from collector.wire import UnobservedRow

PIECE_SECONDS = 86400


class ReportSource(Protocol):
    """One collector's ledger, or several, or a history."""

    async def totals(self, kind: str, start: float, end: float) -> Totals:
        """Sums of the intervals that begin in ``[start, end)``, by ``tables`` or by ``cells``; raises ``FeedUnavailable``."""
        ...

    async def unobserved(self, start: float, end: float) -> list[UnobservedRow]:
        """What was not asked in ``[start, end)``; raises ``FeedUnavailable``."""
        ...


class Several:
    """Several ledgers as one: sums are added up, and any order gives the same. One that does not answer leaves no report."""

    def __init__(self, sources: Sequence[ReportSource]) -> None:
        self._sources = tuple(sources)

    async def totals(self, kind: str, start: float, end: float) -> Totals:
        """The sum of all."""
        found = await asyncio.gather(*(one.totals(kind, start, end) for one in self._sources))
        return await asyncio.to_thread(merged, found)

    async def unobserved(self, start: float, end: float) -> list[UnobservedRow]:
        """What was not asked, from all."""
        found = await asyncio.gather(*(one.unobserved(start, end) for one in self._sources))
        return [row for rows in found for row in rows]


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
    cells, tables = [await ledger.totals(kind, start, end) for kind in ("cells", "tables")]
    await asyncio.to_thread(fold.add_totals, cells, tables)
    fold.add_unobserved(await ledger.unobserved(start, end))

"""A report straight from a history of Parquet files, without any process running (shell)."""

import asyncio
import time

from cfa.config import CfaConfig
from cfa.report.compute import week_report
from cfa.report.figures import Report
from cfa.report.period import Period
from collector.history.reading import History
from collector.history.store import Store
from collector.totals import Totals
from collector.wire import UnobservedRow


class HistorySource:
    """Every ledger that a history holds, added up. What was not asked is in the collectors' own files, not here."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def totals(self, kind: str, start: float, end: float) -> Totals:
        """Sums of the newest versions."""
        return await asyncio.to_thread(self._history.totals, kind, start, end)

    async def unobserved(self, start: float, end: float) -> list[UnobservedRow]:  # noqa: ARG002
        """Nothing."""
        return []


async def history_report(config: CfaConfig, store: Store, week: str) -> Report:
    """The report of a week or month; raises ``ValueError`` for a wrong week, ``OSError`` when the history cannot be read."""
    history = History(store)
    try:
        await asyncio.to_thread(history.refresh)
        return await week_report(config, Period.parse(week), HistorySource(history), (), time.time())
    finally:
        await asyncio.to_thread(history.close)

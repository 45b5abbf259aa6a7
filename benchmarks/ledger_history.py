"""A week of 100,000 series: one table's 30 days, and the whole region's report, from the Parquet history; DuckDB beside it."""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks import ledger_asked
from benchmarks.figures import Result
from benchmarks.ledger_week import DAY_SECONDS, LEDGER, START, TABLES, Week
from cfa.config import CfaConfig
from cfa.report.compute import week_report
from cfa.report.period import Period
from collector.availability import availability
from collector.history.reading import History
from collector.history.store import open_store
from fivenines.history_report import HistorySource

SERIES, DAYS, EARLIER_DAYS, EARLIER_SHARE = 100_000, 7, 23, 0.1
END = START + DAYS * DAY_SECONDS
ASKED = [f"table-{number:04}" for number in range(7, TABLES, TABLES // 40)]
WEEK = "2026-W48"


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def opened(root: Path) -> History:
    """A history as a process finds it that has just started."""
    history = History(open_store(str(root)))
    history.refresh()
    return history


def ask(history: History, table: str) -> object:
    """Thirty days of one table."""
    start = END - 30 * DAY_SECONDS
    return availability(history.totals("tables", start, END, where={"table": table}), start, END)


def report(root: Path) -> object:
    """The region's report of the week, all tables in it, from nothing."""
    return asyncio.run(week_report(CfaConfig(), Period.parse(WEEK), HistorySource(opened(root)), (), float(END + 1)))


def with_duckdb(root: Path, table: str | None) -> object:
    """The same sums out of every series' rows; without a table: the week by table and interval, as a report needs it."""
    source = f"read_parquet('{root}/intervals/*/*/*.parquet', hive_partitioning = true)"
    sums = "sum(success), sum(server_fault + timeout + unreachable + wrong_answer)"
    query = f"SELECT vantage, {sums} FROM {source} WHERE \"table\" = '{table}' AND NOT recused AND NOT excluded GROUP BY vantage"
    if table is None:
        days = "date >= DATE '2026-11-23' AND NOT recused AND NOT excluded"
        query = f'SELECT vantage, "table", start, {sums} FROM {source} WHERE {days} GROUP BY ALL'
    with duckdb.connect() as database:
        return database.sql(query).fetchall() if table else database.sql(query).fetch_arrow_table()


def measure(root: Path) -> dict[str, float]:
    """All questions, each of them alone."""
    cold = [timed(lambda t=table: ask(opened(root), t)) for table in ASKED[:5]]
    history = opened(root)
    warm = [timed(lambda t=table: ask(history, t)) for table in ASKED]
    print("  the region's report", file=sys.stderr)
    whole = timed(lambda: report(root))
    print("  a running collector, over HTTP", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="fivenines-asked-") as folder:
        config = ledger_asked.settings(Path(folder), root, LEDGER)
        over_http = asyncio.run(ledger_asked.measure(config, ASKED, END - 30 * DAY_SECONDS, END, START))
    print("  DuckDB", file=sys.stderr)
    theirs = [timed(lambda t=table: with_duckdb(root, t)) for table in ASKED[:3]]
    their_week = timed(lambda: with_duckdb(root, None))
    return {
        "table_30_days_ms_p50": statistics.median(wall for wall, _ in warm) * 1e3,
        "table_30_days_ms_max": max(wall for wall, _ in warm) * 1e3,
        "table_30_days_cpu_ms": statistics.median(cpu for _, cpu in warm) * 1e3,
        "table_30_days_cold_ms_max": max(wall for wall, _ in cold) * 1e3,
        **over_http,
        "region_report_s": whole[0],
        "region_report_cpu_s": whole[1],
        "duckdb_table_30_days_ms": statistics.median(wall for wall, _ in theirs) * 1e3,
        "duckdb_table_30_days_cpu_ms": statistics.median(cpu for _, cpu in theirs) * 1e3,
        "duckdb_week_by_table_s": their_week[0],
        "duckdb_week_by_table_cpu_s": their_week[1],
    }


def run() -> Result:
    """Write the weeks, ask, compare."""
    with tempfile.TemporaryDirectory(prefix="fivenines-ledger-") as folder:
        root = Path(folder)
        week = Week(root, SERIES)
        print(
            "  writing: 23 days in which a tenth of the series is active, and a week in which all are", file=sys.stderr
        )
        earlier = timed(lambda: week.write(END - 30 * DAY_SECONDS, EARLIER_DAYS, EARLIER_SHARE))
        before = week.rows, week.bytes
        written = timed(lambda: week.write(START, DAYS))
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        figures = {
            "series": float(SERIES),
            "week_rows": float(week.rows - before[0]),
            "week_intervals_bytes": float(week.bytes - before[1]),
            "earlier_rows": float(before[0]),
            "all_bytes": float(size),
            "write_s": earlier[0] + written[0],
            "write_rows_per_cpu_s": (week.rows - before[0]) / written[1],
            **measure(root),
        }
    return Result(
        name="ledger_history",
        figures=figures,
        ratio=figures["duckdb_table_30_days_cpu_ms"] / figures["table_30_days_cpu_ms"],
        against="DuckDB over the same Parquet files: CPU of one table's 30 days",
        table="\n".join(
            f"{name:<32} {value:>18,.4g}" if value < 1e4 else f"{name:<32} {value:>18,.0f}"
            for name, value in figures.items()
        ),
    )

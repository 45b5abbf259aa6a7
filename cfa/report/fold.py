"""Ledger rows, in any order and any number of pieces, folded into integer counts per scope and interval (pure)."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from cfa.report.figures import source_of
from cfa.report.tables import TableSums
from cfa.sla import ERRORS, PROCESSED, Tally
from collector.observation import Level, Outcome, Vantage
from collector.totals import TotalKey, Totals
from collector.wire import IntervalRow, UnobservedRow

ScopeKey = tuple[str, str, str, str]
"""Vantage, kind of scope, scope, level: attempts and calls are never added up."""


class Counts:
    """Integers of one scope in one interval. ``processed`` and ``errors`` are the SLA's; ``good`` and ``bad`` the customer's.

    ``unanswered`` is the part of ``bad`` that has no answer: timeouts and the unreachable.
    """

    __slots__ = ("bad", "errors", "excluded", "good", "processed", "unanswered")

    def __init__(self) -> None:
        self.processed = self.errors = self.good = self.bad = self.unanswered = self.excluded = 0

    def add(self, counts: dict[Outcome, int]) -> None:
        """Adds one row's outcomes."""
        for outcome, count in counts.items():
            self.processed += count if outcome in PROCESSED else 0
            self.errors += count if outcome in ERRORS else 0
            self.unanswered += count if outcome not in PROCESSED else 0
            self.bad += count if outcome.is_bad else 0
            self.excluded += count if outcome.is_excluded else 0
            self.good += count if outcome is Outcome.SUCCESS else 0

    @property
    def tally(self) -> Tally:
        """The SLA's view."""
        return Tally(self.processed, self.errors)

    @property
    def attempted(self) -> int:
        """Every attempt, whatever came of it."""
        return self.good + self.bad + self.excluded


class Fold:
    """Feed it with :meth:`add` in pieces; what it holds grows with scopes × intervals, not with rows.

    A recused witness's rows are counted and left out, and so is what an exclusion took out. Servers are counted at the routers only: a router's request and
    the nodes' share in it are one request.
    """

    def __init__(self, starts: range, excluded: frozenset[int] = frozenset()) -> None:
        self.starts = starts
        self.excluded = excluded
        self.scopes: dict[ScopeKey, dict[int, Counts]] = defaultdict(dict)
        self.cells: dict[tuple[str, str], dict[int, set[str]]] = defaultdict(dict)
        self.operations: set[str] = set()
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.unobserved: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.versions: dict[tuple[str, int], int] = {}
        self.rows_by_version: Counter[int] = Counter()
        self.rows = 0
        self.recused_rows = 0
        self.excluded_attempts: Counter[str] = Counter()
        self.tables = TableSums()
        self.table_count = 0
        self._digest = 0

    def add(self, rows: Iterable[IntervalRow]) -> None:
        """Takes ledger rows in; those outside the period are ignored."""
        for row in rows:
            if row.start not in self.starts:
                continue
            self._note(row)
            if row.series.level is Level.CONFIRM:
                continue  # asked because something had failed: evidence, and no sample of what customers got
            if row.excluded:
                self.excluded_attempts[source_of(row.series.vantage.value, row.series.level.value)] += sum(
                    row.counts.values()
                )
            elif row.recused:
                self.recused_rows += 1
            elif row.series.node is None or row.series.vantage is not Vantage.SERVER:
                self._count(row)

    def add_totals(self, cells: Totals, tables: Totals) -> None:
        """Takes in the same attempts added up twice: by zone and endpoint, and by table."""
        self.tables.add(tables)
        outcomes = tuple(Outcome)
        columns = np.concatenate([[cells.key, cells.start, cells.version], cells.counts]).T.tolist()
        for number, start, version, *counts in columns:
            if start in self.starts:
                key = cells.keys[number]
                given = {outcome: count for outcome, count in zip(outcomes, counts, strict=True) if count}
                self._add_cell(key, start, version, given)

    def _add_cell(self, key: TotalKey, start: int, version: int, counts: dict[Outcome, int]) -> None:
        self._note_content([key, start, version, sorted(counts.items())], version)
        if key.level is Level.CONFIRM:
            return
        if key.excluded:
            self.excluded_attempts[source_of(key.vantage.value, key.level.value)] += sum(counts.values())
        elif key.recused:
            self.recused_rows += 1
        elif not key.at_node:
            self._count_cell(key, start, version, counts)

    def take_tables(self, most: int) -> None:
        """Of the sums by table, the ``most`` worst tables become scopes like the others."""
        keys, self.table_count = self.tables.worst(most)
        outcomes = tuple(Outcome)
        for (vantage, level, table), start, counts in self.tables.rows(keys):
            if start in self.starts and level != Level.CONFIRM.value:
                by_start = self.scopes[vantage, "table", table, level]
                by_start.setdefault(start, Counts()).add(dict(zip(outcomes, counts, strict=True)))

    def add_unobserved(self, rows: Iterable[UnobservedRow]) -> None:
        """Takes in what was not asked, or not believable."""
        for row in rows:
            if row.start in self.starts:
                self.unobserved[row.zone, row.endpoint][row.reason] += row.count

    def _note(self, row: IntervalRow) -> None:
        self._note_content([row.series, row.start, row.version, sorted(row.counts.items()), row.recused], row.version)

    def _note_content(self, content: list[object], version: int) -> None:
        self.rows += 1
        self.rows_by_version[version] += 1
        digest = hashlib.sha256(msgspec.json.encode(content)).digest()
        self._digest = (self._digest + int.from_bytes(digest)) % 2**256

    @property
    def digest(self) -> str:
        """The sum of the rows' SHA-256, so that the order of the rows does not matter."""
        return f"{self._digest:064x}"

    def _count(self, row: IntervalRow) -> None:
        one = row.series
        key = TotalKey(
            vantage=one.vantage,
            level=one.level,
            operation=one.operation,
            zone=one.zone,
            endpoint=one.endpoint,
            table=one.table,
        )
        self._count_cell(key, row.start, row.version, row.counts)

    def _count_cell(self, key: TotalKey, start: int, version: int, counts: dict[Outcome, int]) -> None:
        vantage = key.vantage.value
        for kind, scope in _scopes(key):
            by_start = self.scopes[vantage, kind, scope, key.level.value]
            if start not in by_start:
                by_start[start] = Counts()
            by_start[start].add(counts)
        self.versions[vantage, start] = max(self.versions.get((vantage, start), 0), version)
        attempts = sum(counts.values())
        is_attempt = key.vantage is Vantage.CANARY and key.level is Level.ATTEMPT
        if is_attempt and key.endpoint is not None and attempts:
            cell = (key.zone or "", key.endpoint)
            operation = key.operation.value
            self.operations.add(operation)
            self.cells[cell].setdefault(start, set()).add(operation)
            self.attempts[cell] += attempts


def _scopes(key: TotalKey) -> Iterator[tuple[str, str]]:
    yield "region", ""
    yield "side", key.operation.side
    if key.zone:
        yield "zone", key.zone
    if key.table:
        yield "table", key.table
    if key.endpoint is not None:
        yield "endpoint", key.endpoint

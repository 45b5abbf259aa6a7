"""Ledger rows, in any order and any number of pieces, folded into integer counts per scope and interval (pure)."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from cfa.report.figures import source_of
from cfa.sla import ERRORS, PROCESSED, Tally
from collector.observation import Level, Outcome, Vantage
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
        self._digest = 0

    def add(self, rows: Iterable[IntervalRow]) -> None:
        """Takes ledger rows in; those outside the period are ignored."""
        for row in rows:
            if row.start not in self.starts:
                continue
            self._note(row)
            if row.excluded:
                self.excluded_attempts[source_of(row.series.vantage.value, row.series.level.value)] += sum(
                    row.counts.values()
                )
            elif row.recused:
                self.recused_rows += 1
            elif row.series.node is None or row.series.vantage is not Vantage.SERVER:
                self._count(row)

    def add_unobserved(self, rows: Iterable[UnobservedRow]) -> None:
        """Takes in what was not asked, or not believable."""
        for row in rows:
            if row.start in self.starts:
                self.unobserved[row.zone, row.endpoint][row.reason] += row.count

    def _note(self, row: IntervalRow) -> None:
        self.rows += 1
        self.rows_by_version[row.version] += 1
        content = msgspec.json.encode([row.series, row.start, row.version, sorted(row.counts.items()), row.recused])
        self._digest = (self._digest + int.from_bytes(hashlib.sha256(content).digest())) % 2**256

    @property
    def digest(self) -> str:
        """The sum of the rows' SHA-256, so that the order of the rows does not matter."""
        return f"{self._digest:064x}"

    def _count(self, row: IntervalRow) -> None:
        vantage = row.series.vantage.value
        for kind, scope in _scopes(row):
            by_start = self.scopes[vantage, kind, scope, row.series.level.value]
            if row.start not in by_start:
                by_start[row.start] = Counts()
            by_start[row.start].add(row.counts)
        key = (vantage, row.start)
        self.versions[key] = max(self.versions.get(key, 0), row.version)
        attempts = sum(row.counts.values())
        is_attempt = row.series.vantage is Vantage.CANARY and row.series.level is Level.ATTEMPT
        if is_attempt and row.series.endpoint is not None and attempts:
            cell = (row.series.zone, row.series.endpoint)
            operation = row.series.operation.value
            self.operations.add(operation)
            self.cells[cell].setdefault(row.start, set()).add(operation)
            self.attempts[cell] += attempts


def _scopes(row: IntervalRow) -> Iterator[tuple[str, str]]:
    series = row.series
    yield "region", ""
    yield "side", series.operation.side
    if series.zone:
        yield "zone", series.zone
    if series.table:
        yield "table", series.table
    if series.endpoint is not None:
        yield "endpoint", series.endpoint

"""Which row a series of the counters' feed belongs to: vantage × table × side; names, groups and objectives of tables (pure).

What customers' SDKs count and what servers count of one table are two subjects, never added up. Whole calls (retries and all) are
not counted, only attempts; canaries have their own judgement. A subject has two rows, ``2·subject + side``; neither ever moves.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfa.cube import SIDES
from cfa.objective import Objective
from collector.column_batch import Frame, FrameError, Names, Texts
from collector.observation import Level, OperationClass, Vantage

VANTAGES: tuple[Vantage, ...] = (Vantage.CUSTOMER, Vantage.SERVER)
NO_ROW = -1
UNGROUPED = ""


class Roster:
    """Subjects by number, and the row of every series id."""

    def __init__(self, objective: Objective, group_pattern: str | None = None) -> None:
        self._objective = objective
        self._pattern = re.compile(group_pattern) if group_pattern else None
        self.number_of: tuple[dict[str, int], ...] = tuple({} for _ in VANTAGES)
        self.tables: list[str] = []
        self.vantage: list[int] = []
        self.groups: list[tuple[int, str]] = []
        """Vantage and name of each group; those of :data:`UNGROUPED` too."""
        self.group: list[int] = []
        self._group_of: dict[tuple[int, str], int] = {}
        self._row_of = np.zeros(1024, np.int64)
        self.series = 0
        self._vantages = np.zeros(0, np.int64)

    @property
    def rows(self) -> int:
        """Rows that are in use."""
        return 2 * len(self.tables)

    @property
    def row_of_series(self) -> NDArray[np.int64]:
        """The row of each series id; :data:`NO_ROW` for what is not judged here."""
        return self._row_of[: self.series]

    def vantage_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The vantage of some rows."""
        return self.vantages[rows // 2]

    def group_of(self, subjects: NDArray[np.int64]) -> NDArray[np.int64]:
        """The groups of some subjects."""
        return np.array([self.group[s] for s in subjects.tolist()], np.int64)

    @property
    def vantages(self) -> NDArray[np.int64]:
        """The vantage of every subject."""
        if len(self._vantages) < len(self.vantage):
            self._vantages = np.array(self.vantage, np.int64)
        return self._vantages

    def subject(self, vantage: Vantage, table: str) -> int | None:
        """The number of a table as a vantage sees it; None when it was never heard of."""
        return self.number_of[VANTAGES.index(vantage)].get(table)

    def allowed(self, subject: int) -> float:
        """p0 of its table."""
        return self._objective.allowed(self.tables[subject])

    def learn(self, frame: Frame) -> None:
        """A page of ``GET /v1/counters/series``; raises :class:`FrameError` when it is not the next."""
        if not isinstance(frame.header, Names):
            raise FrameError("not a page of series")
        count = frame.header.count
        if count and int(frame.numbers[0]) != self.series:
            raise FrameError(f"series {self.series} was asked for, {int(frame.numbers[0])} came")
        columns = {column.dimension: column for column in frame.columns}
        vantage = _codes(columns.get("vantage"), count, {str(v): n for n, v in enumerate(VANTAGES)})
        side = _codes(columns.get("operation"), count, {str(o): SIDES.index(o.side) for o in OperationClass})
        level = _codes(columns.get("level"), count, {str(Level.ATTEMPT): 0}, none=0)
        judged = (vantage >= 0) & (side >= 0) & (level >= 0)
        rows = np.full(count, NO_ROW, np.int64)
        subjects = self._subjects(columns.get("table"), vantage, judged)
        rows[judged] = 2 * subjects[judged] + side[judged]
        self._keep(rows)

    def _keep(self, rows: NDArray[np.int64]) -> None:
        after = self.series + len(rows)
        if after > len(self._row_of):
            grown = np.zeros(max(after, 2 * len(self._row_of)), np.int64)
            grown[: self.series] = self.row_of_series
            self._row_of = grown
        self._row_of[self.series : after] = rows
        self.series = after

    def _subjects(
        self, column: Texts | None, vantage: NDArray[np.int64], judged: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        if column is None:
            raise FrameError("series without a table")
        codes = np.ones(len(vantage), np.int64) if column.codes is None else column.codes.astype(np.int64)
        found = np.full(len(vantage), -1, np.int64)
        for v in range(len(VANTAGES)):
            mine = judged & (vantage == v)
            if mine.any():
                used, first = np.unique(codes[mine], return_index=True)
                numbers = np.zeros(len(column.texts) + 1, np.int64)
                for code in used[np.argsort(first)].tolist():
                    numbers[code] = self.enrol(v, column.texts[code - 1])
                found[mine] = numbers[codes[mine]]
        return found

    def enrol(self, vantage: int, table: str) -> int:
        """The number of a subject, new or known."""
        known = self.number_of[vantage]
        number = known.get(table)
        if number is None:
            number = known[table] = len(self.tables)
            self.tables.append(table)
            self.vantage.append(vantage)
            self.group.append(self._group(vantage, table))
        return number

    def group_name(self, table: str) -> str:
        """The group that a table of this name belongs to, or :data:`UNGROUPED`."""
        match = self._pattern.search(table) if self._pattern else None
        return UNGROUPED if match is None else match.group(1 if match.re.groups else 0) or UNGROUPED

    def _group(self, vantage: int, table: str) -> int:
        name = self.group_name(table)
        number = self._group_of.get((vantage, name))
        if number is None:
            number = self._group_of[vantage, name] = len(self.groups)
            self.groups.append((vantage, name))
        return number

    def forget_series(self) -> None:
        """The collector numbers its series anew (another ledger): subjects stay, ids are asked for again."""
        self.series = 0

    def restore(self, tables: Sequence[str], vantages: Sequence[int], rows: NDArray[np.int64]) -> None:
        """Takes back what was kept; only into a new roster."""
        for table, vantage in zip(tables, vantages, strict=True):
            self.enrol(vantage, table)
        self._keep(rows)


def _codes(column: Texts | None, count: int, known: Mapping[str, Any], none: int = -1) -> NDArray[np.int64]:
    """Each row's text as a number; -1 for texts that are not known."""
    if column is None:
        return np.full(count, none, np.int64)
    values = np.array([none, *(known.get(text, -1) for text in column.texts)], np.int64)
    if column.codes is None:
        return np.full(count, values[1] if column.texts else none, np.int64)
    return values[column.codes]

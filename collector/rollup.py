"""Counts added up over the dimensions that nobody asked for (pure)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from collector.columns import RowKey, Table, regroup, rows_of
from collector.merge import Tally
from collector.observation import Vantage
from collector.series import Series

OPTIONAL: tuple[str, ...] = (
    "endpoint",
    "connection",
    "partition",
    "router",
    "router_zone",
    "node",
    "node_zone",
)
REQUIRED: tuple[str, ...] = ("host", "zone", "table")
DIMENSIONS: tuple[str, ...] = (*REQUIRED, *OPTIONAL)
"""What may be asked for; vantage, operation and level are always kept: their counts must never be added up."""

SUMMARY: tuple[str, ...] = ("zone", "table", "endpoint", "connection", "partition")
"""What a sealed interval's summary keeps of a client's series; a server's series are few and kept whole."""


def in_summary(series: Series) -> Series:
    """The series under which ``series`` is summarised when an interval is sealed."""
    return series if series.vantage is Vantage.SERVER else reduce_series(series, SUMMARY)


def summary_suffices(vantage: Vantage | None, by: Collection[str] | None) -> bool:
    """Whether a question can be answered from the summaries: a month is then read in seconds."""
    return vantage is Vantage.SERVER or (by is not None and set(by) <= set(SUMMARY))


def reduce_series(series: Series, by: Collection[str]) -> Series:
    """``series`` with the other dimensions blank: None, or "" where the contract wants a text."""
    blank: dict[str, Any] = {name: None for name in OPTIONAL if name not in by}
    blank |= {name: "" for name in REQUIRED if name not in by}
    return replace(series, **blank)


class Grouping:
    """Which series fall together under ``by``. Grows with the ledger's series; ids count from 1 without holes."""

    def __init__(self, by: Collection[str]) -> None:
        self._by = by
        self._numbers: dict[Series, int] = {}
        self._group_of: list[int] = [0]  # index: series id
        self._as_array = np.zeros(1, dtype=np.int64)
        self.names: list[Series] = []
        """Index: number of the group."""

    def learn(self, names: Mapping[int, Series]) -> None:
        """Take in the series that are new in ``names``."""
        for number in range(len(self._group_of), len(names) + 1):
            group = reduce_series(names[number], self._by)
            if group not in self._numbers:
                self._numbers[group] = len(self.names)
                self.names.append(group)
            self._group_of.append(self._numbers[group])

    def roll_up(self, table: Table) -> dict[RowKey, Tally]:
        """A table added up by ``(group, flags)``."""
        return rows_of(regroup(table, self._array()))

    def _array(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        if len(self._as_array) != len(self._group_of):
            self._as_array = np.array(self._group_of, dtype=np.int64)
        return self._as_array


def roll_up(names: Sequence[Series], table: Table, by: Collection[str]) -> tuple[dict[RowKey, Tally], list[Series]]:
    """A table (first column: index into ``names``) added up under ``by``: rows by ``(group, flags)``, and the groups' names."""
    numbers: dict[Series, int] = {}
    groups = [numbers.setdefault(reduce_series(series, by), len(numbers)) for series in names]
    return rows_of(regroup(table, np.array(groups, dtype=np.int64))), list(numbers)

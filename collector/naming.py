"""The ledger's series by number, in the memory of the one who writes (shell)."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from collector import schema
from collector.ledger_file import read_series
from collector.rollup import in_summary
from collector.series import Series


class Names:
    """Numbers count from 1 without holes. Meant for one thread; make a new one after an error: memory may be ahead of the file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._names: list[Series] = [series for _, series in read_series(database)]
        self._numbers: dict[Series, int] = {series: index + 1 for index, series in enumerate(self._names)}
        self._summarised = np.zeros(1, dtype=np.int64)

    def number(self, series: Series) -> int:
        """The series' number; a new series is written down, so call it within a transaction."""
        known = self._numbers.get(series)
        if known is None:
            self._names.append(series)
            known = self._numbers[series] = len(self._names)
            row = (known, *[getattr(series, column) for column in schema.SERIES_COLUMNS])
            self._database.execute(schema.ADD_SERIES, row)
        return known

    def numbers(self, many: Iterable[Series]) -> list[int]:
        """The numbers of many, in their order; within a transaction."""
        return [self.number(series) for series in many]

    def all(self) -> Iterator[tuple[int, Series]]:
        """Every series with its number."""
        return enumerate(self._names, start=1)

    def some(self, numbers: Sequence[int]) -> Iterator[tuple[int, Series]]:
        """These series with their numbers."""
        return ((number, self._names[number - 1]) for number in numbers)

    def summarised(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """Index: number of a series; value: that of the series it is summarised under. Within a transaction."""
        while len(self._summarised) <= len(self._names):
            more = [self.number(in_summary(series)) for series in self._names[len(self._summarised) - 1 :]]
            self._summarised = np.concatenate([self._summarised, np.array(more, dtype=np.int64)])
        return self._summarised

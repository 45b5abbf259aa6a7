"""What was taken out of the figures afterwards, by whom and why (pure).

An exclusion names a span and, if wanted, where: its counts are moved under the flag :data:`collector.columns.EXCLUDED`
in a new version of each interval that it touches; nothing is erased, and undoing one is a further version.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from collector.columns import EXCLUDED, RECUSED, Table, total
from collector.interval import INTERVAL_SECONDS, interval_of
from collector.series import Series

WHERE: tuple[str, ...] = ("vantage", "zone", "endpoint", "host", "table", "operation")
"""The dimensions that an exclusion may be limited to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """All intervals that ``[start, end)`` touches, wherever ``where`` (pairs of dimension and value) holds.

    A statement of its own is also the undoing: ``undoes`` is then the number of the exclusion that no longer holds.
    """

    start: float
    end: float
    where: tuple[tuple[str, str], ...] = ()
    reason: str
    who: str
    made_at: float
    undoes: int | None = None
    id: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError("an exclusion's end must be after its start")
        if not self.reason.strip() or not self.who.strip():
            raise ValueError("an exclusion says who wants it and why")
        if unknown := [name for name, _ in self.where if name not in WHERE]:
            raise ValueError(f"{', '.join(unknown)}: an exclusion can be limited by {', '.join(WHERE)}")

    @property
    def first(self) -> int:
        """The first interval that it touches."""
        return interval_of(self.start)

    @property
    def last(self) -> int:
        """The last interval that it touches."""
        return interval_of(self.end - 1e-6)

    def touches(self, start: int) -> bool:
        """Whether the interval that begins at ``start`` is touched: then all of it is excluded."""
        return self.start < start + INTERVAL_SECONDS and start < self.end

    def matches(self, series: Series) -> bool:
        """Whether the series is one of those meant."""
        return all(getattr(series, name) == value for name, value in self.where)


def in_force(statements: Iterable[Exclusion]) -> list[Exclusion]:
    """The exclusions that hold: those that no later statement undoes."""
    said = list(statements)
    undone = {one.undoes for one in said if one.undoes is not None}
    return [one for one in said if one.undoes is None and one.id not in undone]


def excluded_ids(exclusions: Sequence[Exclusion], start: int, names: Iterable[tuple[int, Series]]) -> list[int]:
    """The ids of the series whose counts of the interval are excluded."""
    holding = [one for one in exclusions if one.touches(start)]
    if not holding:
        return []
    return [number for number, series in names if any(one.matches(series) for one in holding)]


def apply(table: Table, ids: Sequence[int]) -> Table:
    """``table`` with exactly the rows of the series ``ids`` under the flag, whatever was excluded before."""
    moved = table.copy()
    moved[1] &= RECUSED
    if ids:
        moved[1][np.isin(moved[0], np.array(ids, dtype=np.int64))] |= EXCLUDED
    return total([moved])

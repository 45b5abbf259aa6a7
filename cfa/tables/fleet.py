"""All tables and their roll-ups, fed with entries of the counters' feed; its clock is the feed's (pure).

The same entries in the same order give the same states, ticks and findings. Between a tick and the first entry after it nothing
is in flight: there a checkpoint can be made that belongs to exactly one cursor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfa.objective import Objective
from cfa.tables.block import Block, Gathered, Weighed
from cfa.tables.columns import Counts, Rows
from cfa.tables.policy import TICK_SECONDS
from cfa.tables.rings import BAD, EXCLUDED, GOOD, KINDS
from cfa.tables.roster import VANTAGES, Roster
from collector.column_batch import Frame, Increments, Told
from collector.observation import BAD as BAD_OUTCOMES
from collector.observation import Outcome

KIND_OF: dict[str, int] = {
    str(o): GOOD if o is Outcome.SUCCESS else BAD if o in BAD_OUTCOMES else EXCLUDED for o in Outcome
}
"""Latency buckets are not counted here."""
SERVICE_ROWS = 2 * len(VANTAGES)
"""The roll-ups begin with the service by vantage and side; then come two rows for each group."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick found. ``good`` and ``bad``: what each row had since the tick before (None: nothing at all)."""

    at: int
    tables: Weighed
    rollups: Weighed
    good: Counts | None
    bad: Counts | None

    def had(self, rows: Rows) -> tuple[int, int]:
        """Good and bad of some rows in this tick."""
        good, bad = (0 if one is None else int(one[rows].sum()) for one in (self.good, self.bad))
        return good, bad


class Fleet:
    """State of everything. :meth:`learn` names, then for each entry: :meth:`tick` when it is :meth:`due`, then :meth:`count`."""

    def __init__(self, objective: Objective, false_pages_per_year: float, group_pattern: str | None = None) -> None:
        self.roster = Roster(objective, group_pattern)
        self.tables = Block()
        self.rollups = Block()
        self.at: int | None = None
        """The newest tick's second."""
        self.cursor = 0
        self.received_at = 0.0
        self._objective = objective
        self.false_pages = false_pages_per_year
        self._open: dict[int, list[NDArray[np.int64] | None]] = {}
        self._rollup_of = np.zeros(0, np.int64)
        self.reserve()

    # --- names --------------------------------------------------------------------------------------------------------------------

    def learn(self, frame: Frame) -> None:
        """A page of the collector's series; raises :class:`collector.column_batch.FrameError`."""
        self.roster.learn(frame)
        self.reserve()

    def reserve(self) -> None:
        """Rows for the subjects and groups that are new."""
        roster = self.roster
        first = self.tables.rows // 2
        self.tables.reserve([roster.allowed(s) for s in range(first, len(roster.tables)) for _ in range(2)])
        wanted = SERVICE_ROWS + 2 * len(roster.groups)
        self.rollups.reserve([self._objective.allowed()] * (wanted - self.rollups.rows))
        if first < len(roster.tables):
            groups = np.array(roster.group[first:], np.int64)
            rows = (SERVICE_ROWS + 2 * groups)[:, None] + np.arange(2)
            self._rollup_of = np.concatenate([self._rollup_of, rows.ravel()])

    def knows(self, increments: Sequence[Increments]) -> bool:
        """Whether all series of an entry have been learned."""
        return all(not len(one.numbers) or int(one.numbers[-1]) < self.roster.series for one in increments)

    @property
    def sharers(self) -> int:
        """Rows that share the false pages that are allowed."""
        return self.tables.rows + self.rollups.rows

    def rollup_of(self, rows: Rows) -> Rows:
        """The roll-up (of a group) that some rows are part of."""
        return self._rollup_of[rows]

    def rollup_vantage(self, rolled: Rows) -> Rows:
        """The vantage of some roll-ups."""
        groups = np.array([vantage for vantage, _ in self.roster.groups], np.int64)
        of = np.concatenate([np.arange(SERVICE_ROWS) // 2, np.repeat(groups, 2)])
        return np.asarray(of[rolled], np.int64)

    # --- counts -------------------------------------------------------------------------------------------------------------------

    def due(self, received_at: float) -> bool:
        """Whether a tick comes before an entry that was received then."""
        return self.at is not None and int(received_at) // TICK_SECONDS * TICK_SECONDS > self.at

    def count(self, told: Told, increments: Sequence[Increments]) -> None:
        """Takes an entry in; an entry at or below the cursor was taken before."""
        if told.cursor <= self.cursor:
            return
        self.cursor, self.received_at = told.cursor, max(self.received_at, told.received_at)
        if self.at is None:
            self.at = int(told.received_at) // TICK_SECONDS * TICK_SECONDS
        slot = min(told.at, int(self.received_at)) // TICK_SECONDS * TICK_SECONDS
        for one in increments:
            kind = KIND_OF.get(one.place)
            if kind is not None and len(one.numbers):
                rows = self.roster.row_of_series[one.numbers]
                # what is not judged has row -1: the place behind the last row
                np.add.at(self._counts(slot, kind), rows, one.values.astype(np.int64, copy=False))

    def _counts(self, slot: int, kind: int) -> Counts:
        kinds = self._open.setdefault(slot, [None] * KINDS)
        counts, size = kinds[kind], self.tables.rows + 1
        if counts is None or len(counts) < size:
            grown = np.zeros(size, np.int64)
            if counts is not None:
                grown[: len(counts) - 1] = counts[:-1]
            counts = kinds[kind] = grown
        return counts

    def resume(self, cursor: int, received_at: float, at: int | None) -> None:
        """Goes on after the entry ``cursor``; nothing may be in flight but what an earlier feed brought."""
        self.cursor, self.received_at, self.at = cursor, received_at, at

    def tick(self, received_at: float) -> Tick:
        """Judges what was counted since the last tick; the feed has come to ``received_at``."""
        now = int(received_at) // TICK_SECONDS * TICK_SECONDS
        size = self.tables.rows
        gathered = [Gathered(at, self._closed(kinds, size)) for at, kinds in sorted(self._open.items())]
        self._open = {}
        sums = [Gathered(one.at, tuple(map(self._rolled_up, one.counts))) for one in gathered]
        tables = self.tables.tick(now, gathered, self.sharers, self.false_pages)
        rollups = self.rollups.tick(now, sums, self.sharers, self.false_pages)
        self.at = now
        return Tick(now, tables, rollups, _total(gathered, GOOD), _total(gathered, BAD))

    def _closed(self, kinds: list[NDArray[np.int64] | None], size: int) -> tuple[Counts | None, ...]:
        closed: list[Counts | None] = []
        for counts in kinds:
            if counts is not None and len(counts) <= size:
                grown = np.zeros(size, np.int64)
                grown[: len(counts) - 1] = counts[:-1]
                closed.append(grown)
            else:
                closed.append(None if counts is None else counts[:size])
        return tuple(closed)

    def _rolled_up(self, counts: Counts | None) -> Counts | None:
        if counts is None:
            return None
        # exact: a group has fewer than 2^53 requests in ten seconds
        sums: NDArray[Any] = np.bincount(self._rollup_of, counts, self.rollups.rows).astype(np.int64)
        for number, (vantage, _) in enumerate(self.roster.groups):
            row = SERVICE_ROWS + 2 * number
            sums[2 * vantage : 2 * vantage + 2] += sums[row : row + 2]
        return sums


def _total(gathered: Sequence[Gathered], kind: int) -> Counts | None:
    total: Counts | None = None
    for one in gathered:
        counts = one.counts[kind]
        if counts is not None:
            total = counts if total is None else total + counts
    return total

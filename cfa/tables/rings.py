"""Rolling counts of every row over all windows: exact sums of packed columns that grow older from segment to segment (pure).

The past is kept once: the last 5 minutes by 10 seconds, what is before that up to 30 minutes by minutes, and so on
(:data:`cfa.tables.policy.SEGMENTS`). A slot that is too old for its segment moves on into the wider slot of the next. A window
is the sum of the segments up to its own, each of which has a running sum, so that a tick adds one column and moves one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfa.tables.columns import Column, Counts, Rows, merged, pack
from cfa.tables.policy import SEGMENTS

KINDS = 3
GOOD, BAD, EXCLUDED = range(KINDS)
PARTS_MOST = 12
"""A slot with more parts than this (late counts) is merged before its time."""


@dataclass(frozen=True, slots=True)
class Part:
    """Counts of all kinds that belong to one slot. ``number`` tells parts apart, and never changes its meaning."""

    number: int
    columns: tuple[Column | None, ...]

    @property
    def nbytes(self) -> int:
        """Memory."""
        return sum(column.nbytes for column in self.columns if column is not None)


Slots = dict[int, list[Part]]


class Rings:
    """``sums[kind][segment, row]``: the counts of one segment; a window's counts are :meth:`window`."""

    def __init__(self) -> None:
        self.capacity = 1024
        self.now = 0
        self.slots: list[Slots] = [{} for _ in SEGMENTS]
        self.sums: list[Counts] = [np.zeros((len(SEGMENTS), self.capacity), np.int64) for _ in range(KINDS)]
        self.parts_made = 0
        self.too_old = 0
        self._scratch = np.zeros(self.capacity, np.int64)

    def reserve(self, rows: int) -> None:
        """Makes room for ``rows`` rows."""
        if rows <= self.capacity:
            return
        capacity = max(rows, self.capacity * 3 // 2)
        for kind, old in enumerate(self.sums):
            # zeros that nobody writes to take no memory
            grown = np.zeros((len(SEGMENTS), capacity), np.int64)
            if old.any():
                grown[:, : self.capacity] = old
            self.sums[kind] = grown
        self.capacity = capacity
        self._scratch = np.zeros(capacity, np.int64)

    def advance(self, now: int) -> None:
        """It is ``now`` (UTC second): what is too old for its segment moves on. Time never goes back."""
        self.now = max(self.now, now)
        for i, segment in enumerate(SEGMENTS):
            oldest = self._oldest(i)
            for slot in sorted(slot for slot in self.slots[i] if slot < oldest):
                for part in self.slots[i].pop(slot):
                    self._take(i, part)
                    if i + 1 < len(SEGMENTS):
                        self._put(i + 1, slot * segment.width // SEGMENTS[i + 1].width, part)
            self._merge_complete(i)

    def _oldest(self, segment: int) -> int:
        width = SEGMENTS[segment].width
        return self.now // width - SEGMENTS[segment].seconds // width

    def add(self, at: int, counts: tuple[Counts | None, ...]) -> bool:
        """Adds counts of the second ``at`` by kind; the future counts as now. False when it is before all windows."""
        at = min(at, self.now)
        for i, segment in enumerate(SEGMENTS):
            if at // segment.width >= self._oldest(i):
                columns = tuple(None if one is None else pack(one) for one in counts)
                if any(column is not None for column in columns):
                    self.parts_made += 1
                    self._put(i, at // segment.width, Part(self.parts_made, columns))
                return True
        self.too_old += 1
        return False

    def _put(self, i: int, slot: int, part: Part) -> None:
        parts = self.slots[i].setdefault(slot, [])
        parts.append(part)
        for kind, column in enumerate(part.columns):
            if column is not None:
                column.add_to(self.sums[kind][i])
        if len(parts) > PARTS_MOST:
            self._merge(parts)

    def _take(self, i: int, part: Part) -> None:
        for kind, column in enumerate(part.columns):
            if column is not None:
                column.take_from(self.sums[kind][i])

    def _merge_complete(self, i: int) -> None:
        """Slots that get nothing more from the segment before become one part each."""
        if not i:
            return
        before, width = SEGMENTS[i - 1].width, SEGMENTS[i].width
        begins = self._oldest(i - 1) * before
        for slot, parts in self.slots[i].items():
            if len(parts) > 1 and (slot + 1) * width <= begins:
                self._merge(parts)

    def _merge(self, parts: list[Part]) -> None:
        columns = tuple(merged([part.columns[kind] for part in parts], self._scratch) for kind in range(KINDS))
        self.parts_made += 1
        parts[:] = [Part(self.parts_made, columns)]

    def window(self, window: int, rows: Rows | slice) -> tuple[Counts, ...]:
        """Good, bad and excluded of some rows within the window."""
        return tuple(sums[: window + 1, rows].sum(axis=0) for sums in self.sums)

    def lately(self, rows: Rows, segments: int) -> Iterator[tuple[int, int, int]]:
        """What some rows (ascending) have together in each slot of the first segments, oldest first: begin of the slot, good, bad."""
        for i in range(segments - 1, -1, -1):
            for slot in sorted(self.slots[i]):
                sums = [0, 0]
                for part in self.slots[i][slot]:
                    for kind in (GOOD, BAD):
                        column = part.columns[kind]
                        sums[kind] += 0 if column is None else column.sum_of(rows)
                yield slot * SEGMENTS[i].width, sums[GOOD], sums[BAD]

    def restore(self, now: int, slots: list[Slots], parts_made: int, rows: int) -> None:
        """Takes slots back that were kept, and adds them up anew."""
        self.reserve(rows)
        self.now, self.parts_made = now, parts_made
        for i, kept in enumerate(slots):
            for slot, parts in kept.items():
                for part in parts:
                    self._put(i, slot, part)

    @property
    def nbytes(self) -> int:
        """Memory of all parts."""
        return sum(part.nbytes for slots in self.slots for parts in slots.values() for part in parts)


def empty(rows: int) -> NDArray[np.int64]:
    """Counts of nothing."""
    return np.zeros(rows, np.int64)

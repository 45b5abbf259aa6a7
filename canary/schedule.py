"""When each cell is asked: an open loop of intended start times (pure).

A tick is due at its intended time whether or not earlier probes have come back. One that could not be started within
``patience`` (a cadence, or the deadline if that is shorter) is reported as missed; none vanishes.
Times are loop-monotonic seconds.
"""

import heapq
import math
from collections.abc import Sequence

import msgspec

from canary.plan import Cell

MISSED_CHUNK_SECONDS = 60.0


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One intended probe; ``number`` counts cadences since the epoch, so that keys go on walking after a restart."""

    cell: Cell
    number: int
    intended: float


class Missed(msgspec.Struct, frozen=True):
    """``count`` intended probes of a cell, the first at ``intended``, that were not started in time."""

    cell: Cell
    intended: float
    count: int


class Step(msgspec.Struct, frozen=True):
    """What is to be done now."""

    ticks: tuple[Tick, ...]
    missed: tuple[Missed, ...]


class Schedule:
    """The ticks of one host. ``origin`` is the monotonic time of the UTC epoch; only ticks from ``start`` on count."""

    def __init__(
        self,
        cells: Sequence[Cell],
        phases: Sequence[float],
        *,
        cadence_seconds: float,
        patience_seconds: float,
        origin: float,
        start: float,
    ) -> None:
        self._cells = tuple(cells)
        self._phases = tuple(phases)
        self._cadence = cadence_seconds
        self._patience = min(cadence_seconds, patience_seconds)
        self._origin = origin
        self._due = [(self._intended(i, n), i, n) for i, n in enumerate(self._first(start))]
        heapq.heapify(self._due)

    def _first(self, start: float) -> list[int]:
        elapsed = (start - self._origin) / self._cadence
        return [math.ceil(elapsed - phase) for phase in self._phases]

    def _intended(self, index: int, number: int) -> float:
        return self._origin + (number + self._phases[index]) * self._cadence

    @property
    def next_at(self) -> float:
        """When ``step`` has work next; infinite without cells."""
        return self._due[0][0] if self._due else math.inf

    def step(self, now: float) -> Step:
        """The ticks that are due at ``now``, in the order of their intended times, and those that are too late."""
        ticks: list[Tick] = []
        missed: list[Missed] = []
        while self._due and self._due[0][0] <= now:
            intended, index, number = self._due[0]
            cell = self._cells[index]
            count = self._too_late(now - intended)
            if count:
                missed.append(Missed(cell, intended, count))
            else:
                ticks.append(Tick(cell, number, intended))
                count = 1
            heapq.heapreplace(self._due, (self._intended(index, number + count), index, number + count))
        return Step(tuple(ticks), tuple(missed))

    def _too_late(self, lateness: float) -> int:
        """How many ticks in a row, the first ``lateness`` seconds late, have outrun our patience (at most a minute's)."""
        if lateness < self._patience:
            return 0
        chunk = max(1, int(MISSED_CHUNK_SECONDS / self._cadence))
        return min(chunk, 1 + math.floor((lateness - self._patience) / self._cadence))

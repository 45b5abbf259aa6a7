"""The last minute, cell by cell: (observer's zone, endpoint, operation, connection) (pure)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfa.objective import availability, cell_verdict
from cfa.packing import pack, unpack
from collector.series import LATENCY_BOUNDS_MS

SECONDS = 60
SLOTS = 64
BUCKETS = len(LATENCY_BOUNDS_MS) + 1
GOOD, BAD, EXCLUDED, UNOBSERVED, LATENCY = range(5)

RETURN_SECONDS = 15.0
"""A zone that was silent for so long has come back with its next answer."""
TURN_SECONDS = 10.0
"""Patience beyond two cadences: the start of a canary, and a batch."""

Cell = tuple[str, str, str, str]


class Matrix:
    """Counts and latency of each cell in one-second slots.

    ``seldom``: operations that are asked seldom, and every how many seconds. Their cells are not missed before their turn.
    """

    def __init__(self, seldom: Mapping[str, float] | None = None) -> None:
        self._seldom = dict(seldom or {})
        self._heard: dict[str, tuple[float, float]] = {}
        """Zone → when it was heard last, and since when it has been heard without a gap."""
        self.cells: list[Cell] = []
        self.last_at: list[float | None] = []
        self._index: dict[Cell, int] = {}
        self._second: int | None = None
        self._slots: NDArray[np.int32] = np.zeros((SLOTS, 16, LATENCY + BUCKETS), np.int32)

    def advance(self, at: float) -> None:
        """Lets seconds that left the minute go; time never goes back."""
        second = int(at)
        if self._second is None:
            self._second = second
        for new in range(self._second + 1, min(second, self._second + SLOTS) + 1):
            self._slots[new % SLOTS] = 0
        self._second = max(self._second, second)

    def cell(self, cell: Cell) -> int:
        """The index of a cell, new or known."""
        index = self._index.get(cell)
        if index is None:
            index = self._index[cell] = len(self.cells)
            self.cells.append(cell)
            self.last_at.append(None)
            if index >= self._slots.shape[1]:
                self._slots = np.pad(self._slots, ((0, 0), (0, index), (0, 0)))
        return index

    def add(self, cell: int, at: float, counts: tuple[int, int, int, int], latency: tuple[int, ...] = ()) -> None:
        """Adds (good, bad, excluded, unobserved) of the second ``at``; what is older than the minute is not its matter."""
        if self._second is None or int(at) <= self._second - SECONDS:
            return
        row = self._slots[min(int(at), self._second) % SLOTS, cell]
        row[:LATENCY] += counts
        if len(latency) == BUCKETS:
            row[LATENCY:] += latency
        if any(counts[:UNOBSERVED]):
            self.last_at[cell] = max(at, self.last_at[cell] or at)
            self._hear(self.cells[cell][0], at)

    def _hear(self, zone: str, at: float) -> None:
        last, since = self._heard.get(zone, (at, at))
        self._heard[zone] = (max(last, at), at if at - last > RETURN_SECONDS else since)

    def _due_in(self, index: int, at: float) -> float:
        """Seconds that a cell without an answer may still take for its turn, in a zone that is heard; 0: it is missed."""
        zone, _, operation, _ = self.cells[index]
        cadence, (last, since) = self._seldom.get(operation), self._heard.get(zone, (0.0, 0.0))
        if cadence is None or at - last > RETURN_SECONDS:
            return 0.0
        return max(0.0, max(since, self.last_at[index] or 0.0) + 2 * cadence + TURN_SECONDS - at)

    @property
    def answered(self) -> int:
        """Cells that have answered at least once."""
        return sum(at is not None for at in self.last_at)

    def view(self, at: float, allowed: float) -> list[dict[str, object]]:
        """The ``matrix`` of the status, in the order of names."""
        if self._second is None:
            return []
        first, last = int(at) - SECONDS + 1, min(self._second, int(at))
        seconds = [s % SLOTS for s in range(max(first, self._second - SECONDS + 1), last + 1)]
        sums = self._slots[seconds].sum(axis=0) if seconds else np.zeros_like(self._slots[0])
        order = sorted(range(len(self.cells)), key=self.cells.__getitem__)
        return [self._row(i, sums[i], allowed, at) for i in order]

    def _row(self, index: int, sums: NDArray[Any], allowed: float, at: float) -> dict[str, object]:
        good, bad, excluded, unobserved = (int(x) for x in sums[:LATENCY])
        return {
            **dict(zip(("zone", "endpoint", "operation", "connection"), self.cells[index], strict=True)),
            "verdict": str(cell_verdict(good, bad, allowed)),
            "good": good,
            "bad": bad,
            "excluded": excluded,
            "unobserved": unobserved,
            "availability": availability(good, bad),
            "latency_ms_p50": quantile(sums[LATENCY:], 0.5),
            "latency_ms_p99": quantile(sums[LATENCY:], 0.99),
            "last_at": self.last_at[index],
            "due_in_seconds": 0.0 if good or bad else round(self._due_in(index, at), 1),
        }

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {
            "cells": list(self.cells),
            "last_at": list(self.last_at),
            "heard": self._heard,
            "second": self._second,
            "slots": pack(self._slots),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes a :meth:`state` back."""
        self.cells = [(z, e, o, c) for z, e, o, c in state["cells"]]
        self._index = {cell: i for i, cell in enumerate(self.cells)}
        self._heard = {zone: (last, since) for zone, (last, since) in state.get("heard", {}).items()}
        self.last_at, self._second, self._slots = state["last_at"], state["second"], unpack(state["slots"])


def quantile(buckets: NDArray[Any], q: float) -> float | None:
    """A quantile of a latency histogram in ms, linear within its bucket; None when empty, the last bound when slower."""
    total = int(buckets.sum())
    if not total:
        return None
    cumulative = np.cumsum(buckets)
    k = int(np.searchsorted(cumulative, q * total))
    if k >= len(LATENCY_BOUNDS_MS):
        return float(LATENCY_BOUNDS_MS[-1])
    low = LATENCY_BOUNDS_MS[k - 1] if k else 0.0
    before = int(cumulative[k - 1]) if k else 0
    return round(low + (LATENCY_BOUNDS_MS[k] - low) * (q * total - before) / int(buckets[k]), 3)

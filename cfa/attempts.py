"""The attempts of the last minutes, row by row: what the scan, the gates and the clearing rule look at (pure).

A row is some attempts of one place at one time. ``at`` is when the witness meant to ask, ``received`` when the
collector heard of it. Rows of a host that is not believed stay here, marked, until its word is wanted again. ``confirm``: asked because another
zone's attempt had failed; evidence, but in no availability, budget or window.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfa.packing import pack, unpack
from cfa.policy import RETENTION_SECONDS

ROW = np.dtype(
    [
        ("sequence", np.int64),
        ("at", np.float64),
        ("received", np.float64),
        ("place", np.int32),
        ("good", np.int32),
        ("bad", np.int32),
        ("excluded", np.int32),
        ("wrong", np.int32),
        ("confirm", np.bool_),
    ]
)
Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What is worth telling of one failed attempt; ``sequence`` is its row's."""

    sequence: int
    at: float
    received: float
    place: int
    host: str
    reason: str
    phase: str | None
    endpoint: str
    operation: str
    request_id: str | None = None


class Attempts:
    """A ring of rows, oldest first, and the whole failures among them."""

    def __init__(self) -> None:
        self._rows: Rows = np.zeros(4096, ROW)
        self._start = self._end = 0
        self.sequence = self.failed_sequence = 0
        self.failures: list[Failure] = []

    def add(
        self,
        *,
        at: float,
        received: float,
        place: int,
        good: int = 0,
        bad: int = 0,
        excluded: int = 0,
        wrong: int = 0,
        confirm: bool = False,
    ) -> int:
        """Appends a row; its sequence number."""
        if self._end == len(self._rows):
            self._make_room()
        self.sequence += 1
        self._rows[self._end] = (self.sequence, at, received, place, good, bad, excluded, wrong, confirm)
        self._end += 1
        if bad:
            self.failed_sequence = self.sequence
        return self.sequence

    def _make_room(self) -> None:
        kept = self._rows[self._start : self._end]
        size = max(4096, 2 * len(kept))
        rows = np.zeros(size, ROW)
        rows[: len(kept)] = kept
        self._rows, self._start, self._end = rows, 0, len(kept)

    def forget(self, at: float) -> None:
        """Drops what was received longer than the retention before ``at``."""
        received = self._rows["received"][self._start : self._end]
        self._start += int(np.searchsorted(received, at - RETENTION_SECONDS))
        oldest = self._rows["sequence"][self._start] if self._start < self._end else self.sequence + 1
        gone = 0
        while gone < len(self.failures) and self.failures[gone].sequence < oldest:
            gone += 1
        del self.failures[:gone]

    def rows(self) -> Rows:
        """All rows, in order of arrival (a view: read only)."""
        return self._rows[self._start : self._end]

    def failures_after(self, sequence: int) -> list[Failure]:
        """Whole failures that came after the row ``sequence``."""
        low, high = 0, len(self.failures)
        while low < high:
            middle = (low + high) // 2
            if self.failures[middle].sequence <= sequence:
                low = middle + 1
            else:
                high = middle
        return self.failures[low:]

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        columns = {name: pack(np.ascontiguousarray(self.rows()[name])) for name in ROW.names or ()}
        return {"rows": columns, "sequence": [self.sequence, self.failed_sequence], "failures": self.failures}

    def load(self, rows: dict[str, Any], sequence: list[int], failures: list[Failure]) -> None:
        """Takes a :meth:`state` back."""
        columns = {name: unpack(value) for name, value in rows.items()}
        self._end, self._start = len(columns["at"]), 0
        self._rows = np.zeros(max(4096, self._end), ROW)
        for name, column in columns.items():
            self._rows[name][: self._end] = column
        (self.sequence, self.failed_sequence), self.failures = sequence, failures

"""The sender's side of the columnar lane: counts, numbers its batches, and keeps each until it is acknowledged (pure).

Count with :meth:`Outgoing.add`; :meth:`Outgoing.cut` makes a batch of what was counted so far; then, as long as
:meth:`Outgoing.next` has a frame, post it and tell :meth:`Outgoing.heard` what came back. :mod:`collector.bulk.sender` does that.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collector.bulk.dictionary import DIMENSIONS
from collector.bulk.tally import Tally
from collector.column_batch import MAX_NAMES, Counts, Increments, encode, encode_names, sections_of
from collector.series import Series

KEPT_BYTES_MAX = 256 * 1024 * 1024
BATCH_SAMPLES_MAX = 500_000
"""Increments in one batch: six megabytes at most."""

Range = tuple[int, int]


@dataclass(slots=True)
class _Batch:
    sequence: int
    at: int
    body: bytes
    highest: int
    """The highest series number in it; -1 when it is empty."""
    total: int
    """Of its increments."""


class Outgoing:
    """One life (``boot``) of one sender. ``dropped``: increments given up because too much was waiting, or because they were refused."""

    def __init__(self, host: str, zone: str, boot: str, *, kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._sender = (host, zone, boot)
        self._kept_bytes_max = kept_bytes_max
        self._numbers: dict[Series, int] = {}
        self._series: list[Series] = []
        self._tally = Tally()
        self._batches: deque[_Batch] = deque()
        self._sequence = 0
        self._registered = 0  # numbers below are known to the collector, but for:
        self._unknown: deque[Range] = deque()
        self._offered: Range | None = None
        self.dropped = 0
        self.problem = ""
        """Why the collector did not take the last frame; empty when it did."""

    @property
    def waiting(self) -> int:
        """Batches that are not acknowledged."""
        return len(self._batches)

    # --- counting -------------------------------------------------------------------------------------------------------------------

    def number(self, series: Series) -> int:
        """The number of ``series``: ask once, count by it ever after."""
        known = self._numbers.setdefault(series, len(self._series))
        if known == len(self._series):
            self._series.append(series)
        return known

    def add(self, place: str, number: int, count: int = 1) -> None:
        """``count`` more of ``place`` (an outcome, or ``bucket_N``)."""
        self.add_columns(place, np.array([number], np.uint32), np.array([count], np.int64))

    def add_columns(self, place: str, numbers: NDArray[Any], values: NDArray[Any]) -> None:
        """The same for many series at once; numbers in any order."""
        self._tally.add(place, numbers, values, len(self._series))

    def cut(self, at: int, *, sent_at: float) -> None:
        """Everything counted since the last cut becomes batches of the UTC second ``at``."""
        rest, self._tally = self._tally, Tally()
        used = rest.used()
        step = max(1, BATCH_SAMPLES_MAX // max(1, len(rest.columns)))
        for first in range(0, len(used), step):
            self._batch(rest, used[first : first + step], at, sent_at)
        self._bound(sent_at)

    def _batch(self, tally: Tally, used: NDArray[Any], at: int, sent_at: float) -> None:
        increments, total = [], 0
        for place, values in tally.at(used).items():
            is_told = values != 0
            narrow = np.uint32 if int(values.max()) < 2**32 else np.uint64
            increments.append(Increments(place, used[is_told].astype(np.uint32), values[is_told].astype(narrow)))
            total += int(values.sum())
        self._sequence += 1
        body = self._body(self._sequence, at, sent_at, increments)
        self._batches.append(_Batch(self._sequence, at, body, int(used[-1]), total))

    def _body(self, sequence: int, at: int, sent_at: float, increments: list[Increments], dropped: int = 0) -> bytes:
        host, zone, boot = self._sender
        sections, arrays = sections_of(increments)
        header = Counts(
            host=host, zone=zone, boot=boot, sequence=sequence, sent_at=sent_at, at=at, sections=sections, dropped=dropped
        )  # fmt: skip
        return encode(header, arrays)

    def _bound(self, sent_at: float) -> None:
        """Too much is waiting: the oldest batches keep their numbers and lose their counts, and say so."""
        size = sum(len(batch.body) for batch in self._batches)
        for batch in self._batches:
            if size <= self._kept_bytes_max:
                break
            size -= len(batch.body)
            self._empty(batch, sent_at)
            size += len(batch.body)

    def _empty(self, batch: _Batch, sent_at: float) -> None:
        if batch.highest >= 0:
            self.dropped += batch.total
            batch.body = self._body(batch.sequence, batch.at, sent_at, [], dropped=batch.total)
            batch.highest = -1

    # --- sending --------------------------------------------------------------------------------------------------------------------

    def next(self) -> bytes | None:
        """The frame to post now: series that the collector must know first, then the oldest batch; None when all is told."""
        self._offered = None
        if not self._batches:
            return None
        if self._unknown:
            self._offered = self._unknown[0]
        elif self._batches[0].highest >= self._registered:
            self._offered = (self._registered, min(len(self._series), self._registered + MAX_NAMES) - 1)
        if self._offered is None:
            return self._batches[0].body
        return self._names(*self._offered)

    def _names(self, first: int, last: int) -> bytes:
        told = self._series[first : last + 1]
        columns = [(name, _texts(told, name)) for name in ("table", *DIMENSIONS)]
        return encode_names(self._sender, np.arange(first, last + 1, dtype=np.uint32), columns)

    def heard(self, status: int, answer: dict[str, Any], *, at: float) -> None:
        """What came back for the frame of the last :meth:`next`; ``status`` 0: nothing came back."""
        self.problem = "" if status == 200 else f"{status} {answer.get('error', '')}: {answer.get('detail', '')}"
        if status == 200:
            self._taken()
        elif status == 409:
            self._unknown.extend(_pieces(answer.get("ranges", ()), len(self._series)))
        elif status in (400, 413, 422) and self._offered is None:
            self._refused(at)

    def _taken(self) -> None:
        if self._offered is None:
            self._batches.popleft()
        elif self._unknown:
            self._unknown.popleft()
        else:
            self._registered = self._offered[1] + 1

    def _refused(self, at: float) -> None:
        """For good: its number is used up by an empty batch that says how much is missing; one that is refused, too, is a hole."""
        if self._batches[0].highest >= 0:
            self._empty(self._batches[0], at)
        else:
            self._batches.popleft()


def _texts(series: list[Series], dimension: str) -> list[str | None]:
    values = [getattr(one, dimension) for one in series]
    return [None if value is None else str(value) for value in values]


def _pieces(ranges: Iterable[Any], size: int) -> list[Range]:
    """Ranges of numbers that are ours, none too long for one message."""
    pieces = []
    for first, last in ranges:
        for begin in range(int(first), min(int(last), size - 1) + 1, MAX_NAMES):
            pieces.append((begin, min(begin + MAX_NAMES - 1, int(last), size - 1)))  # noqa: PERF401 (a nested comprehension hides the bounds)
    return pieces

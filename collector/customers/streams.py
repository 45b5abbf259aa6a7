"""From metric streams to what happened: growth of cumulative counters, deltas once each (pure).

A stream is one combination of a metric's name and labels. Points come again (a sender retries) and late: what is not newer than
the newest point that was counted is ``repeated``. The last points are written down in one transaction with what was counted
from them (:class:`collector.submission.Counted`), so that a collector that starts again goes on where its ledger ends.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

FORGET_NS = 3_600 * 10**9
"""A stream that was silent for so long may make room for another one."""
SOURCE_KNOWN_NS = 120 * 10**9
"""After a restart of ours, a sender's streams arrive in any order within this time; none of them is taken for new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """``values`` of a stream at ``at_ns`` (UTC nanoseconds); all are counts that only grow, until a reset.

    ``start_ns``: since when they are counted, 0 when it is not said. ``source``: the program; a stream that appears at a source
    which is known already began at nought. ``delta``: values since the last point, not since the start.
    """

    stream: Hashable
    source: Hashable
    at_ns: int
    values: tuple[int, ...]
    start_ns: int = 0
    delta: bool = False


@dataclass(frozen=True, slots=True)
class LastPoint:
    """The newest point of a stream that was taken; ``stream`` is a digest of its name and labels."""

    stream: bytes
    at_ns: int
    start_ns: int
    values: tuple[int, ...]


def digest_of(stream: Hashable) -> bytes:
    """16 bytes that stand for a stream: its labels would fill the memory and the ledger."""
    return blake2b(repr(stream).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Streams:
    """Remembers the last point of each stream. ``known``: those of an earlier life, oldest first."""

    def __init__(self, most: int, *, born_ns: int, known: Iterable[LastPoint] = ()) -> None:
        self._most = most
        self._born_ns = born_ns
        self._last: dict[bytes, LastPoint] = {one.stream: one for one in known}
        self._sources: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._last)

    def grown(self, point: Point) -> tuple[int, ...] | str:
        """What the point adds; or why nothing: ``repeated``, ``baseline``, ``too_many_streams``."""
        stream = digest_of(point.stream)
        last = self._last.pop(stream, None)  # to the end: the order is that of the last point
        if last is None and not self._has_room(point.at_ns):
            return "too_many_streams"
        if last is not None and point.at_ns <= last.at_ns:
            self._last[stream] = last
            return "repeated"
        self._last[stream] = LastPoint(stream, point.at_ns, point.start_ns, point.values)
        if point.delta:
            return point.values
        if last is None:
            known = self._is_known(point)
            return point.values if known or point.start_ns > self._born_ns else "baseline"
        return _difference(last, point)

    def newest(self) -> LastPoint:
        """The point that was taken last, to be written down with what it added."""
        return next(reversed(self._last.values()))

    def _is_known(self, point: Point) -> bool:
        """Whether its source is known for long enough that all its other streams have been seen."""
        if len(self._sources) > self._most:
            self._sources.clear()
        return self._sources.setdefault(point.source, point.at_ns) < point.at_ns - SOURCE_KNOWN_NS

    def _has_room(self, at_ns: int) -> bool:
        if len(self._last) < self._most:
            return True
        oldest = next(iter(self._last))
        if self._last[oldest].at_ns >= at_ns - FORGET_NS:
            return False
        del self._last[oldest]
        return True


def _difference(last: LastPoint, point: Point) -> tuple[int, ...]:
    """Growth; after a reset (another start, a lower value, other buckets) all that is there has grown since."""
    restarted = point.start_ns > last.at_ns
    if restarted or len(last.values) != len(point.values) or point.values[0] < last.values[0]:
        return point.values
    if any(now < before for now, before in zip(point.values, last.values, strict=True)):
        return point.values
    return tuple(now - before for now, before in zip(point.values, last.values, strict=True))

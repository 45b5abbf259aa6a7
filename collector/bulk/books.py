"""What becomes of a frame: counted, duplicate, registered or refused; and the same again from the log (pure).

:meth:`Books.take` decides and keeps names and sequence numbers at once; counting waits until the record is durable
(:meth:`Books.count`). When it cannot be made durable the books are ahead of the log: read them anew.
"""

from dataclasses import dataclass
from math import isfinite

import numpy as np

from collector import sequence
from collector.bulk import names, tally
from collector.bulk.dictionary import Dictionary
from collector.bulk.refusals import BulkRefusal, BulkRefusedError
from collector.bulk.senders import UNKNOWN, Sender, Senders, note
from collector.bulk.tally import Tally
from collector.column_batch import Counts, Frame, FrameError, Increments, Names, Told, decode, encode, sections_of
from collector.ingest import FUTURE_SECONDS, LATE_SECONDS
from collector.interval import interval_of
from collector.shape import COUNT_MAX, TEXT_LENGTH_MAX

OPEN_INTERVALS_MAX = 16
"""Late counts of more different intervals than this wait until some are sealed: each may be tens of megabytes."""
DROPPED_MAX = 2**53


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration bounds."""

    series_max: int = 4_000_000
    late_seconds: float = LATE_SECONDS


@dataclass(frozen=True, slots=True)
class Taken:
    """Make ``record`` durable, then :meth:`Books.count` it. ``samples``: how many increments it has."""

    record: bytes
    told: Told
    increments: tuple[Increments, ...]
    samples: int


@dataclass(frozen=True, slots=True)
class Registered:
    """``record`` is to be made durable; None when nothing was new. ``added``: new series."""

    record: bytes | None
    added: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """A batch that was taken before: nothing changes."""


Decision = Taken | Registered | Repeated


def read(body: bytes) -> Frame:
    """The one frame in ``body``; raises :class:`BulkRefusedError`."""
    try:
        frame = decode(body)
    except FrameError as error:
        raise BulkRefusedError(BulkRefusal.MALFORMED, str(error)) from error
    if frame.end != len(body):
        raise BulkRefusedError(BulkRefusal.MALFORMED, f"byte {frame.end}: more than one frame")
    if isinstance(frame.header, Told):
        raise BulkRefusedError(BulkRefusal.MALFORMED, "header: an entry of the feed is not for sending")
    return frame


class Books:
    """Dictionary, senders and open intervals. ``through[start]``: the cursor up to which that interval is sealed."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.dictionary = Dictionary()
        self.senders = Senders()
        self.tallies: dict[int, Tally] = {}
        self.through: dict[int, int] = {}
        self.cursor = 0
        self.received_at = 0.0

    # --- deciding -----------------------------------------------------------------------------------------------------------

    def take(self, frame: Frame, body: bytes, *, at: float) -> Decision:
        """What becomes of ``frame`` (decoded from ``body``) when the collector's clock shows ``at``; raises :class:`BulkRefusedError`."""
        header = frame.header
        for name in ("host", "zone", "boot"):
            _check_text(name, getattr(header, name))
        if isinstance(header, Names):
            return self._register(frame, header, body, at, series_max=self.limits.series_max)
        assert isinstance(header, Counts)
        return self._accept(frame, header, at)

    def _accept(self, frame: Frame, header: Counts, at: float) -> Taken | Repeated:
        known = self.senders.of(header.host, header.boot)
        if known is not None and sequence.contains(known.seen, header.sequence):
            return Repeated()
        self._check(frame, header, at)
        sender = known or Sender(header.host, header.boot)
        increments = tuple(Increments(i.place, sender.translate(i.numbers), i.values) for i in frame.increments)
        self._check_room(header.at, increments)
        sender = self.senders.heard(header.host, header.boot, header.zone, at)
        note(sender, header.sequence)
        sender.dropped += header.dropped
        self.cursor += 1
        self.received_at = max(self.received_at, at)
        return _taken(header, self.cursor, self.received_at, increments)

    def _check(self, frame: Frame, header: Counts, at: float) -> None:
        if not 1 <= header.sequence <= 2**53:
            raise BulkRefusedError(BulkRefusal.SEQUENCE_NOT_POSITIVE, f"sequence: {header.sequence}")
        if not isfinite(header.sent_at) or not 0 <= header.dropped <= DROPPED_MAX:
            raise BulkRefusedError(BulkRefusal.NOT_FINITE, f"sent_at: {header.sent_at}, dropped: {header.dropped}")
        if not frame.increments:
            return  # it says only that its number is used up, as after a refusal: that may come from any time
        if header.at > at + FUTURE_SECONDS:
            raise BulkRefusedError(
                BulkRefusal.FROM_THE_FUTURE, f"at: {header.at - at:.0f} s ahead, at most {FUTURE_SECONDS:.0f}"
            )
        if header.at < at - self.limits.late_seconds:
            raise BulkRefusedError(
                BulkRefusal.TOO_OLD, f"at: {at - header.at:.0f} s old, at most {self.limits.late_seconds:.0f}"
            )
        for n, one in enumerate(frame.increments):
            _check_section(n, one)

    def _check_room(self, at: int, increments: tuple[Increments, ...]) -> None:
        start = interval_of(at)
        if increments and start not in self.tallies and len(self.tallies) >= OPEN_INTERVALS_MAX:
            raise BulkRefusedError(
                BulkRefusal.TOO_MANY_INTERVALS, f"{len(self.tallies)} intervals are open: send it again"
            )

    def _register(self, frame: Frame, header: Names, body: bytes, at: float, *, series_max: int) -> Registered:
        meanings = names.check(frame, header)
        size = len(self.dictionary)
        if size + header.count > series_max and not meanings.is_known(self.dictionary):
            raise BulkRefusedError(BulkRefusal.TOO_MANY_SERIES, f"{size} series are known, at most {series_max}")
        known = self.senders.of(header.host, header.boot) or Sender(header.host, header.boot)
        before = known.known(frame.numbers)
        tables, shapes = len(self.dictionary.tables.values), len(self.dictionary.shapes.values)
        keys = meanings.keys(self.dictionary)
        differs = (before != UNKNOWN) & (before != self.dictionary.find(keys))
        if bool(np.any(differs)):
            self.dictionary.tables.cut(tables)
            self.dictionary.shapes.cut(shapes)
            number = int(frame.numbers[differs][0])
            raise BulkRefusedError(
                BulkRefusal.SERIES_CONFLICT, f"number {number} means another series in boot {header.boot!r} already"
            )
        sender = self.senders.heard(header.host, header.boot, header.zone, at)
        if not bool(np.any(before == UNKNOWN)):
            return Registered(None, 0)
        self.senders.learn(sender, frame.numbers, self.dictionary.register(keys))
        return Registered(body, len(self.dictionary) - size)

    # --- counting -----------------------------------------------------------------------------------------------------------

    def count(self, told: Told, increments: tuple[Increments, ...]) -> None:
        """Count a durable record, unless its interval is sealed with it."""
        start = interval_of(told.at)
        if increments and told.cursor > self.through.get(start, 0):
            tally.count(self.tallies, start, increments, len(self.dictionary))

    def replay(self, frame: Frame, body: bytes) -> None:
        """A record of the log once more: the books are then as they were when it had been counted."""
        header = frame.header
        if isinstance(header, Names):
            self._register(frame, header, body, self.received_at, series_max=2**32)
        elif isinstance(header, Told) and header.cursor > self.cursor:
            sender = self.senders.heard(header.host, header.boot, header.zone, header.received_at)
            note(sender, header.sequence)
            sender.dropped += header.dropped
            self.cursor, self.received_at = header.cursor, header.received_at
            self.count(header, frame.increments)


def _taken(header: Counts, cursor: int, received_at: float, increments: tuple[Increments, ...]) -> Taken:
    sections, arrays = sections_of(increments)
    told = Told(
        cursor=cursor, received_at=received_at, host=header.host, zone=header.zone, boot=header.boot,
        sequence=header.sequence, at=header.at, sections=sections, dropped=header.dropped,
    )  # fmt: skip
    return Taken(encode(told, arrays), told, increments, sum(len(i.values) for i in increments))


def _check_text(name: str, text: str) -> None:
    if not 0 < len(text) <= TEXT_LENGTH_MAX:
        raise BulkRefusedError(BulkRefusal.TEXT_LENGTH, f"{name}: 1 to {TEXT_LENGTH_MAX} characters")
    if not text.isprintable():
        raise BulkRefusedError(BulkRefusal.NOT_PRINTABLE, f"{name}: holds control characters")


def _check_section(n: int, one: Increments) -> None:
    numbers, values = one.numbers, one.values
    if not bool(np.all(numbers[1:] > numbers[:-1])):
        raise BulkRefusedError(BulkRefusal.NOT_ASCENDING, f"sections[{n}]: series numbers must ascend strictly")
    if values.dtype.itemsize >= 4 and len(values) and int(values.max()) > COUNT_MAX:
        raise BulkRefusedError(
            BulkRefusal.COUNT_TOO_LARGE,
            f"sections[{n}]: an increment of {int(values.max())}, at most {COUNT_MAX} (a negative one looks like this, too)",
        )

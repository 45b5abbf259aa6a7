"""The counters' log: accepted frames in segments, each record with its length and CRC32 (shell).

``log-<number>.bin`` holds records one after another: ``magic "5NL1", u32 crc, u64 length, u64 durable``, then the frame;
``durable`` is how much of the segment was on disk when the record was written. A crash may tear what was written after that, and
nothing else: a record that cannot be read but has a readable one behind it that says otherwise is damage, and is told, not cut.
Not for several threads at once, but for :meth:`Log.read`.
"""

import contextlib
import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collector.column_batch import MAX_HEADER_BYTES, PREFIX, Told, decode_header
from collector.ledger_file import LedgerError

MAGIC = b"5NL1"
RECORD = struct.Struct("<4sIQQ")
SEGMENT_BYTES = 64 * 1024 * 1024
LENGTH_MAX = 1 << 30


@dataclass(slots=True)
class Segment:
    """A file of the log, and where in it each entry of the feed is."""

    number: int
    path: Path
    size: int = 0
    cursors: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Offset and length of each entry's frame."""


class Log:
    """All segments of a folder; the newest is written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        paths = sorted(folder.glob("log-*.bin"))
        self.segments = [Segment(int(path.stem[4:]), path, path.stat().st_size) for path in paths]
        self._file: int | None = None

    def close(self) -> None:
        """Let go of the open segment."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    def size_since(self, number: int) -> int:
        """Bytes of the segments from ``number`` on: what a restart has to read."""
        return sum(segment.size for segment in self.segments if segment.number >= number)

    # --- reading everything anew ---------------------------------------------------------------------------------------------

    def replay(self, first: int) -> Iterator[bytes]:
        """The frames of the segments from ``first`` on, in order; the torn tail of the last is cut off.

        Older segments are only indexed for the feed. Raises :class:`LedgerError` when the log is damaged.
        """
        for segment in list(self.segments):
            if segment.number < first:
                _index(segment)
            else:
                yield from self._replay(segment, is_last=segment is self.segments[-1])

    def _replay(self, segment: Segment, *, is_last: bool) -> Iterator[bytes]:
        data = segment.path.read_bytes()
        segment.cursors, segment.spans = [], []
        at = 0
        while at < len(data):
            length = record_at(data, at)
            if length is None:
                if not is_last or is_damage(data, at):
                    raise LedgerError(
                        f"{segment.path} is damaged at byte {at}: move the folder of counters away and restore it from a copy"
                    )
                os.truncate(segment.path, at)
                segment.size = at
                break
            begin = at + RECORD.size
            frame = data[begin : begin + length]
            _note(segment, frame, begin)
            yield frame
            at = begin + length

    # --- writing ----------------------------------------------------------------------------------------------------------------

    def roll(self) -> int:
        """Begin a new segment; its number."""
        self.close()
        number = self.segments[-1].number + 1 if self.segments else 1
        segment = Segment(number, self._folder / f"log-{number:010d}.bin")
        self._file = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fsync_folder(self._folder)
        self.segments.append(segment)
        return number

    def append(self, frames: Sequence[bytes]) -> None:
        """Write ``frames`` and wait until they are on disk. After ``OSError`` nothing of them counts: :meth:`mend` first."""
        if self._file is None or self.segments[-1].size >= SEGMENT_BYTES:
            self.roll()
        segment = self.segments[-1]
        assert self._file is not None
        at = segment.size
        for frame in frames:
            record = RECORD.pack(MAGIC, _checksum(frame, segment.size), len(frame), segment.size)
            _write(self._file, record)
            _write(self._file, frame)
        os.fdatasync(self._file)
        for frame in frames:
            _note(segment, frame, at + RECORD.size)
            at += RECORD.size + len(frame)
        segment.size = at

    def mend(self) -> None:
        """After a failed :meth:`append`: cut off what may be there of it."""
        self.close()
        if self.segments:
            os.truncate(self.segments[-1].path, self.segments[-1].size)

    def drop(self, *, before: int, keep_bytes: int) -> int:
        """Delete the oldest segments below ``before`` while the log has more than ``keep_bytes``; how many went."""
        gone = 0
        while len(self.segments) > 1 and self.segments[0].number < before and self.size > keep_bytes:
            self.segments[0].path.unlink(missing_ok=True)
            self.segments = self.segments[1:]
            gone += 1
        return gone

    # --- the feed -----------------------------------------------------------------------------------------------------------------

    def oldest(self) -> int | None:
        """The oldest cursor that can still be read."""
        return next((segment.cursors[0] for segment in self.segments if segment.cursors), None)

    def read(self, after: int, most_bytes: int) -> bytes:
        """The entries after the cursor ``after``, one after another, at least one if there is one, else up to ``most_bytes``."""
        parts: list[bytes] = []
        size = 0
        for segment in self.segments:
            if not segment.cursors or segment.cursors[-1] <= after:
                continue
            first = bisect_right(segment.cursors, after)
            with segment.path.open("rb", buffering=0) as file:
                for offset, length in segment.spans[first:]:
                    if parts and size + length > most_bytes:
                        return b"".join(parts)
                    parts.append(os.pread(file.fileno(), length, offset))
                    size += length
        return b"".join(parts)


def _checksum(frame: bytes | memoryview, durable: int) -> int:
    return zlib.crc32(frame, zlib.crc32(durable.to_bytes(8, "little")))


def record_at(data: bytes, at: int) -> int | None:
    """The length of the frame of the record at ``at``; None when there is no whole record."""
    if len(data) - at < RECORD.size:
        return None
    magic, crc, length, durable = RECORD.unpack_from(data, at)
    begin = at + RECORD.size
    if magic != MAGIC or length > LENGTH_MAX or begin + length > len(data):
        return None
    return length if _checksum(memoryview(data)[begin : begin + length], durable) == crc else None


def is_damage(data: bytes, at: int) -> bool:
    """Whether a whole record behind ``at`` says that what is at ``at`` was on disk already."""
    found = data.find(MAGIC, at + 1)
    while found >= 0:
        if record_at(data, found) is not None and RECORD.unpack_from(data, found)[3] > at:
            return True
        found = data.find(MAGIC, found + 1)
    return False


def _index(segment: Segment) -> None:
    """Read only the headers of a segment that a checkpoint covers."""
    segment.cursors, segment.spans = [], []
    with segment.path.open("rb") as file:
        at = 0
        while at + RECORD.size <= segment.size:
            head = os.pread(file.fileno(), RECORD.size + PREFIX.size + MAX_HEADER_BYTES, at)
            magic, _, length, _ = RECORD.unpack_from(head)
            if magic != MAGIC or at + RECORD.size + length > segment.size:
                raise LedgerError(
                    f"{segment.path} is damaged at byte {at}: move it away; the feed then begins after it"
                )
            _note(segment, head[RECORD.size :], at + RECORD.size, length)
            at += RECORD.size + length


def _note(segment: Segment, frame: bytes, offset: int, length: int | None = None) -> None:
    header = decode_header(frame)
    if isinstance(header, Told):
        # the span first: a reader of the feed on another thread looks for the cursor
        segment.spans.append((offset, len(frame) if length is None else length))
        segment.cursors.append(header.cursor)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def fsync_folder(folder: Path) -> None:
    """Make new and renamed names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_durably(path: Path, parts: Sequence[bytes]) -> None:
    """``parts`` as the file ``path``: afterwards it is there whole, or not changed at all."""
    draft = path.with_suffix(".draft")
    try:
        with draft.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)

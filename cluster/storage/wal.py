"""The write-ahead log of one storage node: numbered segments, one log shared by all its groups (shell).

Every segment begins with a head that holds each group's standing (promise, commit, which entries are needed), so that older
segments are removed as soon as no entry in them is needed, without rewriting anything. Only when groups that are seldom written
hold too many old segments back is the log rewritten whole.

What a disk does to a log, and what is made of it:

* The power goes: bytes after the last fsync may be torn. They are cut off.
* Bytes change that were fsynced: the segment's frames carry evidence of how far they were durable (see ``segment``), so that this
  is not taken for a torn tail. Recovery says which groups may have lost something, a new segment keeps that in mind for the next
  recovery, and the damaged segment is put aside as ``*.damaged`` for people to look at.
* An fsync fails: nobody knows what the file holds then, and a second fsync that succeeds proves nothing ("fsyncgate": Rebello et al.,
  "Can Applications Recover from fsync Failures?", USENIX ATC 2020). The segment is left, and the batch goes into a new one.
"""

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.disk import Disk
from cluster.storage.records import GroupLog, WalRecord, replay
from cluster.storage.segment import SegmentContent, SegmentHead, encode_batch, encode_head, read_segment

logger = logging.getLogger("cluster")

FOLDER = "wal"
SEGMENT_BYTES = 4 * 1024 * 1024
REWRITE_BYTES = 8 * 1024 * 1024
"""The log is rewritten whole when it has grown so large (or twice as large as after the last time) and no segment can go."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a log holds: its sound ``records`` in the order of writing.

    ``lost``: groups that may have lost promises or entries to damage; ``all_lost``: any group that was ever hosted here may have.
    ``notes``: what was found, for people. ``absent``: there is no log at all.
    """

    records: tuple[WalRecord, ...] = ()
    lost: frozenset[str] = frozenset()
    all_lost: bool = False
    notes: tuple[str, ...] = ()
    absent: bool = False

    def lost_among(self, hosted: Iterable[str]) -> set[str]:
        """Those of the hosted groups (and of the groups in the log) that may have lost something."""
        known = {*hosted, *(record.group for record in self.records)}
        return known if self.all_lost or self.absent else set(self.lost)


@dataclass(slots=True)
class _Segment:
    """A segment on disk: its bytes that count, those of its head, and the last LSN of each group in it."""

    size: int
    head: int
    last: dict[str, int] = field(default_factory=dict)

    def take(self, records: Iterable[WalRecord]) -> None:
        for record in records:
            if record.entries:
                self.last[record.group] = max(self.last.get(record.group, 0), record.entries[-1].lsn)

    def needed(self, keep_after: Mapping[str, int]) -> bool:
        return any(group in keep_after and lsn > keep_after[group] for group, lsn in self.last.items())


class Wal:
    """Appends to the newest segment. All methods block: call them from one thread."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._number = 0
        self._segments: dict[int, _Segment] = {}
        self._standing: dict[str, GroupLog] = {}
        self._damaged: list[str] = []
        self._broken = False
        self._suspect = True
        self._unsealed = False
        self._rewritten = 0

    @property
    def size(self) -> int:
        """Bytes in all segments."""
        return sum(segment.size for segment in self._segments.values())

    # --- reading --------------------------------------------------------------------------------------------------------

    def recover(self) -> Recovery:
        """Read everything; comes first. A torn tail is cut off; damage is reported, and nothing raises because of it.

        :meth:`settle` comes next, when it is known which groups are lost.
        """
        reading = _Reading(self._disk)
        records = reading.read()
        self._damaged, self._segments = reading.damaged, reading.segments
        self._number = max(reading.segments, default=0)
        logs = replay(records)
        self._standing = {group: _without_entries(log) for group, log in logs.items()}
        self._broken = bool(reading.notes) or not self._make_sound(reading.torn)
        self._suspect = self._broken or not reading.segments
        self._unsealed = True
        for note in reading.notes:
            logger.error("WAL: %s", note)
        lost = frozenset(reading.lost) | {group for group, log in logs.items() if log.lost}
        return Recovery(tuple(records), lost, reading.all_lost, tuple(reading.notes), not reading.segments)

    def _make_sound(self, torn: int) -> bool:
        """Cut a torn tail off, and make durable what was read: a killed process may have left it in the page cache only."""
        if self._number not in self._segments:
            return True
        try:
            if torn:
                logger.warning("WAL: cut a torn tail of %d bytes off segment %d", torn, self._number)
                self._disk.truncate(_name(self._number), self._segments[self._number].size)
            self._disk.sync(_name(self._number))
        except OSError as error:
            logger.warning("WAL: %s; going on in a new segment", error)
            return False
        return True

    def settle(self, lost: Iterable[str]) -> None:
        """Keep in mind that these groups are lost, until a record says that they are sound again; put damaged segments aside.

        A disk that refuses is asked again with the next batch; until then the damage itself is there to be found again.
        """
        for group in lost:
            standing = self._standing.setdefault(group, GroupLog())
            self._suspect = self._suspect or not standing.lost
            standing.lost = True
        if self._suspect:
            with contextlib.suppress(OSError):
                self._begin_segment()

    # --- writing --------------------------------------------------------------------------------------------------------

    def append(self, records: Sequence[WalRecord]) -> float:
        """Make records durable together; the seconds of the fsync. On OSError none of them counts; try them again."""
        if self._suspect or self._segments[self._number].size >= self._segments[self._number].head + SEGMENT_BYTES:
            self._begin_segment()
        seconds = self._write(records)
        self._segments[self._number].take(records)
        for record in records:
            standing = self._standing.setdefault(record.group, GroupLog())
            standing.promised = max(standing.promised, record.promised)
            standing.committed = max(standing.committed, record.committed)
            standing.start = max(standing.start, record.start or 0)
            standing.lost = standing.lost if record.lost is None else record.lost
        self._unsealed = True
        return seconds

    def seal(self) -> None:
        """The log rests: write evidence that its last batch was durable, unless that is written already."""
        if self._unsealed and not self._suspect:
            self._write(())
            self._unsealed = False

    def _write(self, records: Sequence[WalRecord]) -> float:
        segment = self._segments[self._number]
        frame = encode_batch(self._number, segment.size, records, durable=segment.size)
        name = _name(self._number)
        try:
            self._disk.append(name, frame)
        except OSError:
            self._suspect = True
            with contextlib.suppress(OSError):
                self._disk.truncate(name, segment.size)
                self._suspect = False
            raise
        try:
            seconds = self._disk.sync(name)
        except OSError:
            self._suspect = True
            raise
        segment.size += len(frame)
        return seconds

    # --- beginning anew -------------------------------------------------------------------------------------------------

    def _begin_segment(self, oldest: int | None = None) -> None:
        """Go on in a new segment, and remove those before ``oldest`` (None: keep all that is sound)."""
        if self._broken:
            self._start(self._number + 1, self._whole(_Reading(self._disk).read()))
        else:
            kept = min(self._segments, default=self._number + 1) if oldest is None else oldest
            self._start(kept, [_record(group, standing) for group, standing in self._standing.items()])

    def _start(self, oldest: int, records: Sequence[WalRecord]) -> None:
        number = self._number + 1
        previous = self._segments[self._number].size if self._number in self._segments else 0
        frame = encode_head(number, SegmentHead(oldest, previous, tuple(records)))
        self._disk.replace(_name(number), frame)
        self._number, self._suspect, self._broken, self._unsealed = number, False, False, False
        self._segments[number] = _Segment(len(frame), len(frame))
        self._segments[number].take(records)
        self._tidy(oldest)

    def _tidy(self, oldest: int) -> None:
        """Nothing before ``oldest`` is needed any more; what was damaged is kept for people."""
        for number in [number for number in self._segments if number < oldest]:
            del self._segments[number]
        for name in self._disk.names(FOLDER):
            if name.endswith(".wal") and _number(name) < oldest:
                if name in self._damaged:
                    self._disk.rename(name, f"{name}.damaged")
                else:
                    self._disk.remove(name)
        self._damaged = []

    def _whole(self, records: Iterable[WalRecord]) -> list[WalRecord]:
        """Every group's standing with all its entries that are needed."""
        logs = replay(records)
        summaries = []
        for group, standing in self._standing.items():
            log = logs.get(group, GroupLog())
            log.promised, log.committed = max(log.promised, standing.promised), max(log.committed, standing.committed)
            log.lost = standing.lost
            summaries.append(log.summary(group, standing.start))
        return summaries

    def compact(self, keep_after: Mapping[str, int]) -> None:
        """Forget other groups, and the entries up to each group's LSN; remove what nobody needs then."""
        for group in [group for group in self._standing if group not in keep_after]:
            del self._standing[group]
        for group, lsn in keep_after.items():
            if group in self._standing:
                self._standing[group].start = max(self._standing[group].start, lsn)
        needed = [number for number, segment in sorted(self._segments.items()) if segment.needed(keep_after)]
        oldest = min((*needed, self._number + 1))
        if oldest > min(self._segments, default=oldest):
            self._begin_segment(oldest)
        if self.size > max(REWRITE_BYTES, 2 * self._rewritten):
            self._rewrite()

    def _rewrite(self) -> None:
        reading = _Reading(self._disk)
        records = reading.read()
        if reading.notes:
            # What the disk has lost meanwhile is still in the replicas' memory: the next recovery has to deal with it.
            logger.error("WAL: not rewritten: %s", "; ".join(reading.notes))
        else:
            self._start(self._number + 1, self._whole(records))
        self._rewritten = self.size


class _Reading:
    """One pass over all segments: what is sound, what is torn, what is damaged."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.segments: dict[int, _Segment] = {}
        self.damaged: list[str] = []
        self.notes: list[str] = []
        self.lost: set[str] = set()
        self.all_lost = False
        self.torn = 0
        """Bytes at the end of the newest segment that were never durable."""

    def read(self) -> list[WalRecord]:
        numbers = sorted(_number(name) for name in self._disk.names(FOLDER) if name.endswith(".wal"))
        found = {number: self._content(number) for number in numbers}
        heads = {number: content.head for number, (content, _) in found.items()}
        oldest = next((head.oldest for _, head in sorted(heads.items(), reverse=True) if head is not None), 0)
        records: list[WalRecord] = []
        for number in numbers:
            if number >= oldest:
                after = heads.get(number + 1)
                records += self._take(
                    number, *found[number], None if after is None else after.previous_bytes, numbers[-1]
                )
        if missing := set(range(oldest or (numbers or [0])[0], (numbers or [-1])[-1] + 1)) - set(numbers):
            self._damage(f"segments {sorted(missing)} have vanished", None)
        return records

    def _content(self, number: int) -> tuple[SegmentContent, int]:
        try:
            data = self._disk.read(_name(number))
        except OSError as error:
            self.notes.append(f"segment {number} cannot be read: {error}")
            data = b""
        return read_segment(number, data), len(data)

    def _take(
        self, number: int, content: SegmentContent, size: int, proved: int | None, newest: int
    ) -> list[WalRecord]:
        """The records of a segment that count. ``proved``: how much of it its successor says was durable."""
        evidence = max(content.evidence(), proved or 0)
        end = proved if proved is not None else size
        if number != newest and proved is None:
            evidence = size
        if content.head is None:
            self._damage(f"segment {number} has no sound head", _named(content, 0), number)
        for bad in content.bad:
            if bad.offset < evidence and bad.offset > 0:
                self._damage(f"segment {number} is damaged at byte {bad.offset} of {size}", bad.groups, number)
            elif bad.offset > 0:
                end = min(end, bad.offset)
        if size < evidence:
            self._damage(f"segment {number} has {size} bytes of {evidence}", None, number)
        batches = [batch for batch in content.batches if batch.end <= end]
        self.torn = size - end if number == newest else 0
        self.segments[number] = segment = _Segment(end, batches[0].end if batches else 0)
        records = [record for batch in batches for record in batch.records]
        segment.take(records)
        return records

    def _damage(self, note: str, groups: Sequence[str] | None, number: int | None = None) -> None:
        self.notes.append(note)
        if groups is None:
            self.all_lost = True
        else:
            self.lost.update(groups)
        if number is not None and _name(number) not in self.damaged:
            self.damaged.append(_name(number))


def _named(content: SegmentContent, offset: int) -> Sequence[str] | None:
    return next((bad.groups for bad in content.bad if bad.offset == offset), None)


def _without_entries(log: GroupLog) -> GroupLog:
    return GroupLog(log.promised, log.committed, log.start, {}, log.lost)


def _record(group: str, standing: GroupLog) -> WalRecord:
    return WalRecord(group, standing.promised, standing.committed, (), standing.start, standing.lost or None)


def _name(number: int) -> str:
    return f"{FOLDER}/{number:010d}.wal"


def _number(name: str) -> int:
    return int(name.removeprefix(f"{FOLDER}/").removesuffix(".wal"))

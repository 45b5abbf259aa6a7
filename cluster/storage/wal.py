"""The write-ahead log of one storage node: numbered segments, one shared by all its groups (shell)."""

import contextlib
import logging
from collections.abc import Mapping

from cluster.disk import Disk
from cluster.storage.records import WalRecord, decode_records, encode_record, replay

logger = logging.getLogger("cluster")

FOLDER = "wal"


class WalDamaged(Exception):
    """A segment that was complete once is not sound any more: the disk has lost or changed what it had made durable."""


class Wal:
    """Appends to the newest segment. All methods block: call them from one thread."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._segment = _name(1)
        self.size = 0
        """Bytes in the newest segment."""

    def _segments(self) -> list[str]:
        return [name for name in self._disk.names(FOLDER) if name.endswith(".wal")]

    def recover(self) -> list[WalRecord]:
        """All records in the order of writing; a torn tail is cut off. Raises :class:`WalDamaged`."""
        records: list[WalRecord] = []
        segments = self._segments()
        for segment in segments:
            data = self._disk.read(segment)
            found, self.size = decode_records(data)
            records += found
            if self.size < len(data):
                self._cut_torn_tail(segment, self.size, len(data), last=segment == segments[-1])
        self._segment = segments[-1] if segments else _name(1)
        return records

    def _cut_torn_tail(self, segment: str, sound: int, length: int, *, last: bool) -> None:
        if not last:
            raise WalDamaged(f"{segment} is damaged at byte {sound} of {length}")
        logger.warning("WAL %s: cut a torn tail of %d bytes", segment, length - sound)
        self._disk.truncate(segment, sound)
        self._disk.sync(segment)

    def append(self, data: bytes) -> float:
        """Write records and make them durable; the seconds of the fsync. On OSError nothing of them stays."""
        try:
            self._disk.append(self._segment, data)
            seconds = self._disk.sync(self._segment)
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.truncate(self._segment, self.size)
            raise
        self.size += len(data)
        return seconds

    def compact(self, keep_after: Mapping[str, int]) -> None:
        """Begin a segment with the state of the named groups, without entries up to their LSN, then remove the older ones."""
        older = self._segments()
        records = [record for name in older for record in decode_records(self._disk.read(name))[0]]
        logs = replay(record for record in records if record.group in keep_after)
        head = b"".join(encode_record(log.summary(group, keep_after[group])) for group, log in logs.items())
        segment = _name(int(self._segment.removeprefix(f"{FOLDER}/").removesuffix(".wal")) + 1)
        self._disk.replace(segment, head)
        self._segment, self.size = segment, len(head)
        for name in older:
            self._disk.remove(name)


def _name(number: int) -> str:
    return f"{FOLDER}/{number:010d}.wal"

"""The write-ahead log of one storage node: numbered segments, one shared by all its groups (shell)."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from cluster.disk import Disk, fsync_directory
from cluster.storage.records import WalRecord, decode_records, encode_record, replay

logger = logging.getLogger("cluster")


class WalDamaged(Exception):
    """A segment that was complete once is not sound any more: the disk has lost or changed what it had made durable."""


class Wal:
    """Appends to the newest segment. All methods block: call them from one thread."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory, self._disk = directory, disk
        directory.mkdir(parents=True, exist_ok=True)
        self._descriptor: int | None = None
        self._number = 0
        self.size = 0
        """Bytes in the newest segment."""

    def _segments(self) -> list[Path]:
        return sorted(self._directory.glob("*.wal"))

    def recover(self) -> list[WalRecord]:
        """All records in the order of writing; a torn tail is cut off. Raises :class:`WalDamaged`."""
        records: list[WalRecord] = []
        segments = self._segments()
        for segment in segments:
            data = segment.read_bytes()
            found, sound = decode_records(data)
            records += found
            if sound < len(data):
                self._cut_torn_tail(segment, sound, len(data), last=segment is segments[-1])
        self._number = int(segments[-1].stem) if segments else 0
        self._open(segments[-1] if segments else None)
        return records

    def _cut_torn_tail(self, segment: Path, sound: int, length: int, *, last: bool) -> None:
        if not last:
            raise WalDamaged(f"{segment} is damaged at byte {sound} of {length}")
        logger.warning("WAL %s: cut a torn tail of %d bytes", segment, length - sound)
        descriptor = os.open(segment, os.O_WRONLY)
        try:
            os.ftruncate(descriptor, sound)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _open(self, segment: Path | None) -> None:
        if segment is None:
            self._number += 1
            segment = self._directory / f"{self._number:010d}.wal"
        self._descriptor = os.open(segment, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self._descriptor).st_size
        fsync_directory(self._directory)

    def append(self, data: bytes) -> float:
        """Write records and make them durable; the seconds of the fsync. On OSError nothing of them stays."""
        assert self._descriptor is not None, "recover() comes first"
        try:
            self._disk.append(self._descriptor, data)
            seconds = self._disk.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(data)
        return seconds

    def compact(self, keep_after: Mapping[str, int]) -> None:
        """Begin a segment with the state of the named groups, without entries up to their LSN, then remove the older ones."""
        records = [record for path in self._segments() for record in decode_records(path.read_bytes())[0]]
        logs = replay(record for record in records if record.group in keep_after)
        self._rotate(b"".join(encode_record(log.summary(group, keep_after[group])) for group, log in logs.items()))

    def _rotate(self, head: bytes) -> None:
        older = self._segments()
        self._number += 1
        segment = self._directory / f"{self._number:010d}.wal"
        draft = segment.with_suffix(".draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            self._disk.append(descriptor, head)
            self._disk.fsync(descriptor)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            self._number -= 1
            raise
        draft.rename(segment)
        fsync_directory(self._directory)
        self.close()
        self._descriptor, self.size = descriptor, len(head)
        for path in older:
            path.unlink()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

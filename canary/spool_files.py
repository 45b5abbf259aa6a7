"""The spool on disk: a queue of segments, and one slot for each lane's batch (shell).

Folder of a host: ``lock``; ``queue-N`` (append-only segments of what waits); ``bound-BOOT`` (the batch that a lane of
one life offers, written before it is offered). A batch and the place up to which the queue is taken are one record, so a
kill -9 between any two writes neither loses nor doubles anything. Without ``fsync`` a power cut may do both to the last
half minute. A disk that does not take a write is logged once; contents then wait in memory, bounded as well.
"""

import contextlib
import fcntl
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from canary.backlog import MAX_MEMORY_COST, SPOOL_FULL, Bound, cost, dropped
from canary.spool_frames import HEAD_BYTES, Frame, Slot, frames, length_of, pack, pack_slot, read_slot
from canary.tally import Content
from collector.wire import WireError, decode_batch

logger = logging.getLogger("canary")

SEGMENTS = 32
SEGMENT_BYTES_MAX = 1024 * 1024
SEGMENT_BYTES_MIN = 4096


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    size: int = 0
    last: int = 0
    read: int = 0
    waiting: int = 0


class DiskStore:
    """See :class:`canary.backlog.Store`. ``earlier``: batches of earlier lives; ``last_at``: until when they told everything.

    Raises ``OSError`` when the folder cannot be had: it is in use by another canary, or not writable.
    """

    def __init__(self, folder: Path, *, max_bytes: int, fsync: bool = False) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = max(SEGMENT_BYTES_MIN, min(SEGMENT_BYTES_MAX, max_bytes // SEGMENTS))
        self._sync: Callable[[int], None] = os.fdatasync if fsync else lambda _: None
        self._lock = _lock(folder)
        self._segments: deque[_Segment] = deque()
        self._memory: deque[tuple[int, float, Content, int]] = deque()
        self._memory_cost = 0
        self._slots: dict[str, tuple[int, Slot]] = {}
        self._tail: int | None = None
        self._number = self._upto = self._serial = self._last_segment = 0
        self._taken = 0
        self._put_at = self._told_at = 0.0
        self._healthy = True
        self.last_at: float | None = None
        self.earlier: list[Bound] = []
        self._recover()

    def __len__(self) -> int:
        return self._on_disk + len(self._memory)

    @property
    def _on_disk(self) -> int:
        return sum(segment.waiting for segment in self._segments)

    @property
    def bytes_on_disk(self) -> int:
        """Of what waits."""
        return sum(segment.size for segment in self._segments)

    def close(self) -> None:
        """Write down what is in memory, let go of the folder."""
        self._spill(self._put_at)
        for fd, _ in self._slots.values():
            os.close(fd)
        self._slots = {}
        self._close_tail()
        self._lock.close()

    # --- the queue --------------------------------------------------------------------------------------------------------

    def put(self, content: Content, *, now: float, keep: bool) -> None:
        """In memory if it will be taken at once; what was not taken since the last time goes to the disk, too."""
        self._number += 1
        self._put_at = now
        size = cost(content)
        self._memory.append((self._number, now, content, size))
        self._memory_cost += size
        if keep or len(self._memory) > 1:
            self._spill(now)

    def take(self, most: int) -> list[Content]:
        """From the disk first, then from memory."""
        found: list[Content] = []
        total = 0
        while (head := self._peek()) is not None:
            segment, frame = head
            content = _content(frame)
            size = cost(content)
            if found and total + size > most:
                return found
            segment.read += HEAD_BYTES + len(frame.payload)
            segment.waiting -= 1
            self._taken = frame.number
            found.append(content)
            total += size
        while self._memory and not self._on_disk and (not found or total + self._memory[0][3] <= most):
            number, _, content, size = self._memory.popleft()
            self._memory_cost -= size
            self._taken = number
            total += size
            found.append(content)
        return found

    def _peek(self) -> tuple[_Segment, Frame] | None:
        """The oldest record on disk that was not taken. Files go when it is written down that they are taken: in :meth:`bind`."""
        for segment in self._segments:
            if segment.read >= segment.size:
                continue
            frame = _read(segment)
            if frame is not None:
                return segment, frame
            logger.error("%s: %d records are damaged and lost", segment.path, segment.waiting)
            segment.read, segment.waiting = segment.size, 0
        return None

    def _spill(self, now: float) -> None:
        """Everything in memory to the disk; what the disk does not take stays, within the bound."""
        while self._memory:
            number, at, content, size = self._memory[0]
            if not self._append(pack(number, at or now, content), number):
                break
            self._memory.popleft()
            self._memory_cost -= size
        gone = []
        while self._memory_cost > MAX_MEMORY_COST:
            _, _, content, size = self._memory.popleft()
            self._memory_cost -= size
            gone.append(content)
        if gone:
            lost = dropped(gone, SPOOL_FULL)
            self._number += 1
            self._memory.append((self._number, now, lost, cost(lost)))
            self._memory_cost += cost(lost)
        while self.bytes_on_disk > self._max_bytes and len(self._segments) > 1:
            self._drop_oldest(now)

    def _append(self, record: bytes, number: int) -> bool:
        try:
            tail = self._tail_for(len(record))
            _write_whole(tail, record, self._segments[-1].size)
            self._sync(tail)
        except OSError as error:
            self._note(error)
            return False
        self._note(None)
        segment = self._segments[-1]
        segment.size += len(record)
        segment.last = number
        segment.waiting += 1
        return True

    def _tail_for(self, size: int) -> int:
        if self._tail is not None and self._segments and self._segments[-1].size + size > self._segment_bytes:
            self._close_tail()
        if self._tail is None or not self._segments:
            self._close_tail()
            number = 1 + (self._segments[-1].number if self._segments else self._last_segment)
            path = self._folder / f"queue-{number}"
            self._tail = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._last_segment = number
            self._segments.append(_Segment(number, path))
        return self._tail

    def _close_tail(self) -> None:
        if self._tail is not None:
            os.close(self._tail)
            self._tail = None

    def _drop_oldest(self, now: float) -> None:
        """The oldest segment makes room; one record at the end counts what was in it, and says which segment that was."""
        segment = self._segments.popleft()
        rest = []
        while (frame := _read(segment)) is not None:
            segment.read += HEAD_BYTES + len(frame.payload)
            rest.append(_content(frame))
        lost = dropped(rest, SPOOL_FULL)
        if lost.unobserved:
            self._number += 1
            if not self._append(pack(self._number, now, lost, segment.number), self._number):
                self._memory.append((self._number, now, lost, cost(lost)))
                self._memory_cost += cost(lost)
        self._forget(segment)

    def _forget(self, segment: _Segment) -> None:
        with contextlib.suppress(OSError):
            segment.path.unlink()

    # --- the slots --------------------------------------------------------------------------------------------------------

    def bind(self, bound: Bound, *, now: float, instead_of: str | None = None) -> None:
        """One record: the batch, the place up to which the queue is taken, and until when all has been told."""
        del now  # a batch may be made long after what it holds
        self._upto = max(self._upto, self._taken)
        replaced = self._slots.get(instead_of) if instead_of else None
        self._serial += 1
        at = self._told_at = self._told_at if self._memory else self._put_at
        slot = Slot(bound.lane, self._serial, self._upto, at, bound.body, replaced[1].serial if replaced else 0)
        self._write_slot(bound.batch.boot, slot)
        if replaced and instead_of:
            old = replaced[1]
            self._write_slot(instead_of, Slot(old.lane, old.serial, self._upto, at))
        while self._segments and self._segments[0].last <= self._upto:
            if len(self._segments) == 1:
                self._close_tail()
            self._forget(self._segments.popleft())

    def settle(self, bound: Bound) -> None:
        """The slot is empty; that of an earlier life is of no more use."""
        boot = bound.batch.boot
        known = self._slots.get(boot)
        if known is None:
            with contextlib.suppress(OSError):
                (self._folder / f"bound-{boot}").unlink()
            return
        slot = known[1]
        self._write_slot(boot, Slot(slot.lane, slot.serial, self._upto, slot.at))

    def _write_slot(self, boot: str, slot: Slot) -> None:
        try:
            known = self._slots.get(boot)
            fd = known[0] if known else os.open(self._folder / f"bound-{boot}", os.O_WRONLY | os.O_CREAT, 0o600)
            self._slots[boot] = (fd, slot)
            _write_whole(fd, pack_slot(slot), 0)
            self._sync(fd)
        except OSError as error:
            self._note(error)
        else:
            self._note(None)

    def _note(self, error: OSError | None) -> None:
        if error is not None and self._healthy:
            logger.error("the spool cannot be written, reports wait in memory only: %s", error)
        self._healthy = error is None

    # --- what an earlier life left ----------------------------------------------------------------------------------------

    def _recover(self) -> None:
        slots = {path: read_slot(path.read_bytes()) for path in self._folder.glob("bound-*")}
        known = [slot for slot in slots.values() if slot is not None]
        self._upto = self._taken = max((slot.upto for slot in known), default=0)
        self._serial = max((slot.serial for slot in known), default=0)
        times = [slot.at for slot in known]
        replaced = {slot.instead_of for slot in known if slot.instead_of}
        for path, slot in sorted(slots.items(), key=lambda item: item[1].serial if item[1] else 0):
            bound = None if slot is None or slot.serial in replaced else _bound(slot)
            if bound is None:
                continue
            if path.name == f"bound-{bound.batch.boot}":
                self.earlier.append(bound)
        times += self._read_segments()
        self._number = max(self._number, self._upto)
        self.last_at = max(times, default=None)
        self._put_at = self._told_at = self.last_at or 0.0
        self._start_slots([path for path, slot in slots.items() if slot is None or not slot.body])

    def _start_slots(self, done: list[Path]) -> None:
        """A slot that only says how far the queue was taken, before those that said so until now are removed."""
        if self.last_at is not None:
            path = self._folder / "bound-nothing"
            data = pack_slot(Slot("", self._serial, self._upto, self.last_at))
            fresh = self._folder / "fresh"
            fresh.write_bytes(data)
            fresh.replace(path)
        for path in done:
            if path.name != "bound-nothing":
                path.unlink()

    def _read_segments(self) -> list[float]:
        """The segments that hold something not yet taken; the times of their records."""
        paths = {int(path.name.removeprefix("queue-")): path for path in self._folder.glob("queue-*")}
        contents = {number: list(frames(path.read_bytes())) for number, path in paths.items()}
        self._last_segment = max(paths, default=0)
        gone = {frame.drops for found in contents.values() for _, frame in found}
        times: list[float] = []
        for number in sorted(paths):
            found = contents[number]
            segment = _Segment(number, paths[number])
            times += [frame.at for _, frame in found]
            waiting = [frame for _, frame in found if frame.number > self._upto]
            if number in gone or not waiting:
                self._forget(segment)
                continue
            segment.size, segment.last, segment.waiting = found[-1][0], found[-1][1].number, len(waiting)
            end, first = next(one for one in found if one[1].number > self._upto)
            segment.read = end - HEAD_BYTES - len(first.payload)
            self._number = max(self._number, segment.last)
            self._segments.append(segment)
        return times


def _lock(folder: Path) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    held = (folder / "lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise OSError(
            error.errno, "in use by another canary: stop it or choose another spool.dir", str(folder)
        ) from error
    return held


def _write_whole(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _read(segment: _Segment) -> Frame | None:
    """The next record that was not taken; None at the end, or at what is damaged."""
    if segment.read >= segment.size:
        return None
    try:
        with segment.path.open("rb", buffering=0) as file:
            head = os.pread(file.fileno(), HEAD_BYTES, segment.read)
            data = head + os.pread(file.fileno(), max(0, length_of(head)), segment.read + HEAD_BYTES)
    except OSError:
        return None
    return next((frame for _, frame in frames(data)), None)


def _content(frame: Frame) -> Content:
    try:
        return frame.content
    except ValueError:
        return Content()


def _bound(slot: Slot) -> Bound | None:
    if not slot.body:
        return None
    try:
        return Bound(slot.lane, decode_batch(slot.body), slot.body)
    except WireError:
        return None

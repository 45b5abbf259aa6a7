"""Checksums below SQLite: every page of a database file and every frame of its log, noticed when a byte of it has changed (shell).

As in SQLite's own "checksum VFS" (sqlite.org/cksumvfs.html) the last eight bytes of each page are reserved for a checksum, which is
filled in when the page is written and verified when it is read. Three things go further than that shim:

* Frames of SQLite's log are verified whenever they are read, not only when the log is opened, and with their headers.
* The page's number enters the checksum, so that a page written to another page's place is noticed too.
* SQLite takes the first frame that is not sound for the end of its log, silently. Once frames were copied into the database file that
  is not harmless: older pages of the log would hide newer ones of the file. So before a checkpoint copies anything, a *mark* says
  how far the log was durable then (``<name>-mark``), and before the log begins anew, that all of it has been copied. From the mark
  :func:`inspect` knows a log that has lost frames, and one that is not needed any more.

The layers are mixins over ``raw_read`` and ``raw_write``: real files and the simulation's files get the same ones.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import apsw

PAGE_BYTES = 4096
RESERVED_BYTES = 8
LOG_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES
_BODY_BYTES = PAGE_BYTES - RESERVED_BYTES
_NOTHING = bytes(RESERVED_BYTES)
_STAMP = struct.Struct(">II")
_MARK = struct.Struct(">8sII")
_ALL_ONES = 0xFFFFFFFF
# SQLite's file format, §4.1: the log's header is eight big-endian words, the last two a checksum of those before.
_WORDS = {0x377F0682: struct.Struct("<6I"), 0x377F0683: struct.Struct(">6I")}


class DatabaseDamaged(apsw.CorruptError):
    """A database is not what was made durable once, and must not be opened."""


class PageDamaged(apsw.IOError):
    """A page does not match its checksum; SQLite hands it up as it is."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.result = apsw.SQLITE_IOERR
        self.extendedresult = apsw.SQLITE_IOERR_DATA


def _stamp(data: bytes | memoryview, seed: int) -> bytes:
    checksum = zlib.crc32(data, seed)
    return _STAMP.pack(checksum, checksum ^ _ALL_ONES)


def stamped_page(page: bytes, number: int) -> bytes:
    """Page ``number`` (from 1) with its checksum."""
    body = page[:_BODY_BYTES]
    return body + _stamp(body, number)


def sound_page(page: bytes, number: int) -> bool:
    """Whether page ``number`` matches its checksum."""
    return page[_BODY_BYTES:] == _stamp(page[:_BODY_BYTES], number)


def _frame_stamp(header: bytes, body: bytes) -> bytes:
    return _stamp(body, zlib.crc32(header))


def sound_frame(frame: bytes) -> bool:
    """Whether a frame of the log (header and page) matches its checksum."""
    body = frame[FRAME_HEADER_BYTES:-RESERVED_BYTES]
    return frame[-RESERVED_BYTES:] == _frame_stamp(frame[:FRAME_HEADER_BYTES], body)


@dataclass(slots=True)
class LogProgress:
    """How far SQLite's log of one database has got, shared by all connections. ``salts`` tell the log's generations apart."""

    salts: bytes = b""
    frames: int = 0
    durable: int = 0

    def synced(self, salts: bytes, frames: int) -> None:
        """The log was fsynced when it had so many frames of the generation ``salts``."""
        if salts == self.salts:
            self.durable = max(self.durable, frames)

    @property
    def end(self) -> int:
        """Where the log's sound frames end, in bytes of its file."""
        return LOG_HEADER_BYTES + self.frames * FRAME_BYTES

    def mark(self) -> bytes:
        """What must be durable before a checkpoint copies a page: the log's frames up to here are."""
        return _encoded_mark(self.salts, self.durable)


def mark_of_new_log(header: bytes) -> bytes:
    """What must be durable before the log begins anew with this header: no frame of the old generation is needed."""
    return _encoded_mark(header[16:24], 0)


def _encoded_mark(salts: bytes, frames: int) -> bytes:
    salts = salts.ljust(8, b"\0")
    return _MARK.pack(salts, frames, zlib.crc32(_MARK.pack(salts, frames, 0)))


def _marked(mark: bytes | None) -> tuple[bytes, int] | None:
    """The salts and the number of frames of a mark; None when there is none, or none that can be read."""
    if mark is None or len(mark) != _MARK.size:
        return None
    salts, frames, checksum = _MARK.unpack(mark)
    return (salts, frames) if zlib.crc32(_MARK.pack(salts, frames, 0)) == checksum else None


def torn_mark(mark: bytes | None) -> bool:
    """Whether there is a mark that cannot be read: it is to be written again as soon as the log has turned out to be sound."""
    return bool(mark) and _marked(mark) is None


def inspect(log: bytes, mark: bytes | None) -> LogProgress | None:
    """How far a log that is about to be opened is sound; None: it is not needed, and to be removed.

    Raises :class:`DatabaseDamaged` when the log was longer once. A mark that cannot be read is taken for any mark.
    """
    marked = _marked(mark)
    if len(log) <= LOG_HEADER_BYTES:
        if marked is not None and marked[1]:
            raise DatabaseDamaged("SQLite's log has vanished")
        return LogProgress()
    salts = log[16:24]
    if not _sound_log_header(log[:LOG_HEADER_BYTES]):
        # What frames say of their generation is trusted instead: one that is not the mark's was over before the header was written,
        # and of one with an empty mark nothing has been copied: without it the file is as it was a moment ago, which its LSNs tell.
        salts = log[LOG_HEADER_BYTES + 8 :][:8]
        if marked is None or (marked[0] == salts and marked[1]):
            raise DatabaseDamaged("the header of SQLite's log is damaged")
        return None
    if marked is not None and marked[0] != salts:
        return None
    frames = 0
    for frame in _frames(log):
        if frame[8:16] != salts or not sound_frame(frame):
            if marked is None and mark and frame[8:16] == salts:
                raise DatabaseDamaged(f"frame {frames + 1} of SQLite's log is damaged, and so is its mark")
            break
        frames += 1
    if marked is not None and frames < marked[1]:
        raise DatabaseDamaged(f"frame {frames + 1} of SQLite's log is damaged; {marked[1]} were durable")
    return LogProgress(salts, frames)


def _frames(log: bytes) -> Iterator[bytes]:
    for start in range(LOG_HEADER_BYTES, len(log) - FRAME_BYTES + 1, FRAME_BYTES):
        yield log[start : start + FRAME_BYTES]


def _sound_log_header(header: bytes) -> bool:
    words = _WORDS.get(int.from_bytes(header[:4], "big"))
    if words is None:
        return False
    first = second = 0
    values = words.unpack_from(header)
    for left, right in zip(values[::2], values[1::2], strict=True):
        first = (first + left + second) & _ALL_ONES
        second = (second + right + first) & _ALL_ONES
    return header[24:32] == struct.pack(">II", first, second)


def damaged_frames(log: bytes, progress: LogProgress) -> set[int]:
    """The numbers of pages whose frames in the log do not match their checksums."""
    frames = list(_frames(log))[: progress.frames]
    return {int.from_bytes(frame[:4], "big") for frame in frames if not sound_frame(frame)}


def damaged_pages(data: bytes, first: int, log: bytes, progress: LogProgress) -> set[int]:
    """The numbers of pages in ``data`` (page ``first`` and those after it in the file) that do not match their checksums.

    Pages that the log holds anew do not count: a checkpoint that was cut off may have torn them in the file.
    """
    anew = {int.from_bytes(frame[:4], "big") for frame in list(_frames(log))[: progress.frames]}
    damaged = set[int]()
    for start in range(0, len(data), PAGE_BYTES):
        number, page = first + start // PAGE_BYTES, data[start : start + PAGE_BYTES]
        # A page that was made and freed again in one transaction has never been written: it is a hole in the file.
        if number not in anew and not sound_page(page, number) and any(page):
            damaged.add(number)
    return damaged


class PageLayer:
    """The database file: pages are verified when read and stamped when written."""

    header: bytes = b""
    """The first bytes of any such database: what is read of page 1 alone, before the log (which may hold page 1 anew) is open."""
    before_checkpoint: Callable[[], None] | None = None
    """Makes the mark durable; raises OSError."""
    _unmarked: OSError | None = None

    def raw_read(self, amount: int, offset: int) -> bytes:
        """Read what is stored."""
        raise NotImplementedError

    def raw_write(self, data: bytes, offset: int) -> None:
        """Store."""
        raise NotImplementedError

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 (SQLite's name)
        """See apsw.VFSFile; raises :class:`PageDamaged`."""
        if amount == PAGE_BYTES and not offset % PAGE_BYTES:
            return self._page(offset // PAGE_BYTES)
        if offset + amount <= len(self.header):
            return self._header(amount, offset)
        first = offset // PAGE_BYTES
        last = (offset + amount - 1) // PAGE_BYTES
        pages = b"".join(self._page(index) for index in range(first, last + 1))
        return pages[offset - first * PAGE_BYTES :][:amount]

    def _page(self, index: int) -> bytes:
        page = self.raw_read(PAGE_BYTES, index * PAGE_BYTES)
        if len(page) < PAGE_BYTES:
            return page
        body = page[:_BODY_BYTES]
        if page[_BODY_BYTES:] != _stamp(body, index + 1):
            raise PageDamaged(f"page {index + 1} does not match its checksum")
        return body + _NOTHING

    def _header(self, amount: int, offset: int) -> bytes:
        page = self.raw_read(PAGE_BYTES, 0)
        stored = page if len(page) < PAGE_BYTES or sound_page(page, 1) else self.header
        return stored[offset : offset + amount]

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 (SQLite's name)
        """See apsw.VFSFile."""
        if len(data) != PAGE_BYTES or offset % PAGE_BYTES:
            raise apsw.IOError(f"{len(data)} bytes at {offset} are not a page")
        if self._unmarked is not None:
            raise apsw.IOError(f"there is no mark of this checkpoint: {self._unmarked}")
        self.raw_write(stamped_page(bytes(data), offset // PAGE_BYTES + 1), offset)

    def about_to_copy(self, op: int) -> None:
        """To be called with every file control: a checkpoint says so before it copies the first page.

        SQLite does not ask whether that went well, so it is told so when it writes that page.
        """
        if op == apsw.SQLITE_FCNTL_CKPT_START and self.before_checkpoint is not None:
            try:
                self.before_checkpoint()
                self._unmarked = None
            except OSError as error:
                self._unmarked = error


class LogLayer:
    """SQLite's log: frames are verified when read and stamped when written; ``progress`` follows."""

    progress: LogProgress
    keep_mark: Callable[[bytes], None]
    """Makes a mark durable; raises apsw.Error."""

    def __init__(self) -> None:
        self._start, self._header = -1, b""

    def raw_read(self, amount: int, offset: int) -> bytes:
        """Read what is stored."""
        raise NotImplementedError

    def raw_write(self, data: bytes, offset: int) -> None:
        """Store."""
        raise NotImplementedError

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 (SQLite's name)
        """See apsw.VFSFile; raises :class:`PageDamaged` for a page, and shows a damaged frame as zeros: the log's end."""
        place = (offset - LOG_HEADER_BYTES) % FRAME_BYTES
        if amount == PAGE_BYTES and place == FRAME_HEADER_BYTES:
            frame = self.raw_read(FRAME_BYTES, offset - FRAME_HEADER_BYTES)
            if len(frame) < FRAME_BYTES or not sound_frame(frame):
                raise PageDamaged(f"the frame at {offset - FRAME_HEADER_BYTES} of the log does not match its checksum")
            return frame[FRAME_HEADER_BYTES:-RESERVED_BYTES] + _NOTHING
        data = self.raw_read(amount, offset)
        if amount != FRAME_BYTES or place or len(data) < amount:
            return data
        return data[:-RESERVED_BYTES] + _NOTHING if sound_frame(data) else bytes(amount)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 (SQLite's name)
        """See apsw.VFSFile. SQLite writes a frame's header and then its page: they are stored together."""
        if len(data) == FRAME_HEADER_BYTES:
            self._start, self._header = offset, data
            return
        if len(data) != PAGE_BYTES:
            # Always: whatever mark there is, it must not be taken for one of the frames that follow.
            self.keep_mark(mark_of_new_log(data))
            self.raw_write(data, offset)
            self.progress.salts, self.progress.frames, self.progress.durable = data[16:24], 0, 0
            return
        if data[_BODY_BYTES:] != _NOTHING or self._start != offset - FRAME_HEADER_BYTES:
            raise apsw.IOError("SQLite writes its log in a way that its checksums were not made for")
        body = data[:_BODY_BYTES]
        self.raw_write(b"".join((self._header, body, _frame_stamp(self._header, body))), self._start)
        self.progress.frames = max(self.progress.frames, (offset - LOG_HEADER_BYTES) // FRAME_BYTES + 1)

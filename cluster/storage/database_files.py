"""SQLite's files on a real disk: the checksum layers over the operating system's files, with the installed faults (shell).

They are based on SQLite's ``unix-excl`` files: the index of SQLite's log is kept in memory, so that nothing of it is on disk to be
damaged, connections of one process share it, and no other process can open the same database meanwhile.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from cluster.storage.page_checksums import (
    PAGE_BYTES,
    LogLayer,
    LogProgress,
    PageLayer,
    damaged_frames,
    damaged_pages,
    inspect,
    torn_mark,
)

BASE = "unix-excl"


class DatabaseFiles:
    """What the open files of one database share: its log's progress, and how the disk behaves."""

    def __init__(
        self, path: Path, blank: bytes, *, refuse_if_full: Callable[[], None], be_slow: Callable[[float], None]
    ) -> None:
        self.path, self.header = path, blank[:100]
        self._refuse_if_full, self.be_slow = refuse_if_full, be_slow
        self._mark = path.with_name(f"{path.name}-mark")
        self.log = path.with_name(f"{path.name}-wal")
        self.log_named = False
        """Whether the log's name is known to be durable."""
        mark = _read(self._mark)
        progress = inspect(_read(self.log) or b"", mark)
        if progress is None:
            # The mark goes first: a mark without a log says that the log has vanished.
            for unneeded in (self._mark, self.log):
                unneeded.unlink()
                fsync_directory(path.parent)
        self.progress = progress or LogProgress()
        with contextlib.suppress(OSError):
            self._make_sound(torn_mark(mark))

    def _make_sound(self, torn: bool) -> None:
        """Cut off what was torn, and write a torn mark again: neither is to be met a second time beside some other trouble."""
        if self.log.exists() and self.log.stat().st_size > self.progress.end:
            os.truncate(self.log, self.progress.end)
            fsync_file(self.log)
        if torn:
            fsync_file(self.log)
            self.progress.durable = self.progress.frames
            self.keep_mark()

    def admit(self) -> None:
        """Let SQLite write; raises apsw.FullError."""
        try:
            self._refuse_if_full()
        except OSError as error:
            raise apsw.FullError(str(error)) from error

    def keep_mark(self, mark: bytes | None = None) -> None:
        """Write the mark (None: of the log as it is) durably; raises OSError."""
        new = not self._mark.exists()
        descriptor = os.open(self._mark, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, mark or self.progress.mark(), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            fsync_directory(self._mark.parent)

    def damaged_pages(self, first: int, count: int) -> tuple[set[int], bool]:
        """See ``cluster.disk.Disk``."""
        log = _read(self.log) or b""
        with self.path.open("rb") as file:
            file.seek((first - 1) * PAGE_BYTES)
            data = file.read(count * PAGE_BYTES)
            more = bool(file.read(1))
        found = damaged_pages(data, first, log, self.progress)
        return (found | damaged_frames(log, self.progress) if first == 1 else found), more


class Vfs(apsw.VFS):
    """Opens the files of one database."""

    def __init__(self, name: str, files: DatabaseFiles) -> None:
        super().__init__(name, BASE)
        self.name, self._files = name, files

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (SQLite's name)
        """See apsw.VFS."""
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _PageFile(self._files, name, flags)
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            return _LogFile(self._files, name, flags)
        return apsw.VFSFile(BASE, name, flags)


class _PageFile(PageLayer, apsw.VFSFile):
    def __init__(self, files: DatabaseFiles, name: Any, flags: list[int]) -> None:
        apsw.VFSFile.__init__(self, BASE, name, flags)
        self._files, self.header, self.before_checkpoint = files, files.header, files.keep_mark

    def raw_read(self, amount: int, offset: int) -> bytes:
        return apsw.VFSFile.xRead(self, amount, offset)

    def raw_write(self, data: bytes, offset: int) -> None:
        self._files.admit()
        apsw.VFSFile.xWrite(self, data, offset)

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802 (SQLite's name)
        self.about_to_copy(op)
        return super().xFileControl(op, ptr)

    def xSync(self, flags: int) -> None:  # noqa: N802 (SQLite's name)
        started = time.perf_counter()
        super().xSync(flags)
        self._files.be_slow(time.perf_counter() - started)


class _LogFile(LogLayer, apsw.VFSFile):
    # The installed slowness is not for this file: its only fsync outside the worker follows the first write after the log has begun
    # anew, in the event loop, which a real disk delays once in a while and a fault would stop altogether.
    def __init__(self, files: DatabaseFiles, name: Any, flags: list[int]) -> None:
        apsw.VFSFile.__init__(self, BASE, name, flags)
        LogLayer.__init__(self)
        self._files, self.progress = files, files.progress

    def keep_mark(self, mark: bytes) -> None:
        try:
            self._files.keep_mark(mark)
        except OSError as error:
            raise apsw.IOError(f"the log cannot begin anew: {error}") from error

    def raw_read(self, amount: int, offset: int) -> bytes:
        return apsw.VFSFile.xRead(self, amount, offset)

    def raw_write(self, data: bytes, offset: int) -> None:
        self._files.admit()
        apsw.VFSFile.xWrite(self, data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 (SQLite's name)
        salts, frames = self.progress.salts, self.progress.frames
        super().xSync(flags)
        self.progress.synced(salts, frames)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def fsync_directory(path: Path) -> None:
    """Make creations, renames and removals in ``path`` durable."""
    fsync_file(path)


def fsync_file(path: Path) -> None:
    """Make durable what was written to ``path`` by anyone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

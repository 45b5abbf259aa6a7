"""SQLite on files in memory, below the same checksum layers as on a real disk (shell).

SQLite's locks and the index of its log need a file of the operating system: an empty one, which nothing is ever written to.
"""

import atexit
import contextlib
import errno
import itertools
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import apsw

from cluster.storage.database_files import BASE
from cluster.storage.page_checksums import (
    LogLayer,
    LogProgress,
    PageLayer,
    damaged_frames,
    damaged_pages,
    inspect,
    torn_mark,
)
from fivenines.simulation.memory_files import Directory, MemoryFile

PAGE_BYTES = 4096
_numbers = itertools.count(1)
_LOCK_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_MAIN_DB


@cache
def _lock_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="simulated-locks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class MemoryDatabase:
    """The files of one open database. ``grow`` is asked before something is written, ``step`` before each other change of a file.

    Both may raise OSError.
    """

    def __init__(
        self, name: str, directory: Directory, blank: bytes, *, grow: Callable[[], None], step: Callable[[], None]
    ) -> None:
        self.name, self.directory, self.header, self._grow, self.step = name, directory, blank[:100], grow, step
        self.main = directory.files[name]
        self.lock_file = _lock_folder() / str(next(_numbers))
        log, mark = (self._bytes(suffix) for suffix in ("-wal", "-mark"))
        progress = inspect(log or b"", mark)
        if progress is None:
            for suffix in ("-mark", "-wal"):
                self.step()
                del directory.files[f"{name}{suffix}"]
                directory.sync()
        self.progress = progress or LogProgress()
        with contextlib.suppress(OSError):
            self._make_sound(torn_mark(mark))
        self.vfs = _Vfs(f"memory-{next(_numbers)}", self)

    def _make_sound(self, torn: bool) -> None:
        """See ``cluster.storage.database_files``."""
        if len(self._bytes("-wal") or b"") > self.progress.end:
            self.step()
            self.file("-wal").truncate(self.progress.end)
            self.sync("-wal")
        if torn:
            self.sync("-wal")
            self.progress.durable = self.progress.frames
            self.keep_mark()

    def _bytes(self, suffix: str) -> bytes | None:
        file = self.directory.files.get(f"{self.name}{suffix}")
        return None if file is None else bytes(file.data)

    def connect(self, flags: int) -> apsw.Connection:
        """A connection to it."""
        return apsw.Connection(self.name, flags=flags, vfs=self.vfs.name)

    def admit(self) -> None:
        """SQLite is about to write; raises apsw.FullError or apsw.IOError."""
        try:
            self._grow()
        except OSError as error:
            raise (apsw.FullError if error.errno == errno.ENOSPC else apsw.IOError)(str(error)) from error

    def file(self, suffix: str) -> MemoryFile:
        """The main file, or one beside it, made if need be."""
        return self.directory.files.setdefault(f"{self.name}{suffix}", MemoryFile())

    def sync(self, suffix: str) -> None:
        """Make a file durable, and its name."""
        self.step()
        self.file(suffix).sync()
        self.directory.sync()

    def keep_mark(self, mark: bytes | None = None) -> None:
        """See ``cluster.storage.database_files``."""
        self.step()
        self.file("-mark").write(mark or self.progress.mark(), 0)
        self.sync("-mark")

    def damaged_pages(self, first: int, count: int) -> tuple[set[int], bool]:
        """See ``cluster.disk.Disk``."""
        log = bytes(self.file("-wal").data)
        start, end = (first - 1) * PAGE_BYTES, (first - 1 + count) * PAGE_BYTES
        found = damaged_pages(self.main.read(end - start, start), first, log, self.progress)
        return (found | damaged_frames(log, self.progress) if first == 1 else found), len(self.main.data) > end

    def close(self) -> None:
        """Nobody will connect any more."""
        self.lock_file.unlink(missing_ok=True)


class _Vfs(apsw.VFS):
    def __init__(self, name: str, database: MemoryDatabase) -> None:
        super().__init__(name, BASE)
        self.name, self._database = name, database

    def xFullPathname(self, name: str) -> str:  # noqa: N802 (SQLite's name)
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802, ARG002 (SQLite's name)
        return pathname in self._database.directory.files

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, ARG002 (SQLite's name)
        raise apsw.IOError(f"{filename} is not SQLite's to delete")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 (SQLite's name)
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            flags[1] = flags[0]
            return _PageFile(self._database)
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            flags[1] = flags[0]
            return _LogFile(self._database)
        raise apsw.CantOpenError(f"{name} is not a file of a simulated database")


class _PageFile(PageLayer, apsw.VFSFile):
    def __init__(self, database: MemoryDatabase) -> None:
        apsw.VFSFile.__init__(self, BASE, str(database.lock_file), [_LOCK_FLAGS, 0])
        self._database, self._file, self.header = database, database.main, database.header
        self.before_checkpoint = database.keep_mark

    def raw_read(self, amount: int, offset: int) -> bytes:
        return self._file.read(amount, offset)

    def raw_write(self, data: bytes, offset: int) -> None:
        self._database.admit()
        self._file.write(data, offset)

    def xFileSize(self) -> int:  # noqa: N802 (SQLite's name)
        return len(self._file.data)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 (SQLite's name)
        self._database.step()
        self._file.truncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802, ARG002 (SQLite's name)
        self._database.step()
        self._file.sync()

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802 (SQLite's name)
        self.about_to_copy(op)
        # The lock file is not to be grown for the sake of the database.
        return op in (apsw.SQLITE_FCNTL_SIZE_HINT, apsw.SQLITE_FCNTL_CHUNK_SIZE) or super().xFileControl(op, ptr)


class _LogFile(LogLayer):
    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__()
        self._database, self.progress, self._file = database, database.progress, database.file("-wal")

    def raw_read(self, amount: int, offset: int) -> bytes:
        return self._file.read(amount, offset)

    def raw_write(self, data: bytes, offset: int) -> None:
        self._database.admit()
        self._file.write(data, offset)

    def keep_mark(self, mark: bytes) -> None:
        try:
            self._database.keep_mark(mark)
        except OSError as error:
            raise apsw.IOError(f"the log cannot begin anew: {error}") from error

    def xSync(self, flags: int) -> None:  # noqa: N802, ARG002 (SQLite's name)
        self._database.step()
        self._file.sync()
        self._database.directory.sync()
        self.progress.synced(self.progress.salts, self.progress.frames)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 (SQLite's name)
        self._database.step()
        self._file.truncate(newsize)

    def xFileSize(self) -> int:  # noqa: N802 (SQLite's name)
        return len(self._file.data)

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802, ARG002 (SQLite's name)
        return False

    def xClose(self) -> None:  # noqa: N802 (SQLite's name)
        """Nothing is held open."""

    def xLock(self, level: int) -> None:  # noqa: N802 (SQLite's name)
        """SQLite locks the main file only."""

    xUnlock = xLock  # noqa: N815 (SQLite's name)

    def xCheckReservedLock(self) -> bool:  # noqa: N802 (SQLite's name)
        return False

    def xSectorSize(self) -> int:  # noqa: N802 (SQLite's name)
        return 4096

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 (SQLite's name)
        return 0

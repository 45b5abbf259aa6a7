"""A storage node's disk: everything that the node does with files, and the ways in which a disk fails (shell).

Names are relative to the node's own directory, with ``/`` between folder and file. Everything but the work on an open
database blocks and belongs to the node's :class:`~cluster.worker.Worker`.
"""

import errno
import itertools
import os
import time
from pathlib import Path
from typing import Protocol

import apsw

from cluster.storage.database_files import DatabaseFiles, Vfs, fsync_directory, fsync_file

__all__ = ["Disk", "DiskFaults", "RealDisk", "fsync_directory"]

_numbers = itertools.count(1)


class DiskFaults(Protocol):
    """What a disk asks the installed faults."""

    def fsync_factor(self, component: str) -> float:
        """How many times as long an fsync takes (1.0: as always)."""
        ...

    def disk_full(self, component: str) -> bool:
        """Whether there is no space left."""
        ...


class Disk(Protocol):
    """The port. All methods raise OSError when the disk refuses, the databases' raise apsw.Error."""

    def names(self, folder: str) -> list[str]:
        """The names of the files in ``folder`` ("": the node's own directory), sorted; none if there is no such folder."""
        ...

    def read(self, name: str) -> bytes:
        """The whole file; raises FileNotFoundError."""
        ...

    def append(self, name: str, data: bytes) -> None:
        """Write ``data`` at the end of a file that is made if need be; a refusal may leave a part of it there."""
        ...

    def sync(self, name: str) -> float:
        """Make all of the file durable, its name too; the seconds it took. After a refusal the file is not to be trusted."""
        ...

    def truncate(self, name: str, size: int) -> None:
        """Cut the file off at ``size``; not durable before :meth:`sync`."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Make the file hold ``data``: all or nothing, durable on return."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name; durable on return."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file if it is there; durable on return."""
        ...

    def database(self, name: str, blank: bytes) -> apsw.Connection:
        """Open a database, made of ``blank`` if it is not there, for reading and writing; every page has a checksum.

        Raises :class:`~cluster.storage.page_checksums.DatabaseDamaged` when it is not what was made durable once.
        """
        ...

    def reader(self, name: str) -> apsw.Connection:
        """A further connection to a database that is open, for reading only; what it reads does not wait for the writer."""
        ...

    def sync_database(self, name: str) -> float:
        """Make durable what was committed; the seconds it took. Blocks; may run beside work on the database."""
        ...

    def checkpoint(self, name: str) -> None:
        """Fold SQLite's own log into the database file. Blocks; may run beside work on the database."""
        ...

    def damaged_pages(self, name: str, first: int, count: int) -> tuple[set[int], bool]:
        """Which of ``count`` pages from ``first`` (1 is the first of all) are damaged, and whether there are further ones.

        Blocks; may run beside work on the database, but not beside :meth:`checkpoint`.
        """
        ...

    def set_aside(self, name: str) -> str:
        """Keep the files of a database, which must be closed, under another name, for people; that name. Durable on return."""
        ...

    def close(self) -> None:
        """Let go of the files; connections are closed by those who opened them."""
        ...


class RealDisk:
    """Files below one directory of the operating system."""

    def __init__(self, directory: Path, component: str, faults: DiskFaults | None = None) -> None:
        self._directory, self._component, self._faults = directory, component, faults
        self._open: dict[str, int] = {}
        self._new: set[str] = set()
        self._databases: dict[str, tuple[DatabaseFiles, Vfs]] = {}
        directory.mkdir(parents=True, exist_ok=True)

    # --- files ----------------------------------------------------------------------------------------------------------

    def names(self, folder: str) -> list[str]:
        """See :class:`Disk`."""
        path = self._directory / folder
        if not path.is_dir():
            return []
        prefix = f"{folder}/" if folder else ""
        return sorted(prefix + child.name for child in path.iterdir() if child.is_file())

    def read(self, name: str) -> bytes:
        """See :class:`Disk`."""
        return (self._directory / name).read_bytes()

    def append(self, name: str, data: bytes) -> None:
        """See :class:`Disk`."""
        self._refuse_if_full()
        descriptor = self._descriptor(name)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, name: str) -> float:
        """See :class:`Disk`."""
        started = time.perf_counter()
        os.fsync(self._descriptor(name))
        if name in self._new:
            self._sync_folder(name)
            self._new.discard(name)
        self._be_slow(time.perf_counter() - started)
        return time.perf_counter() - started

    def truncate(self, name: str, size: int) -> None:
        """See :class:`Disk`."""
        os.ftruncate(self._descriptor(name), size)

    def replace(self, name: str, data: bytes) -> None:
        """See :class:`Disk`."""
        draft = f"{name}.draft"
        (self._directory / draft).unlink(missing_ok=True)
        try:
            self.append(draft, data)
            os.fsync(self._descriptor(draft))
        except OSError:
            self._forget(draft)
            (self._directory / draft).unlink(missing_ok=True)
            raise
        self.rename(draft, name)

    def rename(self, old: str, new: str) -> None:
        """See :class:`Disk`."""
        self._forget(old)
        self._forget(new)
        (self._directory / old).rename(self._directory / new)
        self._sync_folder(new)

    def remove(self, name: str) -> None:
        """See :class:`Disk`."""
        self._forget(name)
        path = self._directory / name
        if path.exists():
            path.unlink()
            self._sync_folder(name)

    def _descriptor(self, name: str) -> int:
        descriptor = self._open.get(name)
        if descriptor is None:
            path = self._directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                self._new.add(name)
            descriptor = self._open[name] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return descriptor

    def _forget(self, name: str) -> None:
        self._new.discard(name)
        if (descriptor := self._open.pop(name, None)) is not None:
            os.close(descriptor)

    def _sync_folder(self, name: str) -> None:
        fsync_directory((self._directory / name).parent)

    def _refuse_if_full(self) -> None:
        if self._faults and self._faults.disk_full(self._component):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _be_slow(self, seconds: float) -> None:
        factor = self._faults.fsync_factor(self._component) if self._faults else 1.0
        if factor > 1.0:
            time.sleep((factor - 1.0) * seconds)

    # --- databases ------------------------------------------------------------------------------------------------------

    def database(self, name: str, blank: bytes) -> apsw.Connection:
        """See :class:`Disk`."""
        if not (self._directory / name).exists():
            self.remove(f"{name}-wal")
            self.remove(f"{name}-mark")
            self.replace(name, blank)
        files = DatabaseFiles(self._directory / name, blank, refuse_if_full=self._refuse_if_full, be_slow=self._be_slow)
        vfs = f"disk-{next(_numbers)}"
        self._databases[name] = files, Vfs(vfs, files)
        return self._connect(name, apsw.SQLITE_OPEN_READWRITE)

    def reader(self, name: str) -> apsw.Connection:
        """See :class:`Disk`."""
        return self._connect(name, apsw.SQLITE_OPEN_READONLY)

    def _connect(self, name: str, flags: int) -> apsw.Connection:
        files, vfs = self._databases[name]
        return apsw.Connection(str(files.path), flags=flags, vfs=vfs.name)

    def sync_database(self, name: str) -> float:
        """See :class:`Disk`."""
        files, _ = self._databases[name]
        started = time.perf_counter()
        if files.log.exists():
            fsync_file(files.log)
            if not files.log_named:
                self._sync_folder(name)
                files.log_named = True
        self._be_slow(time.perf_counter() - started)
        return time.perf_counter() - started

    def checkpoint(self, name: str) -> None:
        """See :class:`Disk`."""
        connection = self._connect(name, apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            connection.close()

    def damaged_pages(self, name: str, first: int, count: int) -> tuple[set[int], bool]:
        """See :class:`Disk`."""
        files, _ = self._databases[name]
        damaged, more = files.damaged_pages(first, count)
        # The log may have begun anew beside us: what is damaged is damaged at a second look too.
        return (damaged & files.damaged_pages(first, count)[0] if damaged else damaged), more

    def set_aside(self, name: str) -> str:
        """See :class:`Disk`."""
        taken = set(self.names(""))
        aside = next(aside for n in itertools.count(1) if (aside := f"{name}.damaged-{n}") not in taken)
        # The log goes first and its mark last: a database without its log is told by its mark, wherever this is cut off.
        for suffix in ("-wal", "", "-mark"):
            if f"{name}{suffix}" in taken:
                self.rename(f"{name}{suffix}", f"{aside}{suffix}")
        return aside

    def close(self) -> None:
        """See :class:`Disk`."""
        for name in list(self._open):
            self._forget(name)

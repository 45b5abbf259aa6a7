"""The simulation's disk and worker: in memory, in virtual time, and as forgetful, slow, full and rotten as real ones (shell)."""

import asyncio
import contextlib
import errno
import itertools
import os
import random
from collections.abc import Callable
from typing import TypeVar

import apsw

from cluster.disk import DiskFaults
from fivenines.simulation.memory_database import MemoryDatabase
from fivenines.simulation.memory_files import Directory, MemoryFile

T = TypeVar("T")

FSYNC_SECONDS = 0.0015
"""The mean of an exponential draw; about what this project's machines show (docs/performance.md)."""
SLOWEST_FSYNC_SECONDS = 0.05


class SimulatedDisk:
    """A disk of one node; it outlives the node. See ``cluster.disk.Disk`` for what a node does with it.

    ``draw`` is the only source of chance: the same draws and the same calls give the same bytes.
    """

    def __init__(self, component: str, faults: DiskFaults | None = None, draw: random.Random | None = None) -> None:
        self._component, self._faults = component, faults
        self._draw = draw or random.Random(component)
        self._directory = Directory()
        self._databases: dict[str, MemoryDatabase] = {}
        self._steps: int | None = None
        self.off = False
        """Whether the power is off: until the node that lost it is closed."""
        self.at_work: Callable[[], object] | None = None
        """What the node's worker is doing just now."""

    @property
    def in_use(self) -> bool:
        """Whether a node has it open (its item table, that is)."""
        return bool(self._databases)

    # --- what happens to disks ------------------------------------------------------------------------------------------

    def power_off(self) -> None:
        """What was not synced may be gone, and what was being done may be half done. A node that uses it has to be closed."""
        if self.off:
            return
        if self.at_work is not None and self._draw.random() < 0.5:
            self.fail_after(self._draw.randrange(6))
            with contextlib.suppress(OSError, apsw.Error):
                self.at_work()
        # A disk that nobody uses has its power back at once.
        self.off, self.at_work, self._steps = bool(self._databases), None, None
        self._directory = self._directory.after_power_off(self._draw)

    def fail_after(self, steps: int | None) -> None:
        """Let so many further changes of files succeed, and none after them; None: all again."""
        self._steps = steps

    def wipe(self) -> None:
        """Another, empty disk is in its place."""
        self._directory = Directory()

    def corrupt(self, name: str, offset: int, mask: int = 0xFF) -> None:
        """Change a byte of a file, as rotting bits do."""
        self._directory.files[name].data[offset] ^= mask

    def rot(self) -> tuple[str, int] | None:
        """Change some byte of some file that is in use; which one (None: there are no bytes)."""
        names = sorted(n for n, file in self._directory.files.items() if file.data and ".damaged" not in n)
        if not names:
            return None
        name = self._draw.choice(names)
        offset = self._draw.randrange(len(self._directory.files[name].data))
        self.corrupt(name, offset, 1 << self._draw.randrange(8))
        return name, offset

    def fsync_seconds(self) -> float:
        """How long the next fsync takes."""
        seconds = min(self._draw.expovariate(1.0 / FSYNC_SECONDS), SLOWEST_FSYNC_SECONDS)
        return seconds * (self._faults.fsync_factor(self._component) if self._faults else 1.0)

    # --- files ----------------------------------------------------------------------------------------------------------

    def names(self, folder: str) -> list[str]:
        """See ``cluster.disk.Disk``."""
        self._powered()
        prefix = f"{folder}/" if folder else ""
        names = (name for name in self._directory.files if name.startswith(prefix))
        return sorted(name for name in names if "/" not in name[len(prefix) :])

    def read(self, name: str) -> bytes:
        """See ``cluster.disk.Disk``."""
        self._powered()
        if name not in self._directory.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return bytes(self._directory.files[name].data)

    def append(self, name: str, data: bytes) -> None:
        """See ``cluster.disk.Disk``; a full disk takes a part."""
        file = self._file(name)
        try:
            self._step(grows=True)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                file.write(data[: self._draw.randint(0, len(data))], len(file.data))
            raise
        file.write(data, len(file.data))

    def sync(self, name: str) -> float:
        """See ``cluster.disk.Disk``. The time passes in the worker."""
        self._step()
        self._file(name).sync()
        self._directory.sync()
        return 0.0

    def truncate(self, name: str, size: int) -> None:
        """See ``cluster.disk.Disk``."""
        self._step()
        self._file(name).truncate(size)

    def replace(self, name: str, data: bytes) -> None:
        """See ``cluster.disk.Disk``."""
        draft = f"{name}.draft"
        self._directory.files.pop(draft, None)
        try:
            self.append(draft, data)
            self._step()
            self._file(draft).sync()
        except OSError:
            self._directory.files.pop(draft, None)
            raise
        self.rename(draft, name)

    def rename(self, old: str, new: str) -> None:
        """See ``cluster.disk.Disk``."""
        self._step()
        self._directory.files[new] = self._directory.files.pop(old)
        self._step()
        self._directory.sync()

    def remove(self, name: str) -> None:
        """See ``cluster.disk.Disk``."""
        self._powered()
        if name in self._directory.files:
            self._step()
            del self._directory.files[name]
            self._step()
            self._directory.sync()

    def _file(self, name: str) -> MemoryFile:
        return self._directory.files.setdefault(name, MemoryFile())

    def _powered(self) -> None:
        if self.off:
            raise OSError(errno.EIO, "the power is off")

    def _step(self, *, grows: bool = False) -> None:
        """A file or a name is about to be changed."""
        self._powered()
        if self._steps is not None:
            if self._steps == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._steps -= 1
        if grows and self._faults is not None and self._faults.disk_full(self._component):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # --- databases ------------------------------------------------------------------------------------------------------

    def database(self, name: str, blank: bytes) -> apsw.Connection:
        """See ``cluster.disk.Disk``."""
        if name not in self.names(""):
            self.remove(f"{name}-wal")
            self.remove(f"{name}-mark")
            self.replace(name, blank)
        self._databases[name] = MemoryDatabase(
            name, self._directory, blank, grow=lambda: self._step(grows=True), step=self._step
        )
        return self._databases[name].connect(apsw.SQLITE_OPEN_READWRITE)

    def reader(self, name: str) -> apsw.Connection:
        """See ``cluster.disk.Disk``."""
        return self._databases[name].connect(apsw.SQLITE_OPEN_READONLY)

    def sync_database(self, name: str) -> float:
        """See ``cluster.disk.Disk``. The time passes in the worker."""
        self._powered()
        if f"{name}-wal" in self._directory.files:
            self._databases[name].sync("-wal")
        return 0.0

    def checkpoint(self, name: str) -> None:
        """See ``cluster.disk.Disk``."""
        connection = self._databases[name].connect(apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            connection.close()

    def damaged_pages(self, name: str, first: int, count: int) -> tuple[set[int], bool]:
        """See ``cluster.disk.Disk``."""
        return self._databases[name].damaged_pages(first, count)

    def set_aside(self, name: str) -> str:
        """See ``cluster.disk.Disk``."""
        taken = set(self.names(""))
        aside = next(aside for n in itertools.count(1) if (aside := f"{name}.damaged-{n}") not in taken)
        for suffix in ("-wal", "", "-mark"):
            if f"{name}{suffix}" in taken:
                self.rename(f"{name}{suffix}", f"{aside}{suffix}")
        return aside

    def close(self) -> None:
        """See ``cluster.disk.Disk``; the power is back, for the next node."""
        for database in self._databases.values():
            database.close()
        self._databases.clear()
        self.off = False


class SimulatedWorker:
    """Runs a node's blocking work in turn, each piece after the time that its fsync takes, then all at once.

    When the power goes meanwhile, the work is never finished: nobody is told that it was.
    """

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk, self._turn = disk, asyncio.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """See ``cluster.worker.Worker``."""
        async with self._turn:
            self._disk.at_work = work
            try:
                await asyncio.sleep(self._disk.fsync_seconds())
                if self._disk.off:
                    await asyncio.Event().wait()
                return work()
            finally:
                self._disk.at_work = None

    async def close(self) -> None:
        """See ``cluster.worker.Worker``."""
        async with self._turn:
            pass

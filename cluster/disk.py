"""A storage node's disk: append, fsync, and the ways in which a disk fails (shell).

Everything here blocks; callers run it in a thread.
"""

import errno
import os
import time
from pathlib import Path
from typing import Protocol


class DiskFaults(Protocol):
    """What a disk asks the installed faults."""

    def fsync_factor(self, component: str) -> float:
        """How many times as long an fsync takes (1.0: as always)."""
        ...

    def disk_full(self, component: str) -> bool:
        """Whether there is no space left."""
        ...


class Disk:
    """The disk of one storage node; only what must survive a power-off goes through it."""

    def __init__(self, component: str, faults: DiskFaults | None = None) -> None:
        self._component, self._faults = component, faults

    def append(self, descriptor: int, data: bytes) -> None:
        """Write all of ``data`` at the end; raises OSError (ENOSPC when full)."""
        if self._faults and self._faults.disk_full(self._component):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def fsync(self, descriptor: int) -> float:
        """Make it durable; the seconds it took."""
        started = time.perf_counter()
        os.fsync(descriptor)
        factor = self._faults.fsync_factor(self._component) if self._faults else 1.0
        if factor > 1.0:
            time.sleep((factor - 1.0) * (time.perf_counter() - started))
        return time.perf_counter() - started


def fsync_directory(path: Path) -> None:
    """Make creations, renames and removals in ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make what was written to ``path`` by anyone durable; nothing if there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

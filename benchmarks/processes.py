"""What processes use, and starting and ending them (shell). Linux only: it reads /proc."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_TICK_SECONDS = 1.0 / os.sysconf("SC_CLK_TCK")
_GOODBYE_SECONDS = 10.0


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """User and system time that the processes, all their threads and their children have used so far."""
    return sum(_used(pid) for pid in _with_children(pids))


def _used(pid: int) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = _stat(pid)
        return sum(map(int, fields[11:15])) * _TICK_SECONDS
    return 0.0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on (the name before it may hold anything)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _with_children(pids: tuple[int, ...]) -> set[int]:
    found, wave = set(pids), set(pids)
    while wave:
        wave = {child for pid in wave for child in _children(pid)} - found
        found |= wave
    return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def memory_bytes(pids: tuple[int, ...]) -> int:
    """Resident memory of the processes and their children."""
    pages = 0
    for pid in _with_children(pids):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[int]:
    """A process for as long as the block lasts; its output goes to ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fsync_seconds(folder: Path, times: int = 50) -> float:
    """The median time of an fsync of 4 KB in ``folder``: what every durable write waits for."""
    took: list[float] = []
    path = folder / "fsync"
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return sorted(took)[times // 2]

"""The processes of the embedded stack: start, watch, hold down, freeze, restart, stop (shell)."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from fivenines.parts import Part

logger = logging.getLogger("fivenines")
MAX_LOG_BYTES = 20 * 1024 * 1024
READY_POLL_SECONDS = 0.1
STOP_PATIENCE_SECONDS = 8.0


@dataclass(slots=True)
class Child:
    """A part and its process. ``holders`` are the faults that keep it down; ``ready_at`` is UTC epoch seconds."""

    part: Part
    process: asyncio.subprocess.Process | None = None
    holders: set[str] = field(default_factory=set)
    ready_at: float | None = None
    restarts: int = 0

    @property
    def running(self) -> bool:
        """Whether it has a process that has not ended."""
        return self.process is not None and self.process.returncode is None


class Supervisor:
    """Keeps every part running that no fault holds down."""

    def __init__(self, parts: tuple[Part, ...], config_file: Path, logs_dir: Path) -> None:
        self.children = {part.name: Child(part) for part in parts}
        self.on_ready: Callable[[str], None] = lambda _name: None
        self._config_file = config_file
        self._logs_dir = logs_dir
        self._pipe_read, self._pipe_write = os.pipe()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self, name: str) -> None:
        """Start a part and watch it: it is started again when it ends by itself."""
        child = self.children[name]
        if self._stopping or child.running or child.holders:
            return
        arguments = ["-m", "fivenines.part", child.part.kind, "--config", str(self._config_file)]
        arguments += ["--parent-pipe", str(self._pipe_read)]
        if child.part.zone:
            arguments += ["--zone", child.part.zone]
        child.ready_at = None
        with self._log_of(name) as log:
            child.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._pipe_read,),
                env=_environment(),
                start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on
            )
        self._keep(self._watch(child, child.process))
        self._keep(self._report_ready(child, child.process))

    @contextlib.contextmanager
    def _log_of(self, name: str) -> Iterator[int]:
        """A handle to append to the part's log; one older log is kept."""
        self._logs_dir.mkdir(parents=True, exist_ok=True)
        path = self._logs_dir / f"{name}.log"
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            yield handle
        finally:
            os.close(handle)

    async def _watch(self, child: Child, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        child.ready_at = None
        if self._stopping or child.holders or child.process is not process:
            return
        child.restarts += 1
        delay = min(0.5 * 2 ** min(child.restarts - 1, 4), 5.0)
        logger.warning("part_ended part=%s code=%s restart_in_seconds=%.1f", child.part.name, code, delay)
        await asyncio.sleep(delay)
        await self.start(child.part.name)

    async def _report_ready(self, child: Child, process: asyncio.subprocess.Process) -> None:
        while process.returncode is None:
            if await answers(child.part.ready_url):
                child.ready_at = time.time()
                self.on_ready(child.part.name)
                return
            await asyncio.sleep(READY_POLL_SECONDS)

    def hold(self, name: str, holder: str) -> None:
        """Kill -9 now and keep it down until :meth:`release`."""
        child = self.children[name]
        child.holders.add(holder)
        _signal(child, signal.SIGKILL)

    async def hold_and_wait(self, name: str, holder: str) -> None:
        """As :meth:`hold`, and wait until the kernel says that the process is gone."""
        self.hold(name, holder)
        process = self.children[name].process
        if process is not None:
            await process.wait()

    async def release(self, name: str, holder: str) -> None:
        """Let the part run again when nothing else holds it down."""
        self.children[name].holders.discard(holder)
        await self.start(name)

    def freeze(self, name: str) -> None:
        """Stop the process where it stands (SIGSTOP)."""
        _signal(self.children[name], signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        _signal(self.children[name], signal.SIGCONT)

    async def restart(self, name: str) -> None:
        """A planned restart: SIGTERM, wait for its end, start."""
        child = self.children[name]
        holder = f"restart-{time.monotonic_ns()}"
        child.holders.add(holder)
        await self._end(child)
        await self.release(name, holder)

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        _signal(child, signal.SIGCONT)
        _signal(child, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_PATIENCE_SECONDS)
        except TimeoutError:
            logger.warning("part_did_not_stop part=%s; killed", child.part.name)
            _signal(child, signal.SIGKILL)
            await process.wait()

    async def stop(self) -> None:
        """End every process, and wait until they are gone."""
        self._stopping = True
        await asyncio.gather(*(self._end(child) for child in self.children.values()))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in (self._pipe_read, self._pipe_write):
            with contextlib.suppress(OSError):
                os.close(end)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def answers(url: str) -> bool:
    """Whether ``url`` answers 200 within a second."""
    timeout = aiohttp.ClientTimeout(total=1.0)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def _signal(child: Child, number: int) -> None:
    if child.running and child.process is not None:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)


def _environment() -> dict[str, str]:
    """Ours, without proxies: parts talk to loopback, and a canary must not ask through a middleman."""
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    return {name: value for name, value in os.environ.items() if name.lower() not in proxies}

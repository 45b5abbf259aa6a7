"""The components of one zone process and their lives: opened, paused, crashed, restarted (shell)."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import apsw

from cluster.fault_injection import FaultSet
from cluster.node import StorageNode
from cluster.storage.table import TableDamaged
from cluster.transport import Hub

logger = logging.getLogger("cluster")

DISK_REFUSES = (OSError, apsw.FullError, apsw.IOError)
OPEN_AGAIN_SECONDS = 1.0
"""A node whose disk refuses (it is full, or gone) is opened again so often: nothing else of the zone falls with it."""
Serve = Callable[[], Coroutine[Any, Any, None]]
"""Starts a router's front (its listeners) and serves until cancelled."""


@dataclass(slots=True)
class _Running:
    """A component's task; for a storage node the node as well."""

    task: asyncio.Task[None]
    node: StorageNode | None = None


@dataclass(slots=True)
class ZoneComponents:
    """Starts and stops storage nodes and routers by name. ``open_node`` opens a node from its files."""

    hub: Hub
    faults: FaultSet
    open_node: Callable[[str], StorageNode]
    node_names: tuple[str, ...]
    routers: Mapping[str, Serve]
    serve_node: Callable[[StorageNode], Coroutine[Any, Any, None]]
    _failures: "asyncio.Queue[tuple[str, BaseException]]" = field(default_factory=asyncio.Queue)
    _running: dict[str, _Running] = field(default_factory=dict)
    _paused: set[str] = field(default_factory=set)
    _reopening: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _refused: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """Nodes whose disk refused to open, each with the task that tries again."""

    def node(self, name: str) -> StorageNode | None:
        """The node, unless it is down."""
        running = self._running.get(name)
        return running.node if running else None

    def nodes(self) -> dict[str, StorageNode]:
        """The nodes that are up."""
        return {name: node for name in self.node_names if (node := self.node(name)) is not None}

    def up(self, name: str) -> bool:
        """Whether a component runs (a paused one does)."""
        return name in self._running

    async def start(self, name: str) -> None:
        """Open a node from its files, or a router's listeners; nothing if it runs.

        A node whose disk refuses stays down, is tried again until it is stopped, and says so in the log.
        """
        await self._reopened(name)
        if name in self._running or name in self._refused:
            return
        if name not in self.node_names:
            self._run(name, self.routers[name](), None)
        elif not self._open(name):
            self._refused[name] = asyncio.create_task(self._open_again(name))

    def _open(self, name: str) -> bool:
        try:
            node = self.open_node(name)
        except DISK_REFUSES as error:
            if name not in self._refused:
                logger.error("%s cannot open its files, and is tried again until it can: %s", name, error)  # noqa: TRY400
            return False
        self._run(name, self.serve_node(node), node)
        return True

    async def _open_again(self, name: str) -> None:
        while True:
            await asyncio.sleep(OPEN_AGAIN_SECONDS)
            if self._open(name):
                del self._refused[name]
                logger.info("%s has opened its files after all", name)
                return

    def _run(self, name: str, work: Coroutine[Any, Any, None], node: StorageNode | None) -> None:
        task = asyncio.create_task(work, name=name)
        self._running[name] = _Running(task, node)
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, BaseExceptionGroup) and error.split(TableDamaged)[1] is None:
            self._reopening[name] = asyncio.create_task(self._reopen(name))
        else:
            self._failures.put_nowait((name, error))

    async def _reopen(self, name: str) -> None:
        """A node whose item table is damaged goes on with another one: only that node is away for a moment."""
        try:
            await self.stop(name, crash=True)
            await self.start(name)
        except Exception as error:  # noqa: BLE001 (whatever it is, the component has failed)
            self._failures.put_nowait((name, error))
        finally:
            self._reopening.pop(name, None)

    async def _reopened(self, name: str) -> None:
        """Wait while it is being opened anew."""
        task = self._reopening.get(name)
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait([task])

    async def stop(self, name: str, *, crash: bool) -> None:
        """End it; a ``crash`` loses what a power-off would lose."""
        await self._reopened(name)
        if (trying := self._refused.pop(name, None)) is not None:
            trying.cancel()
        running = self._running.get(name)
        if running is None:
            return
        if not crash:
            await self._hand_over(name)
        if self._running.pop(name, None) is not running:
            return
        self.resume(name)
        running.task.cancel()
        await asyncio.wait([running.task])
        if running.node is not None:
            await running.node.close(crash=crash)
        logger.info("%s is %s", name, "crashed" if crash else "stopped")

    async def _hand_over(self, name: str) -> None:
        running = self._running.get(name)
        if running is not None and running.node is not None and not running.task.done() and name not in self._paused:
            await running.node.hand_over()

    def pause(self, name: str) -> None:
        """Freeze a node: it hears, says and does nothing, and remembers all."""
        self._paused.add(name)
        self.hub.pause(name)
        if (node := self.node(name)) is not None:
            node.paused = True

    def resume(self, name: str) -> None:
        """Let a frozen node go on."""
        if name not in self._paused:
            return
        self._paused.discard(name)
        if (node := self.node(name)) is not None:
            node.paused = False
        self.hub.resume(name)

    async def watch(self) -> None:
        """Raise the failure of any component that ends by itself: a process that is half dead helps nobody."""
        name, error = await self._failures.get()
        logger.error("%s has failed: %r", name, error)
        raise error

    async def close(self) -> None:
        """Stop everything in good order, leaders first: whoever is left goes on without waiting for a lease."""
        await asyncio.gather(*(self._hand_over(name) for name in self._running))
        for name in [*self._running, *self._refused]:
            await self.stop(name, crash=False)

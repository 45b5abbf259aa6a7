"""MemDS: every route of the region in the memory of one node per zone (shell).

Fed from the catalogue's replica of its zone, or of another while that is away; asked by routers and storage nodes.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from cluster.control.catalogue import group_of
from cluster.ports import ErrorKind, Table
from cluster.routing.messages import (
    Body,
    Refused,
    Routes,
    RoutesChanged,
    TableNow,
    WantTable,
    WhatRoutes,
    WhatTable,
)
from cluster.transport import Hub, NoAnswer, Unreachable

logger = logging.getLogger("cluster")

POLL_SECONDS = 1.0
ASK_SECONDS = 0.5


class MemDs:
    """``sources``: the catalogue's replicas, the own zone's first; ``readers``: who is told that routes have changed."""

    def __init__(self, name: str, *, hub: Hub, sources: tuple[str, ...], readers: tuple[str, ...]) -> None:
        self.name = name
        self._hub, self._sources, self._readers = hub, sources, readers
        self._look = asyncio.Event()
        self._table_of: dict[str, Table] = {}
        self.version = -1
        """The catalogue's LSN that is held; -1: nothing yet."""

    def told(self, sender: str, body: Body) -> None:
        """A nudge, or a router that used its cache."""
        if isinstance(body, RoutesChanged):
            self._look.set()
        elif isinstance(body, WantTable) and self.version >= 0:
            self._hub.tell(self.name, sender, TableNow(body.name, self._table_of.get(body.name)))

    async def asked(self, sender: str, body: Body, deadline: float) -> Body:  # noqa: ARG002 (answers at once)
        """Routes, all or one."""
        if self.version < 0:
            return Refused(ErrorKind.UNAVAILABLE, "no routes yet")
        if isinstance(body, WhatTable):
            return TableNow(body.name, self._table_of.get(body.name))
        if isinstance(body, WhatRoutes):
            same = body.known == self.version
            return Routes(self.version, None if same else tuple(self._table_of.values()))
        return Refused(ErrorKind.INTERNAL, "not a question for MemDS")

    def names(self) -> set[str]:
        """All table names."""
        return set(self._table_of)

    def groups_on(self, zone_of: Mapping[str, str], zone: str) -> set[str]:
        """The replication groups that should have a replica in ``zone``."""
        return {
            group_of(table, partition)
            for table in self._table_of.values()
            for partition in table.partitions
            if any(zone_of.get(node) == zone for node in partition.replicas)
        }

    async def run(self) -> None:
        """Follow the catalogue until cancelled."""
        self._hub.attach(self.name, self)
        try:
            while True:
                self._look.clear()
                await self._poll()
                # Not wait_for: in Python 3.11 it swallows a cancellation that comes just when the event does.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._look.wait()
        finally:
            self._hub.detach(self.name)

    async def _poll(self) -> None:
        for source in self._sources:
            with contextlib.suppress(Unreachable, NoAnswer):
                answer = await self._hub.ask(self.name, source, WhatRoutes(self.version), timeout_seconds=ASK_SECONDS)
                if isinstance(answer, Routes):
                    self._take(answer)
                    return

    def _take(self, routes: Routes) -> None:
        if routes.tables is None or routes.version < self.version:
            return
        before, self._table_of = self._table_of, {table.name: table for table in routes.tables}
        self.version = routes.version
        if before != self._table_of:
            logger.info("%s has %d tables (catalogue LSN %d)", self.name, len(self._table_of), self.version)
        for reader in self._readers:
            self._hub.tell(self.name, reader, RoutesChanged())

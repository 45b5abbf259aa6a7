"""What a storage node does now and then: commit its items, make them durable, forget log entries that nobody needs (shell)."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from cluster.archive import budget
from cluster.archive.hosting import NodeArchive
from cluster.group import HostedGroup
from cluster.storage.group_commit import GroupCommit
from cluster.storage.table import ItemTable
from cluster.table_keeping import TableKeeping

logger = logging.getLogger("cluster")

COMMIT_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 5.0
COMPACT_BYTES = 8 * 1024 * 1024
"""The WAL is rewritten when it has grown so large (or twice as large as after the last time)."""


class Housekeeping:
    """Of one node. ``resting``: whether the node is paused."""

    def __init__(
        self,
        name: str,
        *,
        items: ItemTable,
        log: GroupCommit,
        keeping: TableKeeping,
        groups: Mapping[str, HostedGroup],
        archive: NodeArchive | None,
        resting: Callable[[], bool],
    ) -> None:
        self._name, self._items, self._log, self._keeping = name, items, log, keeping
        self._groups, self._archive, self._resting = groups, archive, resting
        self._durable: dict[str, int] = {}
        self._compacted_size = 0
        self._forgotten = 0

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_committing())
            tasks.create_task(self._keep_house())

    async def _keep_committing(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            if not self._resting():
                self._keeping.commit()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            if self._resting():
                continue
            if self._items.changed_since_durable:
                applied = {group: self._items.applied(group) for group in self._groups}
                if not self._keeping.commit() or not await self._keeping.make_durable():
                    continue
                self._durable = applied
            keep_after = {group: self._may_forget(group) for group in self._groups}
            if self._worth_compacting(sum(keep_after.values())):
                await self._compact(keep_after)

    def _may_forget(self, group: str) -> int:
        """The LSN up to which a group's log is needed by nobody: durable in the table, archived, and old."""
        durable = self._durable.get(group, 0)
        if self._archive is not None:
            return self._archive.may_forget(group, durable)
        return max(0, durable - budget.KEEP_ENTRIES)

    def _worth_compacting(self, forgettable: int) -> bool:
        """When the log has grown; and when much of its budget is spent, as soon as anything can go (the archive takes it again)."""
        if self._log.size > max(COMPACT_BYTES, 2 * self._compacted_size):
            return True
        return self._archive is not None and self._archive.is_tight and forgettable > self._forgotten

    async def _compact(self, keep_after: dict[str, int]) -> None:
        self._forgotten = sum(keep_after.values())
        for name, upto in keep_after.items():
            if name in self._groups:
                self._groups[name].replica.truncate(upto)
        self._log.compact(keep_after)
        await self._keeping.checkpoint()
        await self._log.settled()
        self._compacted_size = self._log.size
        logger.info("%s compacted its WAL to %d bytes", self._name, self._compacted_size)

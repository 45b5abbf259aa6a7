"""Keeping a storage node's item table: commits, fsyncs, checkpoints, and what is done when its disk refuses (shell)."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

import apsw

from cluster.disk import Disk
from cluster.storage.group_commit import GroupCommit
from cluster.storage.page_checksums import PageDamaged
from cluster.storage.table import ItemTable, TableDamaged
from cluster.storage.table_file import FILE

logger = logging.getLogger("cluster")


class TableKeeping:
    """One node's. A table that is *condemned* is not used any more: the node is to be closed, and opened anew from its files."""

    def __init__(self, name: str, *, items: ItemTable, log: GroupCommit, disk: Disk) -> None:
        self._name, self._items, self._log, self._disk = name, items, log, disk
        self._condemned = asyncio.Event()

    def condemn(self, reason: str) -> None:
        """The table is damaged."""
        if not self._condemned.is_set():
            logger.error("%s: its item table is damaged: %s", self._name, reason)
            self._items.damaged = self._items.damaged or reason
            self._condemned.set()

    async def fall(self) -> None:
        """Raise :class:`TableDamaged` as soon as the table is condemned."""
        await self._condemned.wait()
        raise TableDamaged(self._items.damaged)

    def attempt(self, change: Callable[[], None]) -> bool:
        """Change the table, unless its disk refuses: then it is as before, and the change may be tried again."""
        try:
            change()
        except (apsw.Error, OSError) as error:
            logger.warning("%s: its disk refuses a change of its items: %s", self._name, error)
            return False
        except TableDamaged as error:
            self.condemn(str(error))
            return False
        return True

    def commit(self) -> bool:
        """Commit the items; what cannot be committed now is in the WAL, and committed the next time."""
        return self.attempt(self._items.commit)

    async def make_durable(self) -> bool:
        """Whether what was committed is durable now. A failed fsync leaves a file of which nobody knows what it holds."""
        try:
            await self._log.in_worker(self._items.make_durable)
        except OSError as error:
            self.condemn(f"its items could not be made durable: {error}")
            return False
        return True

    async def checkpoint(self) -> None:
        """Fold SQLite's own log into the database file."""
        try:
            await self._log.in_worker(self._items.checkpoint)
        except (PageDamaged, apsw.CorruptError) as error:
            self.condemn(str(error))
        except apsw.Error as error:
            logger.warning("%s cannot fold its items' log: %s", self._name, error)

    def close(self, *, crash: bool) -> None:
        """Close the table; after a ``crash`` what was not committed is gone. A damaged one is set aside."""
        try:
            self._items.close(crash=crash)
        except apsw.Error as error:
            logger.warning("%s could not commit its items, which its log has: %s", self._name, error)
        if self._items.damaged is not None:
            # Should the disk refuse, the damage is found again.
            with contextlib.suppress(OSError):
                self._disk.set_aside(FILE)
        self._disk.close()

"""What a storage replica does for a scrub: digests its items at markers, and shows its rows (shell).

The snapshot is taken in the event loop, exactly where the marker is applied; it is read in the node's worker, in pieces so small that
neither an fsync nor the event loop waits long for one. Only the newest digest of each group is kept.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import apsw

from cluster.group import HostedGroup
from cluster.kept import Kept
from cluster.ports import ErrorKind
from cluster.routing.messages import DigestIs, PrintsAre, Refused, Row, RowIs, WhatDigest, WhatPrints, WhatRow
from cluster.scrub.digest import Digester, Place, before, bucket_of, print_of
from cluster.storage.group_commit import GroupCommit
from cluster.storage.snapshot_reader import SnapshotReader
from cluster.storage.table import ItemTable, TableDamaged

logger = logging.getLogger("cluster")

PIECE_BYTES = 32 * 1024
"""Rows that the worker takes at once: less than a millisecond, in which the event loop may have to wait for it."""
PAUSE_SECONDS = 0.002
"""Between two pieces."""
LOOK_SECONDS = 0.02
"""A question about an LSN that is not applied yet is looked at so often."""
ANSWER_SECONDS = 0.5
"""So long before nobody waits any more, whoever asks for a digest is told that it is not finished."""
ROW_ANSWER_SECONDS = 0.2
PRINTS_BYTES = 256 * 1024


@dataclass(slots=True)
class _Damage:
    """The table cannot be read: handed from the worker to the event loop, which condemns it."""

    reason: str


class _Reading:
    """A reader that the event loop may close while the worker uses it."""

    def __init__(self, reader: SnapshotReader) -> None:
        self._reader, self._lock, self._open = reader, threading.Lock(), True

    def rows(self, group: str, after: Place | None, size: int) -> tuple[tuple[Row, ...], Place | None] | _Damage:
        """See :meth:`SnapshotReader.rows`; in the worker."""
        with self._lock:
            if not self._open:
                return (), None
            try:
                return self._reader.rows(group, after, size)
            except TableDamaged as error:
                return _Damage(str(error))

    def close(self) -> None:
        """Wait at most for one piece."""
        with self._lock:
            if self._open:
                self._open = False
                self._reader.close()


@dataclass(slots=True)
class _Taking:
    lsn: int
    reading: _Reading
    task: "asyncio.Task[DigestIs | None]"


class Digests:
    """Of one node. ``condemn``: the item table is damaged."""

    def __init__(
        self,
        node: str,
        *,
        items: ItemTable,
        log: GroupCommit,
        groups: Mapping[str, HostedGroup],
        condemn: Callable[[str], None],
    ) -> None:
        self._node, self._items, self._log, self._groups, self._condemn = node, items, log, groups, condemn
        self._newest: dict[str, _Taking] = {}
        self._readings: dict[_Reading, None] = {}
        self._closed = False

    # --- digests --------------------------------------------------------------------------------------------------------

    def marked(self, group: str, lsn: int) -> None:
        """The items of ``group`` are those of ``lsn`` just now: digest them."""
        if self._closed:
            return
        old = self._newest.pop(group, None)
        if old is not None:
            old.task.cancel()
            self._let_go(old.reading)
        reading = self._begin()
        if reading is not None:
            task = asyncio.get_running_loop().create_task(self._take(group, lsn, reading))
            self._newest[group] = _Taking(lsn, reading, task)

    def _begin(self) -> _Reading | None:
        try:
            reading = _Reading(self._items.snapshot_reader())
        except apsw.Error as error:
            logger.warning("%s: its disk refuses a look at its items: %s", self._node, error)
            return None
        except TableDamaged as error:
            self._condemn(str(error))
            return None
        self._readings[reading] = None
        return reading

    def _let_go(self, reading: _Reading) -> None:
        reading.close()
        self._readings.pop(reading, None)

    async def _take(self, group: str, lsn: int, reading: _Reading) -> DigestIs | None:
        digester, after = Digester(), None
        try:
            while True:
                found = await self._log.in_worker(partial(_piece, digester, reading, group, after))
                if isinstance(found, _Damage):
                    self._condemn(found.reason)
                    return None
                if found is None:
                    return digester.digest(lsn)
                after = found
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._let_go(reading)

    async def digest(self, question: WhatDigest, until: float) -> DigestIs | Refused:
        """The digest as of the marker, waiting for it until ``until`` (the loop's clock)."""
        if not await self._applied(question.group, question.lsn, until):
            return self._refused(question.group)
        if question.anew and self._items.applied(question.group) == question.lsn:
            self.marked(question.group, question.lsn)
        taking = self._newest.get(question.group)
        if taking is None or taking.lsn != question.lsn:
            return Refused(ErrorKind.UNAVAILABLE, f"{self._node} has no digest of {question.group} at {question.lsn}")
        patience = max(0.0, until - ANSWER_SECONDS - asyncio.get_running_loop().time())
        await asyncio.wait([taking.task], timeout=patience)
        if not taking.task.done():
            return Refused(ErrorKind.TIMEOUT, "the digest is not finished yet")
        digest = None if taking.task.cancelled() else taking.task.result()
        return digest or Refused(ErrorKind.UNAVAILABLE, "the digest was given up")

    async def _applied(self, group: str, lsn: int, until: float) -> bool:
        """Wait until the items of ``group`` are those of ``lsn`` or later; False when they will not be soon."""
        while self._holds(group):
            if self._items.applied(group) >= lsn:
                return True
            if asyncio.get_running_loop().time() > until:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return False

    def _holds(self, group: str) -> bool:
        hosted = self._groups.get(group)
        return hosted is not None and hosted.kept is Kept.ITEMS

    def _refused(self, group: str) -> Refused:
        return Refused(ErrorKind.UNAVAILABLE, f"{self._node} has not the items of {group} that are asked for")

    # --- rows -----------------------------------------------------------------------------------------------------------

    async def prints(self, question: WhatPrints) -> PrintsAre | Refused:
        """Rows of a bucket as they are now."""
        reading = self._begin() if self._holds(question.group) and not self._closed else None
        if reading is None:
            return self._refused(question.group)
        try:
            after = question.after or before(question.bucket)
            found = await self._log.in_worker(partial(reading.rows, question.group, after, PRINTS_BYTES))
        finally:
            self._let_go(reading)
        if isinstance(found, _Damage):
            self._condemn(found.reason)
            return self._refused(question.group)
        rows, following = found
        inside = [row for row in rows if bucket_of(row.hash) == question.bucket]
        return PrintsAre(tuple(map(print_of, inside)), more=following is not None and len(inside) == len(rows))

    async def row(self, question: WhatRow, until: float) -> RowIs | Refused:
        """The row at a place, as it is stored; of a replica that stays behind, as it was."""
        await self._applied(question.group, question.at_least, until - ROW_ANSWER_SECONDS)
        if not self._holds(question.group):
            return self._refused(question.group)
        try:
            applied = self._items.applied(question.group)
            return RowIs(self._items.stored(question.group, question.place), applied)
        except TableDamaged as error:
            self._condemn(str(error))
            return self._refused(question.group)

    def close(self) -> None:
        """Take no more digests, and let go of the table."""
        self._closed = True
        for taking in self._newest.values():
            taking.task.cancel()
        for reading in list(self._readings):
            self._let_go(reading)


def _piece(digester: Digester, reading: _Reading, group: str, after: Place | None) -> Place | _Damage | None:
    found = reading.rows(group, after, PIECE_BYTES)
    if isinstance(found, _Damage):
        return found
    rows, following = found
    digester.take(rows)
    return following

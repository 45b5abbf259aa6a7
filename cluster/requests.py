"""A replica answers requests: reads under its lease or as they come, writes through its group's log, each admitted and counted (shell)."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import Counter

from cluster.admission.buckets import Bucket, read_units, write_units
from cluster.archive.budget import SPENT_REASON
from cluster.kept import Kept
from cluster.key_locks import KeyLocks
from cluster.ports import ConditionFailed, ErrorKind, Evaluate, InvalidWrite, Item, StoreError
from cluster.replication.messages import Rejected
from cluster.request_classes import operation_of, outcome_of
from cluster.routing.messages import (
    Body,
    ConditionFalse,
    ItemIs,
    ItemsAre,
    NotLeader,
    ReadItem,
    ReadPage,
    ReadRange,
    Refused,
    WriteInvalid,
    WriteItem,
    Written,
)
from cluster.storage.records import Change, encode_change
from cluster.storage.table import CorruptItem, Page, TableDamaged
from cluster.topology import key_hash

if TYPE_CHECKING:
    from cluster.group import HostedGroup, Surroundings

ANSWER_SECONDS = 0.1
"""So long before nobody waits any more, a read that waits for a damaged item gives up."""
MENDED_ROWS = 100
"""A read of many items has as many rows looked at, and mended, at once."""


class Requests:
    """Of one hosted replica."""

    def __init__(
        self, group: "HostedGroup", *, evaluate: Evaluate, node: "Surroundings", clock: Callable[[], float]
    ) -> None:
        self._group, self._evaluate, self._node, self._clock = group, evaluate, node, clock
        self.locks = KeyLocks()
        """Held by whoever writes a key, or mends it."""
        # Kept, because finding a child by its labels costs more than counting.
        self._counters: dict[tuple[str, str], Counter] = {}
        self._reads = Bucket(group.table.read_units_per_partition)
        self._writes = Bucket(group.table.write_units_per_partition)

    async def answer(self, body: ReadItem | ReadRange | ReadPage | WriteItem, deadline: float) -> Body:
        """Answer a router, and count it. ``deadline``: on the loop's clock; after it nobody listens any more."""
        try:
            try:
                answer = await self._write(body, deadline) if isinstance(body, WriteItem) else self._read(body)
            except CorruptItem as error:
                answer = await self._despite(error, body, deadline)
        except TableDamaged as error:
            self._node.metrics.corrupt.inc()
            self._node.condemn(str(error))
            answer = Refused(ErrorKind.CORRUPT, str(error))
        except StoreError as error:
            answer = Refused(error.kind, str(error))
        self._note(body, answer)
        return answer

    def answer_at_once(self, body: ReadItem) -> Body | None:
        """As :meth:`answer`, for a read of one item, which waits for nothing; None when it has to, because the item is damaged."""
        try:
            answer = self._read(body)
        except (CorruptItem, TableDamaged):
            return None
        self._note(body, answer)
        return answer

    def _note(self, body: ReadItem | ReadRange | ReadPage | WriteItem, answer: Body) -> None:
        if isinstance(answer, NotLeader):
            self._node.metrics.redirects.inc()
        else:
            self._count(operation_of(body), outcome_of(answer))

    def _count(self, operation: str, outcome: str) -> None:
        counter = self._counters.get((operation, outcome))
        if counter is None:
            labels = (self._group.table.name, self._group.partition.id, operation, outcome)
            counter = self._counters[operation, outcome] = self._node.metrics.requests.labels(*labels)
        counter.inc()

    def refuse(self, body: ReadItem | ReadRange | ReadPage | WriteItem) -> Refused:
        """An injected failure of the storage, counted as one."""
        self._count(operation_of(body), "server_fault")
        return Refused(ErrorKind.INTERNAL, "storage failure")

    def _not_leader(self, reason: str = "not_leader") -> NotLeader:
        leader = self._group.replica.leader_hint
        return NotLeader(None if leader == self._node.name else leader, reason)

    def _read(self, body: ReadItem | ReadRange | ReadPage) -> Body:
        if body.strong and not self._group.leads():
            return self._not_leader()
        if self._group.kept is not Kept.ITEMS:
            return Refused(ErrorKind.UNAVAILABLE, "the replica holds no items")
        if not body.strong and not self._group.is_warm():
            return Refused(ErrorKind.UNAVAILABLE, "the replica is catching up")
        if not self._reads.admits(self._clock()):
            return Refused(ErrorKind.THROTTLED, "the partition's read units are used up")
        answer, size = self._look(body)
        self._reads.take(read_units(size, strong=body.strong))
        return answer

    async def _despite(
        self, error: CorruptItem, body: ReadItem | ReadRange | ReadPage | WriteItem, deadline: float
    ) -> Body:
        """A damaged item was met: never served. The leader mends it, and reads again; a follower lets it be mended."""
        group, items = self._group, self._node.items
        while True:
            self._node.metrics.corrupt.inc()
            refused = Refused(ErrorKind.CORRUPT, str(error))
            if isinstance(body, WriteItem) or not group.leads():
                self._node.scrub.met(group.name, error)
                return refused
            near = 1 if isinstance(body, ReadItem) else MENDED_ROWS
            places = items.damaged_from(group.name, error.place, near)
            until = deadline - ANSWER_SECONDS
            if not await self._node.scrub.mended(group, places, until) or asyncio.get_running_loop().time() > until:
                return refused
            try:
                return self._read(body)
            except CorruptItem as another:
                error = another

    def _look(self, body: ReadItem | ReadRange | ReadPage) -> tuple[Body, int]:
        items = self._node.items
        if isinstance(body, ReadItem):
            found = items.get(self._group.name, key_hash(body.key.partition_key), body.key)
            return ItemIs(found), len(found or b"")
        if isinstance(body, ReadRange):
            page = items.range(
                self._group.name,
                key_hash(body.partition_key),
                body.partition_key,
                body.bounds,
                forward=body.forward,
                limit=body.limit,
                after=body.after,
            )
        else:
            position = key_hash(body.after.partition_key) if body.after else 0
            page = items.page(self._group.name, hash_=position, after=body.after, limit=body.limit)
        return _items(page)

    async def _write(self, body: WriteItem, deadline: float) -> Body:
        # The lock is kept until the proposal is decided, also when nobody waits for the answer any more: otherwise the
        # next write of this key would be evaluated against an item that is about to change.
        await self.locks.hold(body.key)
        try:
            if asyncio.get_running_loop().time() > deadline:
                return Refused(ErrorKind.TIMEOUT, "the write waited too long for its turn and was not made")
            if not self._group.leads():
                return self._not_leader()
            if self._node.log.full:
                return Refused(ErrorKind.DISK_FULL, "no space left on the leader's disk")
            if self._node.sheds_writes():
                return Refused(ErrorKind.UNAVAILABLE, SPENT_REASON)
            if not self._writes.admits(self._clock()):
                return Refused(ErrorKind.THROTTLED, "the partition's write units are used up")
            try:
                return await self._replicate(body)
            except CorruptItem as error:
                if not await self._node.scrub.mended_held(self._group, error.place):
                    raise
            if asyncio.get_running_loop().time() > deadline or not self._group.leads():
                return Refused(ErrorKind.TIMEOUT, "the item had to be mended first, and the write was not made")
            return await self._replicate(body)
        finally:
            self.locks.release(body.key)

    async def _replicate(self, body: WriteItem) -> Body:
        position = key_hash(body.key.partition_key)
        stored = self._node.items.get(self._group.name, position, body.key)
        request = body.request
        try:
            result = self._evaluate(request, self._group.table, None if request.blind else _decode(stored))
        except ConditionFailed as failed:
            self._writes.take(write_units(len(stored or b"")))
            return ConditionFalse(None if failed.item is None else _encode(failed.item))
        except InvalidWrite as invalid:
            return WriteInvalid(str(invalid))
        image = None if result.new is None else _encode(result.new)
        self._writes.take(write_units(max(len(stored or b""), len(image or b""))))
        change = Change(position, body.key.partition_key, body.key.sort_key, image, self._node.wall_clock())
        decision = await self._group.propose(encode_change(change))
        if isinstance(decision, Rejected):
            return self._rejected(decision)
        return Written(stored, image, result.updated) if request.shows else _WRITTEN

    def _rejected(self, decision: Rejected) -> Body:
        if decision.reason == "outcome_unknown":
            return Refused(ErrorKind.TIMEOUT, "leadership was lost meanwhile; whether the write was made is unknown")
        if decision.reason == "overloaded":
            return Refused(ErrorKind.UNAVAILABLE, "too many writes at once")
        return self._not_leader(decision.reason)


_WRITTEN = Written(None, None, ())
_encode = msgspec.msgpack.Encoder().encode


def _decode(body: bytes | None) -> Item | None:
    return None if body is None else msgspec.msgpack.decode(body, type=dict)


def _items(page: Page) -> tuple[ItemsAre, int]:
    return ItemsAre(page.bodies, page.more), sum(map(len, page.bodies))

"""One replica in its storage node: carries out what the replica decides, reads and writes its items (shell)."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Protocol

import msgspec

from cluster.admission.buckets import Bucket, read_units, write_units
from cluster.archive.budget import SPENT_REASON
from cluster.key_locks import KeyLocks
from cluster.metrics import GroupView, NodeMetrics
from cluster.ports import ConditionFailed, ErrorKind, Evaluate, InvalidWrite, Item, Partition, StoreError, Table
from cluster.replication.membership import Members, names
from cluster.replication.messages import (
    Accepted,
    Append,
    Apply,
    ChangeMembers,
    Effect,
    Entry,
    Heartbeat,
    Input,
    NeedSnapshot,
    PeerMessage,
    Persisted,
    Propose,
    Receive,
    Rejected,
    RoleChanged,
    Send,
    Tick,
)
from cluster.replication.replica import Replica
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
from cluster.storage.group_commit import GroupCommit
from cluster.storage.records import Change, WalRecord, encode_change
from cluster.storage.table import CorruptItem, ItemTable, Page, TableDamaged
from cluster.topology import key_hash
from cluster.watch import Watch

logger = logging.getLogger("cluster")

WARMING_SECONDS = 5.0
"""A replica that was opened answers no eventual read until it has caught up, or this has passed without a leader."""


class Surroundings(Protocol):
    """What a group asks of the node that hosts it."""

    name: str
    items: ItemTable
    log: GroupCommit
    metrics: NodeMetrics

    def send(self, to: str, group: str, message: PeerMessage) -> None:
        """Pass a message to the replica of ``group`` on another node."""
        ...

    def applied(self, group: str) -> None:
        """Items of ``group`` have changed."""
        ...

    def fetch(self, group: str, need: NeedSnapshot) -> None:
        """Fetch a snapshot of ``group``."""
        ...

    def members_changed(self, group: "HostedGroup") -> None:
        """A change of members was committed."""
        ...

    def condemn(self, reason: str) -> None:
        """The item table is damaged: the node is to be opened anew, with another one."""
        ...

    def sheds_writes(self) -> bool:
        """Whether the log's budget is nearly spent, because the archive does not take it."""
        ...

    def wall_clock(self) -> float:
        """UTC epoch seconds as the node believes."""
        ...


class Kept(StrEnum):
    """What a replica keeps of its group beside the log."""

    ITEMS = "items"
    LOG = "log"
    """It is a log replica."""
    NOTHING = "nothing"
    """Its items were lost, and are fetched."""


class HostedGroup:
    """A replication group's replica, its items and its admission."""

    def __init__(
        self,
        name: str,
        *,
        table: Table,
        partition: Partition,
        replica: Replica,
        evaluate: Evaluate,
        node: Surroundings,
        clock: Callable[[], float] = time.monotonic,
        watch: Watch | None = None,
    ) -> None:
        self.name, self.table, self.partition, self.replica = name, table, partition, replica
        self._evaluate, self._node, self._clock, self._watch = evaluate, node, clock, watch
        self._opened_at = self._heard_at = clock()
        self.kept = Kept.ITEMS
        self._warm = False
        self._stopped = False
        self._heard_committed: int | None = None
        self._numbers: Iterator[int] = itertools.count(1)
        self._proposals: dict[int, asyncio.Future[Accepted | Rejected]] = {}
        self._locks = KeyLocks()
        self._reads = Bucket(table.read_units_per_partition)
        self._writes = Bucket(table.write_units_per_partition)
        self._carry: dict[type[Effect], Callable[..., None]] = {
            Append: self._append,
            Send: lambda effect: node.send(effect.to, name, effect.message),
            Apply: self._apply,
            Accepted: self._decided,
            Rejected: self._decided,
            RoleChanged: self._role_changed,
            NeedSnapshot: lambda effect: node.fetch(name, effect),
        }

    @property
    def node(self) -> str:
        """The storage node that hosts this replica."""
        return self._node.name

    # --- the replica's shell --------------------------------------------------------------------------------------------

    def step(self, event: Input) -> None:
        """Give the replica an input and carry out what it decides, in order.

        A replica whose invariants are broken stops for good: a dead replica is safer than a wrong one.
        """
        if self._stopped:
            return
        try:
            effects = self.replica.step(event, self._clock())
            if self._watch is not None:
                self._watch.stepped(self, event, effects)
            for effect in effects:
                self._carry[type(effect)](effect)
        except Exception:
            logger.exception(
                "%s %s is stopped: its replica failed on %s", self._node.name, self.name, type(event).__name__
            )
            self.close()

    def close(self) -> None:
        """Take no more inputs; what was proposed has an unknown outcome."""
        self._stopped = True
        for number in list(self._proposals):
            self._decided(Rejected(number, "outcome_unknown"))

    def _append(self, effect: Append) -> None:
        record = WalRecord(self.name, effect.promised, effect.committed, effect.entries)
        self._node.log.add(record, lambda: self.step(Persisted(effect.token)))

    def _apply(self, effect: Apply) -> None:
        try:
            self._keep(effect.entries)
        except TableDamaged as error:
            self._node.condemn(str(error))
            return
        if any(entry.members is not None for entry in effect.entries):
            self._node.members_changed(self)
        self._node.applied(self.name)

    def _keep(self, entries: tuple[Entry, ...]) -> None:
        if self.kept is Kept.ITEMS:
            self._node.items.apply(self.name, entries)
        elif self.kept is Kept.LOG:
            self._node.items.follow(self.name, entries)

    def has_items(self) -> None:
        """The items of a replica that lacked them are there, up to some LSN: what the log has applied since is applied to them now."""
        self.kept = Kept.ITEMS
        self._keep(self.replica.entries(self._node.items.applied(self.name) + 1, self.replica.applied_lsn))
        self.replica.hold_items(hold=True)

    def silent_seconds(self) -> float:
        """How long it has heard no leader of its group."""
        return self._clock() - self._heard_at

    def _decided(self, effect: Accepted | Rejected) -> None:
        future = self._proposals.pop(effect.proposal, None)
        if future is not None and not future.done():
            future.set_result(effect)

    def _role_changed(self, effect: RoleChanged) -> None:
        logger.info("%s %s is %s: %s", self._node.name, self.name, effect.role, effect.reason)
        if effect.role == "leader":
            self._node.metrics.elections.inc()

    def receive(self, sender: str, message: PeerMessage) -> None:
        """A message from another replica of the group."""
        if isinstance(message, Heartbeat):
            self._heard_committed, self._heard_at = message.committed, self._clock()
        self.step(Receive(sender, message))

    def tick(self, at: float) -> None:
        """Let the replica know the time, if it wants to."""
        if self.replica.next_wakeup(at) <= at:
            self.step(Tick())

    def view(self) -> GroupView:
        """Its state, for people and metrics."""
        replica = self.replica
        return GroupView(
            group=self.name,
            table=self.table.name,
            partition=self.partition.id,
            role=replica.role,
            leader=replica.leader_hint,
            ballot=replica.ballot.number,
            committed=replica.commit_lsn,
            applied=replica.applied_lsn,
            last=replica.last_lsn,
            lag=max(0, (self._heard_committed or 0) - replica.applied_lsn),
            serving=self.leads(),
            kept=self.kept.value,
            votes=replica.votes,
            members=names(replica.members),
        )

    def leads(self) -> bool:
        """Whether this replica may answer for the group now: it leads, its lease is valid, nothing older is open."""
        return not self._stopped and self.replica.may_serve_strong_read(self._clock())

    def holds_lease(self) -> bool:
        """Whether this replica leads under a valid lease (it may still be catching up with what earlier leaders committed)."""
        return not self._stopped and self.replica.holds_lease(self._clock())

    def _is_warm(self) -> bool:
        if not self._warm:
            heard = self._heard_committed
            caught_up = self.leads() or (heard is not None and self.replica.applied_lsn >= heard)
            self._warm = caught_up or self._clock() - self._opened_at > WARMING_SECONDS
        return self._warm

    # --- requests -------------------------------------------------------------------------------------------------------

    async def answer(self, body: ReadItem | ReadRange | ReadPage | WriteItem, deadline: float) -> Body:
        """Answer a router, and count it. ``deadline``: on the loop's clock; after it nobody listens any more."""
        try:
            answer = await self._write(body, deadline) if isinstance(body, WriteItem) else self._read(body)
        except (CorruptItem, TableDamaged) as error:
            self._node.metrics.corrupt.inc()
            if isinstance(error, TableDamaged):
                self._node.condemn(str(error))
            answer = Refused(ErrorKind.CORRUPT, str(error))
        except StoreError as error:
            answer = Refused(error.kind, str(error))
        if isinstance(answer, NotLeader):
            self._node.metrics.redirects.inc()
        else:
            self._count(_operation(body), _outcome(answer))
        return answer

    def _count(self, operation: str, outcome: str) -> None:
        self._node.metrics.requests.labels(self.table.name, self.partition.id, operation, outcome).inc()

    def refuse(self, body: ReadItem | ReadRange | ReadPage | WriteItem) -> Refused:
        """An injected failure of the storage, counted as one."""
        self._count(_operation(body), "server_fault")
        return Refused(ErrorKind.INTERNAL, "storage failure")

    def _not_leader(self, reason: str = "not_leader") -> NotLeader:
        leader = self.replica.leader_hint
        return NotLeader(None if leader == self._node.name else leader, reason)

    def _read(self, body: ReadItem | ReadRange | ReadPage) -> Body:
        if body.strong and not self.leads():
            return self._not_leader()
        if self.kept is not Kept.ITEMS:
            return Refused(ErrorKind.UNAVAILABLE, "the replica holds no items")
        if not body.strong and not self._is_warm():
            return Refused(ErrorKind.UNAVAILABLE, "the replica is catching up")
        if not self._reads.admits(self._clock()):
            return Refused(ErrorKind.THROTTLED, "the partition's read units are used up")
        answer, size = self._look(body)
        self._reads.take(read_units(size, strong=body.strong))
        return answer

    def _look(self, body: ReadItem | ReadRange | ReadPage) -> tuple[Body, int]:
        items = self._node.items
        if isinstance(body, ReadItem):
            found = items.get(self.name, key_hash(body.key.partition_key), body.key)
            return ItemIs(found), len(found or b"")
        if isinstance(body, ReadRange):
            page = items.range(
                self.name,
                key_hash(body.partition_key),
                body.partition_key,
                body.bounds,
                forward=body.forward,
                limit=body.limit,
                after=body.after,
            )
        else:
            position = key_hash(body.after.partition_key) if body.after else 0
            page = items.page(self.name, hash_=position, after=body.after, limit=body.limit)
        return _items(page)

    async def _write(self, body: WriteItem, deadline: float) -> Body:
        # The lock is kept until the proposal is decided, also when nobody waits for the answer any more: otherwise the
        # next write of this key would be evaluated against an item that is about to change.
        async with self._locks.held(body.key):
            if asyncio.get_running_loop().time() > deadline:
                return Refused(ErrorKind.TIMEOUT, "the write waited too long for its turn and was not made")
            if not self.leads():
                return self._not_leader()
            if self._node.log.full:
                return Refused(ErrorKind.DISK_FULL, "no space left on the leader's disk")
            if self._node.sheds_writes():
                return Refused(ErrorKind.UNAVAILABLE, SPENT_REASON)
            if not self._writes.admits(self._clock()):
                return Refused(ErrorKind.THROTTLED, "the partition's write units are used up")
            return await self._replicate(body)

    async def _replicate(self, body: WriteItem) -> Body:
        position = key_hash(body.key.partition_key)
        stored = self._node.items.get(self.name, position, body.key)
        try:
            result = self._evaluate(body.request, self.table, _decode(stored))
        except ConditionFailed as failed:
            self._writes.take(write_units(len(stored or b"")))
            return ConditionFalse(None if failed.item is None else _encode(failed.item))
        except InvalidWrite as invalid:
            return WriteInvalid(str(invalid))
        image = None if result.new is None else _encode(result.new)
        self._writes.take(write_units(max(len(stored or b""), len(image or b""))))
        change = Change(position, body.key.partition_key, body.key.sort_key, image, self._node.wall_clock())
        decision = await self._propose(encode_change(change))
        if isinstance(decision, Rejected):
            return self._rejected(decision)
        return Written(stored, image, result.updated)

    async def _propose(self, payload: bytes) -> Accepted | Rejected:
        return await self._decision(lambda number: Propose(number, payload))

    async def change_members(self, members: Members) -> Accepted | Rejected:
        """Let the group choose ``members``."""
        return await self._decision(lambda number: ChangeMembers(number, members))

    async def _decision(self, proposal: Callable[[int], Input]) -> Accepted | Rejected:
        number = next(self._numbers)
        future: asyncio.Future[Accepted | Rejected] = asyncio.get_running_loop().create_future()
        self._proposals[number] = future
        self.step(proposal(number))
        return await future

    def _rejected(self, decision: Rejected) -> Body:
        if decision.reason == "outcome_unknown":
            return Refused(ErrorKind.TIMEOUT, "leadership was lost meanwhile; whether the write was made is unknown")
        if decision.reason == "overloaded":
            return Refused(ErrorKind.UNAVAILABLE, "too many writes at once")
        return self._not_leader(decision.reason)


_encode = msgspec.msgpack.Encoder().encode


def _decode(body: bytes | None) -> Item | None:
    return None if body is None else msgspec.msgpack.decode(body, type=dict)


def _items(page: Page) -> tuple[ItemsAre, int]:
    return ItemsAre(page.bodies, page.more), sum(map(len, page.bodies))


def _operation(body: ReadItem | ReadRange | ReadPage | WriteItem) -> str:
    if isinstance(body, WriteItem):
        return "write"
    if isinstance(body, ReadItem):
        return "strong_read" if body.strong else "eventual_read"
    return "query"


_FAULT_OF = {
    ErrorKind.THROTTLED: "throttled",
    ErrorKind.TABLE_EXISTS: "customer_fault",
    ErrorKind.NO_SUCH_TABLE: "customer_fault",
}


def _outcome(answer: Body) -> str:
    if isinstance(answer, Refused):
        return _FAULT_OF.get(answer.kind, "server_fault")
    return "customer_fault" if isinstance(answer, ConditionFalse | WriteInvalid) else "success"

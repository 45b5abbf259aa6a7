"""One replica in its storage node: carries out what the replica decides, reads and writes its items (shell)."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from cluster.kept import Kept
from cluster.metrics import GroupView, NodeMetrics
from cluster.ports import Evaluate, Partition, Table
from cluster.replication.membership import Members, names
from cluster.replication.messages import (
    Accepted,
    Append,
    Apply,
    ChangeMembers,
    Committed,
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
from cluster.requests import Requests
from cluster.routing.messages import (
    Body,
    ReadItem,
    ReadPage,
    ReadRange,
    WriteItem,
)
from cluster.storage.group_commit import GroupCommit
from cluster.storage.records import WalRecord, is_marker, split_at_markers
from cluster.storage.table import ItemTable, TableDamaged
from cluster.watch import Watch

if TYPE_CHECKING:
    from cluster.scrub.scrub import Scrub

logger = logging.getLogger("cluster")

WARMING_SECONDS = 5.0
"""A replica that was opened answers no eventual read until it has caught up, or this has passed without a leader."""


class Surroundings(Protocol):
    """What a group asks of the node that hosts it."""

    name: str
    items: ItemTable
    log: GroupCommit
    metrics: NodeMetrics
    scrub: "Scrub"

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
        self._node, self._clock, self._watch = node, clock, watch
        self._opened_at = self._heard_at = clock()
        self.kept = Kept.ITEMS
        self._warm = False
        self._stopped = False
        self._heard_committed: int | None = None
        self._numbers: Iterator[int] = itertools.count(1)
        self._proposals: dict[int, asyncio.Future[Accepted | Rejected]] = {}
        self.requests = Requests(self, evaluate=evaluate, node=node, clock=clock)
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
            for part in split_at_markers(entries):
                self._node.items.apply(self.name, part)
                # After a snapshot the items may be ahead of the log: then they are not those of the marker any more.
                if is_marker(part[-1].payload) and self._node.items.applied(self.name) == part[-1].lsn:
                    self._node.scrub.marked(self.name, part[-1].lsn)
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
        if isinstance(message, Heartbeat | Committed):
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

    def is_warm(self) -> bool:
        """Whether it has caught up with its group, so that eventual reads are no older than usual."""
        if not self._warm:
            heard = self._heard_committed
            caught_up = self.leads() or (heard is not None and self.replica.applied_lsn >= heard)
            self._warm = caught_up or self._clock() - self._opened_at > WARMING_SECONDS
        return self._warm

    # --- requests -------------------------------------------------------------------------------------------------------

    async def answer(self, body: ReadItem | ReadRange | ReadPage | WriteItem, deadline: float) -> Body:
        """Answer a router, and count it. ``deadline``: on the loop's clock; after it nobody listens any more."""
        return await self.requests.answer(body, deadline)

    async def propose(self, payload: bytes) -> Accepted | Rejected:
        """Put ``payload`` in the log, if this replica leads."""
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

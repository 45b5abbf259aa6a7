"""A replication group in virtual time: network, disks, clocks, crashes; and what must be true of it at every instant.

Deterministic: one seed, one history. Nothing here sleeps or asks a clock.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.replication.lease import NEVER
from cluster.replication.membership import Member, Members, members_in_zones_of_their_own
from cluster.replication.messages import (
    NO_BALLOT,
    Accepted,
    Append,
    Apply,
    Ballot,
    Effect,
    Entry,
    Input,
    NeedSnapshot,
    Persisted,
    Propose,
    Receive,
    Recovered,
    Rejected,
    RoleChanged,
    Send,
    SnapshotInstalled,
    Tick,
)
from cluster.replication.quorum import majority
from cluster.replication.replica import Replica
from cluster.replication.timing import Timing


@dataclass
class Disk:
    """What survives a crash: the WAL, and the table as of its last checkpoint."""

    promised: Ballot = NO_BALLOT
    committed: int = 0
    first: int = 1
    entries: dict[int, Entry] = field(default_factory=dict)
    last: int = 0
    applied: int = 0
    used: bool = False
    members: Members = ()
    """As of ``applied``."""
    config_lsn: int = 0
    born: int = 0
    log_only: bool = False

    def write(self, append: Append) -> None:
        """An Append reaches the platter."""
        self.used = True
        self.promised, self.committed = append.promised, append.committed
        for entry in append.entries:
            self.entries[entry.lsn] = entry
        if append.entries:
            for lsn in range(append.entries[-1].lsn + 1, self.last + 1):
                self.entries.pop(lsn, None)
            self.last = append.entries[-1].lsn

    def cut(self, upto: int) -> None:
        """Truncate the WAL."""
        for lsn in range(self.first, upto + 1):
            self.entries.pop(lsn, None)
        self.first = max(self.first, upto + 1)
        self.last = max(self.last, upto)

    def recover(self) -> Recovered | None:
        """What a restarted node reads."""
        if not self.used:
            return None
        # A table that was checkpointed ahead of the WAL (others were the quorum) leaves a hole below ``applied`` in it.
        whole = all(lsn in self.entries for lsn in range(self.first, self.applied + 1))
        first = self.first if whole and self.log_only else self.applied + 1
        entries = tuple(self.entries[lsn] for lsn in range(first, self.last + 1))
        return Recovered(
            self.promised, self.committed, entries, first, self.applied, self.members, self.config_lsn, self.born
        )

    def holds(self, lsn: int) -> bool:
        """Whether the write at ``lsn`` survives here."""
        return lsn in self.entries or lsn <= self.applied


@dataclass
class Node:
    """One node: a replica (None when down), its disk, its clock ``offset + rate × time``."""

    name: str
    offset: float
    rate: float
    disk: Disk = field(default_factory=Disk)
    replica: Replica | None = None
    applied: int = 0
    members: Members = ()
    config_lsn: int = 0
    life: int = 0
    up: bool = False
    lost: list[Disk] = field(default_factory=list)
    """Disks that are gone: what a follower stored, and said so, counted when it was said."""
    unwritten: list[Append] = field(default_factory=list)
    disk_free_at: float = 0.0
    paused_until: float = NEVER
    wakeup: float = NEVER

    def clock(self, now: float) -> float:
        """The node's monotonic clock."""
        return self.offset + self.rate * now


class World:
    """The group and its surroundings. Subclass or set the knobs; every step is checked."""

    def __init__(
        self,
        members: tuple[str, ...] = ("az1", "az2", "az3"),
        *,
        spares: tuple[str, ...] = (),
        timing: Timing | None = None,
        seed: int = 0,
    ) -> None:
        self.random = random.Random(seed)
        self.timing = timing or Timing()
        self.members = members
        self.now = 0.0
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.order = 0
        self.group = members_in_zones_of_their_own(*members)
        self.nodes = {name: Node(name, 0.0, 1.0) for name in (*members, *spares)}
        self.cut: set[tuple[str, str]] = set()
        self.delay: Callable[[], float] = lambda: 0.001
        self.fsync: Callable[[], float] = lambda: 0.002
        self.loss = 0.0
        self.double = 0.0
        self.trace: Callable[[str, Input, list[Effect]], None] = lambda *_: None
        self.chosen: dict[int, bytes] = {}
        self.offices: dict[Ballot, tuple[str, int]] = {}
        self.asked: dict[int, tuple[float, bytes]] = {}
        self.acked: dict[int, tuple[float, int]] = {}
        self.refused: dict[int, str] = {}
        self.floor: dict[int, int] = {}
        self.acked_lsn = 0
        self.read_lsn = 0
        self.elections = 0
        self.reads = 0
        self.snapshots = 0

    # --- time ------------------------------------------------------------------------------------------------------------

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do ``action`` at virtual time ``when``."""
        self.order += 1
        heapq.heappush(self.queue, (when, self.order, action))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self.queue and self.queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self.queue)
            action()
        self.now = until

    # --- nodes -----------------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start, or restart, a node from its disk."""
        node = self.nodes[name]
        node.up = True
        if node.replica is not None:
            return
        recovered = node.disk.recover()
        node.applied, node.members, node.config_lsn = node.disk.applied, node.disk.members, node.disk.config_lsn
        if recovered is None and name not in self.members:
            return
        node.replica = Replica(
            "g",
            name,
            self.group,
            self.timing,
            recovered,
            node.clock(self.now),
            log_only=node.disk.log_only,
        )
        node.wakeup = NEVER
        node.paused_until = NEVER
        self.step(name, Tick())

    def host(self, member: Member, members: Members, config_lsn: int) -> None:
        """Make a learner on a node that is up and has no sound replica of the group."""
        node = self.nodes[member.node]
        if node.replica is not None and (node.replica.votes or node.replica.last_lsn):
            node.replica.hold_items(hold=not member.log_only)
            node.disk.log_only = member.log_only
            return
        if not node.up:
            return
        self.crash(member.node)
        node.up = True
        node.disk = Disk(used=True, members=members, config_lsn=config_lsn, born=config_lsn, log_only=member.log_only)
        node.applied, node.members, node.config_lsn = 0, members, config_lsn
        at, recovered = node.clock(self.now), node.disk.recover()
        node.replica = Replica("g", member.node, members, self.timing, recovered, at, log_only=member.log_only)
        node.wakeup = NEVER

    def wipe(self, name: str) -> None:
        """The power goes, and the disk comes back empty."""
        self.crash(name)
        node = self.nodes[name]
        node.lost.append(node.disk)
        node.disk = Disk()

    def crash(self, name: str, *, written: int = 0) -> None:
        """Power off: of the Appends that are not fsynced, the first ``written`` happen to be on the disk."""
        node = self.nodes[name]
        for append in node.unwritten[:written]:
            node.disk.write(append)
        node.replica, node.unwritten, node.up = None, [], False
        node.life += 1

    def pause(self, name: str, seconds: float) -> None:
        """Stop the process; what arrives meanwhile waits."""
        self.nodes[name].paused_until = self.now + seconds

    def step(self, name: str, event: Input, life: int | None = None) -> None:
        """One input to one node, now (or when it is no longer paused)."""
        node = self.nodes[name]
        if node.replica is None or (life is not None and life != node.life):
            return
        if node.paused_until > self.now:
            self.at(node.paused_until, lambda life=node.life: self.step(name, event, life))
            return
        effects = node.replica.step(event, node.clock(self.now))
        self.trace(name, event, effects)
        for effect in effects:
            self._carry_out(node, effect)
        self._schedule(node)
        self._check_leases()

    def _schedule(self, node: Node) -> None:
        assert node.replica is not None
        local = node.replica.next_wakeup(node.clock(self.now))
        when = max((local - node.offset) / node.rate, self.now) + 1e-6
        if node.wakeup <= self.now or when < node.wakeup - 1e-6:
            node.wakeup = when
            self.at(when, lambda life=node.life: self._wake(node, when, life))

    def _wake(self, node: Node, when: float, life: int) -> None:
        if node.wakeup == when:
            self.step(node.name, Tick(), life)

    # --- effects ---------------------------------------------------------------------------------------------------------

    def _carry_out(self, node: Node, effect: Effect) -> None:
        match effect:
            case Append():
                self._append(node, effect)
            case Send():
                self._send(node.name, effect)
            case Apply():
                self._apply(node, effect)
            case Accepted(proposal, lsn) if proposal > 0:
                self._accepted(proposal, lsn)
            case Rejected(proposal, reason) if proposal > 0:
                self.refused[proposal] = reason
            case RoleChanged("leader", ballot):
                self.elections += 1
                assert ballot not in self.offices, f"two terms of office under {ballot}: {self.offices[ballot]}"
                self.offices[ballot] = (node.name, node.life)
            case NeedSnapshot(source, lsn, members) if members is not None:
                self.at(self.now, lambda life=node.life: self._jump(node, lsn, members, life))
            case NeedSnapshot(source, lsn):
                self.at(self.now + 0.05, lambda life=node.life: self._snapshot(node, source, lsn, life))
            case _:
                pass

    def _append(self, node: Node, effect: Append) -> None:
        node.unwritten.append(effect)
        node.disk_free_at = max(self.now, node.disk_free_at) + self.fsync()
        life = node.life

        def written() -> None:
            if node.life == life:
                node.disk.write(effect)
                node.unwritten.remove(effect)
                self.step(node.name, Persisted(effect.token), life)

        self.at(node.disk_free_at, written)

    def _send(self, sender: str, effect: Send) -> None:
        for _ in range(2 if self.random.random() < self.double else 1):
            if (sender, effect.to) in self.cut or self.random.random() < self.loss:
                continue
            self.at(self.now + self.delay(), lambda: self._deliver(sender, effect))

    def _deliver(self, sender: str, effect: Send) -> None:
        if (sender, effect.to) not in self.cut:
            self.step(effect.to, Receive(sender, effect.message))

    def _apply(self, node: Node, effect: Apply) -> None:
        for entry in effect.entries:
            assert entry.lsn == node.applied + 1, f"{node.name} applies {entry.lsn} after {node.applied}"
            known = self.chosen.setdefault(entry.lsn, entry.payload)
            assert known == entry.payload, f"two values at LSN {entry.lsn}: {known!r}, {entry.payload!r}"
            node.applied = entry.lsn
            if entry.members is not None and entry.lsn > node.config_lsn:
                node.members, node.config_lsn = entry.members, entry.lsn

    def _jump(self, node: Node, lsn: int, members: Members, life: int) -> None:
        """A log replica begins after ``lsn``."""
        if node.life == life and node.replica is not None and node.applied < lsn:
            node.applied = node.disk.applied = lsn
            node.members = node.disk.members = members
            node.config_lsn = node.disk.config_lsn = lsn
            node.disk.cut(lsn)
            self.step(node.name, SnapshotInstalled(lsn, members), life)

    def _snapshot(self, node: Node, source: str, lsn: int, life: int) -> None:
        giver = self.nodes[source]
        if node.life != life or node.replica is None or giver.replica is None or giver.applied < lsn:
            return
        self.snapshots += 1
        if giver.applied > node.applied:
            node.applied, node.members, node.config_lsn = giver.applied, giver.members, giver.config_lsn
        self._settle(node)
        node.disk.cut(node.applied)
        self.step(node.name, SnapshotInstalled(node.applied, node.members), life)

    @staticmethod
    def _settle(node: Node) -> None:
        node.disk.applied, node.disk.members, node.disk.config_lsn = node.applied, node.members, node.config_lsn

    def checkpoint(self, name: str, *, truncate: bool) -> None:
        """The table becomes durable; the log before it may go.

        A log replica keeps what is not archived, and there is no archive here.
        """
        node = self.nodes[name]
        if node.replica is not None:
            self._settle(node)
            if truncate and not node.replica.log_only:
                node.disk.cut(node.applied)
                node.replica.truncate(node.applied)

    # --- clients ---------------------------------------------------------------------------------------------------------

    def write(self, name: str) -> int:
        """Propose a new value at a node; the number of the proposal."""
        proposal = len(self.asked) + 1
        self.asked[proposal] = (self.now, b"v%d" % proposal)
        self.floor[proposal] = self.acked_lsn
        self.step(name, Propose(proposal, b"v%d" % proposal))
        return proposal

    def read(self, name: str) -> bool:
        """A strong read of the register, if the node may serve one; linearizable: nothing acknowledged or read before is missing."""
        node = self.nodes[name]
        if node.replica is None or node.paused_until > self.now:
            return False
        if not node.replica.may_serve_strong_read(node.clock(self.now)):
            return False
        floor = max(self.acked_lsn, self.read_lsn)
        assert node.applied >= floor, f"stale strong read at {name}: LSN {node.applied} after {floor} was seen"
        self.read_lsn = node.applied
        self.reads += 1
        return True

    def _accepted(self, proposal: int, lsn: int) -> None:
        assert proposal not in self.acked, f"proposal {proposal} answered twice"
        assert self.refused.get(proposal) is None, f"proposal {proposal} refused, then accepted"
        assert self.chosen[lsn] == self.asked[proposal][1], f"proposal {proposal} is not at LSN {lsn}"
        copies = sum(any(d.holds(lsn) for d in (node.disk, *node.lost)) for node in self.nodes.values())
        assert copies >= majority(min(len(self.members), 3)), f"LSN {lsn} acknowledged with {copies} copies"
        assert lsn > self.floor[proposal], f"LSN {lsn} is older than a write that was acknowledged before it began"
        self.acked[proposal] = (self.now, lsn)
        self.acked_lsn = max(self.acked_lsn, lsn)

    # --- what must be true -----------------------------------------------------------------------------------------------

    def _check_leases(self) -> None:
        holders = [
            node.name
            for node in self.nodes.values()
            if node.replica is not None and node.replica.holds_lease(node.clock(self.now))
        ]
        assert len(holders) <= 1, f"two leases at {self.now:.3f}: {holders}"

    def leader(self) -> str | None:
        """Who may serve now."""
        for node in self.nodes.values():
            if node.replica is not None and node.replica.may_serve_strong_read(node.clock(self.now)):
                return node.name
        return None

"""A partition's log and its archive agents, small enough to be driven step by step."""

import asyncio
import contextlib
import dataclasses

from cluster.archive.agent import ArchiveAgent
from cluster.archive.decision import Limits
from cluster.archive.memory import MemoryStore
from cluster.archive.segment import Place
from cluster.archive.snapshots import Snapshots
from cluster.replication.messages import Ballot, Entry
from cluster.routing.messages import Row
from cluster.storage.records import Change, decode_change, encode_change, item_checksum
from cluster.topology import key_hash

GROUP = "t-1/0"
PLACE = Place(table="t", partition="0", group=GROUP, start=0, end=2**64 - 1)
BALLOT = Ballot(1, "n1")


class Inline:
    """A worker that does the work at once."""

    async def run(self, work):
        """See :class:`cluster.worker.Worker`."""
        return work()

    async def close(self):
        """Nothing to close."""


def entry(lsn, pk="a", body=b"v", *, at=None, ballot=BALLOT):
    """A change of an item at LSN ``lsn``, made at second ``lsn`` unless ``at`` says otherwise; ``body`` None deletes."""
    key = pk.encode()
    change = Change(key_hash(key), key, b"", body, float(lsn) if at is None else at)
    return Entry(lsn, ballot, encode_change(change))


def rows_after(entries):
    """What ``entries`` make of an empty partition, by the rules of the item table, written down once more."""
    rows = {}
    for one in entries:
        if not one.payload:
            continue
        change = decode_change(one.payload)
        place = (change.hash, change.partition_key, change.sort_key)
        rows.pop(place, None)
        if change.body is not None:
            checksum = item_checksum(change.partition_key, change.sort_key, lsn=one.lsn, body=change.body)
            rows[place] = Row(*place, one.lsn, checksum, change.body)
    return tuple(row for _, row in sorted(rows.items()))


@dataclasses.dataclass
class Counted:
    """What an agent counted."""

    segments: int = 0
    mismatches: int = 0
    gaps: int = 0

    def segment_archived(self):
        """A segment was archived."""
        self.segments += 1

    def mismatch(self):
        """The archive and the replica differ."""
        self.mismatches += 1

    def gap(self):
        """Entries are missing for good."""
        self.gaps += 1


class Peer:
    """One replica: its own copy of the log from ``first`` on, as much of it as it knows to be committed."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.log, self.first, self.committed, self.alive = {}, 1, 0, True
        self.counted = Counted()
        self.open()

    def open(self):
        """Start (or restart) its agent: all that it knew of the archive is forgotten."""
        self.agent = ArchiveAgent(
            self.name,
            store=self.world.store,
            worker=Inline(),
            limits=self.world.limits,
            snapshots=Snapshots(Inline(), every=self.world.every, retention_days=None, wall=lambda: self.world.now),
            sources=lambda: [self],
            counts=self.counted,
            clock=lambda: self.world.now,
            stalled=lambda: self.name in self.world.stalled,
        )

    # --- what the agent sees (cluster.archive.agent.Source) ---------------------------------------------------------------

    @property
    def place(self):
        """See Source."""
        return PLACE

    @property
    def leads(self):
        """See Source."""
        return self.world.leader == self.name

    def between(self, first, last):
        """See Source."""
        return tuple(self.log[lsn] for lsn in range(max(first, self.first), last + 1) if lsn in self.log)

    def rows(self):
        """See Source."""
        return self.committed, rows_after(self.world.entries[: self.committed])

    # --- what happens to it -------------------------------------------------------------------------------------------------

    def learn(self, upto):
        """Everything up to ``upto`` is committed; what is too old to be in anybody's log comes as a snapshot."""
        floor = min(peer.first for peer in self.world.peers)
        if self.committed + 1 < floor:
            self.log, self.first, self.committed = {}, upto + 1, upto
            return
        for one in self.world.entries[self.committed : upto]:
            self.log[one.lsn] = under_own_ballot(one, self.name)
        self.committed = max(self.committed, upto)

    def truncate(self):
        """Forget what is archived and verified."""
        upto = min(self.agent.archived_lsn(GROUP), self.committed)
        for lsn in range(self.first, upto + 1):
            self.log.pop(lsn, None)
        self.first = max(self.first, upto + 1)

    async def round(self):
        """One round of its agent."""
        if self.alive:
            await self.agent.round()


def under_own_ballot(one, name):
    """The same chosen entry under a ballot of the replica's own: ballots may differ between replicas."""
    return Entry(one.lsn, Ballot(one.lsn, name), one.payload, one.members)


class World:
    """A group of replicas, the log that was chosen, an archive, and a clock that is turned by hand."""

    def __init__(self, names=("n1", "n2", "n3"), *, seal_entries=5, every=3, store=None):
        self.now, self.leader, self.entries, self.stalled = 1000.0, names[0], [], set()
        self.store = store or MemoryStore()
        self.limits, self.every = Limits(seal_seconds=10.0, seal_entries=seal_entries), every
        self.peers = [Peer(self, name) for name in names]

    def write(self, count=1, *, pk="a", learned_by=None):
        """Choose ``count`` more entries; the named replicas (all by default) learn of it."""
        for _ in range(count):
            lsn = len(self.entries) + 1
            self.entries.append(entry(lsn, f"{pk}{lsn % 7}", None if lsn % 11 == 0 else b"v%d" % lsn))
        for peer in self.peers:
            if learned_by is None or peer.name in learned_by:
                peer.learn(len(self.entries))

    async def pass_time(self, seconds):
        """A round of every replica a second."""
        for _ in range(int(seconds)):
            self.now += 1.0
            for peer in self.peers:
                await peer.round()


class GatedStore(MemoryStore):
    """Every call waits until the test lets it through: any interleaving, and a crash at any point between two calls."""

    def __init__(self):
        super().__init__()
        self.waiting = []

    async def _turn(self):
        gate = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        try:
            await gate
        finally:
            self.waiting.remove(gate)
        await super()._turn()

    def let_through(self, number):
        """Let one of the waiting calls go on."""
        gates = [gate for gate in self.waiting if not gate.done()]
        if gates:
            gates[number % len(gates)].set_result(None)


def run(coroutine):
    """Run to the end."""
    return asyncio.run(coroutine)


@contextlib.contextmanager
def stalled(store):
    """The archive refuses meanwhile."""
    store.stalled = True
    yield
    store.stalled = False

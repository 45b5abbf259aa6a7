"""A changed byte anywhere in a stopped node's files, and a disk that fills up at any moment."""

import dataclasses
import random

import apsw
import pytest

from cluster.disk import RealDisk
from cluster.replication.messages import Entry
from cluster.storage.records import Change, GroupLog, WalRecord, decode_change, encode_change, replay
from cluster.storage.table import CorruptItem, ItemTable, TableDamaged
from cluster.storage.wal import Wal
from cluster.topology import key_hash
from fivenines.simulation.disk import SimulatedDisk
from tests.cluster.storage_world import BALLOT, got, opened, table

GROUPS = ("t/0", "u/0")
KEYS = tuple(b"key %d" % number for number in range(12))


@dataclasses.dataclass
class Node:
    """A storage node's files, and what was acknowledged: the last LSN and the items of each group."""

    disk: object
    wal: Wal
    items: ItemTable
    last: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(GROUPS, 0))
    model: dict = dataclasses.field(default_factory=lambda: {group: {} for group in GROUPS})

    @classmethod
    def on(cls, disk):
        """A new node."""
        made = cls(disk, opened(disk)[0], ItemTable(disk))
        for group in GROUPS:
            made.items.host(group, table(group))
        made.items.make_durable()
        return made

    def write(self, draw, count=1):
        """Acknowledged writes: in the log, then in the table."""
        for _ in range(count):
            group, pk = draw.choice(GROUPS), draw.choice(KEYS)
            body = None if draw.random() < 0.1 else draw.randbytes(draw.randint(1, 700))
            lsn = self.last[group] + 1
            change = Change(key_hash(pk), pk, b"", body, 1.0)
            entry = Entry(lsn, BALLOT, encode_change(change))
            self.wal.append([WalRecord(group, BALLOT, lsn - 1, (entry,))])
            self.last[group] = lsn
            self.model[group][pk] = body
            self.items.apply(group, [entry])

    def settle(self, keep=0):
        """What housekeeping does: items durable, log compacted up to ``keep`` entries."""
        self.items.commit()
        self.items.make_durable()
        self.wal.compact({group: max(0, lsn - keep) for group, lsn in self.last.items()})
        self.items.checkpoint()

    def stop(self):
        """Stop it in good order."""
        self.wal.seal()
        self.items.close()
        self.disk.close()


def aged_node(disk, monkeypatch, *, busy=True):
    """A node with every kind of file: several segments, a database, its log with old and new frames, and a mark.

    ``busy``: it was writing when it was stopped; otherwise it had folded its items' log just before.
    """
    monkeypatch.setattr("cluster.storage.wal.SEGMENT_BYTES", 4000)
    draw = random.Random(7)
    node = Node.on(disk)
    node.write(draw, 60)
    node.settle()
    node.write(draw, 15)
    node.items.commit()
    node.items.make_durable()
    node.items.checkpoint()
    node.write(draw, 6)
    if busy:
        node.items.commit()
        node.write(draw, 6)
    else:
        node.settle()
    node.stop()
    return node


def reopened(disk, node):
    """Open the files as a node does. What is reported, by group; raises AssertionError when something is silently wrong."""
    wal = Wal(disk)
    recovery = wal.recover()
    items = ItemTable(disk)
    hosted = items.groups()
    lost = recovery.lost_among(hosted)
    wal.settle(lost)
    logs = replay(recovery.records)
    reported = {}
    for group in GROUPS:
        log = logs.get(group, GroupLog())
        applied = items.applied(group) if group in hosted else 0
        if group in lost:
            reported[group] = "lost"
        elif log.misses(applied):
            reported[group] = "rebuilding"
        else:
            reported[group] = _compare(node, group, items if group in hosted else None, log.recovered(applied))
    items.close(crash=True)
    disk.close()
    return reported


def _compare(node, group, items, recovered):
    """``intact`` if a group's items and the rest of its log are what was acknowledged, else what is reported on reading."""
    last = recovered.applied + len(recovered.entries)
    assert last >= node.last[group], f"{group} has silently lost what comes after LSN {last}"
    newer = {}
    for entry in recovered.entries:
        change = decode_change(entry.payload)
        newer[change.partition_key] = change.body
    for pk, body in node.model[group].items():
        try:
            found = newer[pk] if pk in newer else items and got(items, pk, group=group)
        except (CorruptItem, TableDamaged):
            return "damaged"
        assert found == body, f"{group} {pk}: a wrong value"
    return "intact"


def files_of(disk):
    """All files by name."""
    return {name: disk.read(name) for folder in ("", "wal") for name in disk.names(folder)}


def copy_of(files):
    """A disk with these files."""
    disk = SimulatedDisk("copy")
    for name, data in files.items():
        disk.replace(name, data)
    return disk


def test_a_stopped_node_is_intact(monkeypatch):
    """Without damage nothing is reported, and every kind of file is there to be damaged."""
    disk = SimulatedDisk("n")
    node = aged_node(disk, monkeypatch)
    files = files_of(disk)
    assert len([name for name in files if name.startswith("wal/")]) >= 2
    assert {"items.db", "items.db-wal", "items.db-mark"} <= set(files)
    assert reopened(copy_of(files), node) == dict.fromkeys(GROUPS, "intact")


@pytest.mark.proof
@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize("part", range(2))
def test_a_changed_byte_anywhere_is_noticed_or_harmless(monkeypatch, part, busy):
    """Whichever byte of whichever file changes: opening works, and every group is intact or reported; nothing is silently wrong."""
    disk = SimulatedDisk("n")
    node = aged_node(disk, monkeypatch, busy=busy)
    files = files_of(disk)
    draw = random.Random(part)
    seen = set()
    for name, data in files.items():
        stride = max(1, len(data) // 120)
        for offset in range(draw.randrange(stride), len(data), stride):
            copy = copy_of(files)
            copy.corrupt(name, offset, 1 << draw.randrange(8))
            seen |= {(name.split("/")[0], verdict) for verdict in reopened(copy, node).values()}
    assert ("wal", "lost") in seen
    # A busy node's log has what its items lose.
    assert ("items.db-wal", "intact" if busy else "rebuilding") in seen
    assert {("items.db", "damaged"), ("items.db", "rebuilding"), ("items.db", "intact")} & seen


def test_a_changed_byte_on_a_real_disk_is_noticed_or_harmless(monkeypatch, tmp_path):
    """The same on real files, at fewer places."""
    real = RealDisk(tmp_path / "n", "n")
    node = aged_node(real, monkeypatch)
    files = files_of(real)
    draw = random.Random(3)
    for number in range(60):
        name = draw.choice(sorted(files))
        disk = RealDisk(tmp_path / str(number), "n")
        for copied, data in files.items():
            at = draw.randrange(len(data))
            disk.replace(copied, data if copied != name else data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        reopened(disk, node)


def test_a_file_that_is_cut_off_anywhere_is_noticed_or_harmless(monkeypatch):
    """A file that has lost its end, or all of it, is noticed too, and so is one that has vanished."""
    disk = SimulatedDisk("n")
    node = aged_node(disk, monkeypatch)
    files = files_of(disk)
    draw = random.Random(9)
    for name, data in files.items():
        if name == "items.db-mark":
            continue
        for _ in range(12):
            reopened(copy_of({**files, name: data[: draw.randrange(len(data))]}), node)
        reopened(copy_of({other: kept for other, kept in files.items() if other != name}), node)


class FullFor:
    """A disk that is full at its ``first`` … ``last`` question."""

    def __init__(self, first, last):
        self.first, self.last, self.asked = first, last, 0

    def fsync_factor(self, component):
        """As fast as ever."""
        return 1.0

    def disk_full(self, component):
        """As told."""
        self.asked += 1
        return self.first <= self.asked <= self.last


@pytest.mark.parametrize("first", range(0, 240, 60))
def test_a_disk_that_fills_up_at_any_moment_loses_nothing(monkeypatch, first):
    """Whatever is refused may be tried again when there is space; what was acknowledged before, meanwhile and after is there."""
    monkeypatch.setattr("cluster.storage.wal.SEGMENT_BYTES", 2000)
    for start in range(first, first + 60, 3):
        draw = random.Random(start)
        disk = SimulatedDisk("n", FullFor(10**9, 0), random.Random(start))
        node = Node.on(disk)
        disk._faults = FullFor(start, start + draw.randrange(12))
        refused = 0
        while sum(node.last.values()) < 60:
            try:
                node.write(draw)
                if draw.random() < 0.2:
                    node.settle(keep=10)
            except (OSError, apsw.Error):
                refused += 1
        for _ in range(20):
            try:
                node.settle(keep=10)
                break
            except (OSError, apsw.Error):
                refused += 1
        assert refused or disk._faults.asked < start
        node.stop()
        assert reopened(disk, node) == dict.fromkeys(GROUPS, "intact")

"""What the storage tests share: records, tables, and disks that fail."""

import errno

from cluster.config import ClusterConfig
from cluster.control.catalogue import place
from cluster.ports import ItemKey, KeyAttribute, Table
from cluster.replication.messages import Ballot, Entry
from cluster.storage.records import Change, WalRecord, encode_change
from cluster.storage.table import ItemTable
from cluster.storage.wal import Recovery, Wal
from cluster.topology import key_hash

BALLOT = Ballot(1, "az1-node-1")
GROUP = "t/0"


def record(lsn, *, group="g", payload=b"x", committed=0):
    """A WAL record with one entry."""
    return WalRecord(group, BALLOT, committed, (Entry(lsn, BALLOT, payload),))


def opened(disk) -> tuple[Wal, Recovery]:
    """A WAL and what it recovered, after which it may be appended to."""
    wal = Wal(disk)
    recovery = wal.recover()
    wal.settle(recovery.lost_among(()))
    return wal, recovery


def entries_of(recovery, group="g"):
    """The entries of a group that a recovery brought back, in the order of writing."""
    return [entry for found in recovery.records if found.group == group for entry in found.entries]


def table(name="t"):
    """A table of one partition."""
    return Table(
        name=name,
        id=name,
        hash_key=KeyAttribute("pk", "S"),
        range_key=KeyAttribute("sk", "S"),
        partitions=place(ClusterConfig(), 1),
        created_at=0.0,
    )


def put(items: ItemTable, lsn, pk, sk=b"", body=b"body"):
    """Apply one change."""
    change = Change(key_hash(pk), pk, sk, body)
    items.apply(GROUP, [Entry(lsn, BALLOT, encode_change(change))])


def got(items: ItemTable, pk, sk=b"", *, group=GROUP):
    """Read one item."""
    return items.get(group, key_hash(pk), ItemKey(pk, sk))


class DiskTrouble:
    """Installed faults of a disk: ``full``, and how many times as slow."""

    def __init__(self):
        self.full, self.factor = False, 1.0

    def fsync_factor(self, component):
        """As told."""
        return self.factor

    def disk_full(self, component):
        """As told."""
        return self.full


def no_space():
    """What a full disk says."""
    return OSError(errno.ENOSPC, "No space left on device")

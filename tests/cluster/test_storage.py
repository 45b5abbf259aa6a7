"""The WAL, group commit and the item table, on real files."""

import asyncio
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config import ClusterConfig
from cluster.control.catalogue import place
from cluster.disk import RealDisk
from cluster.ports import Bounds, ItemKey, KeyAttribute, Table
from cluster.replication.messages import Ballot, Entry
from cluster.storage.group_commit import GroupCommit
from cluster.storage.records import Change, GroupLog, WalRecord, decode_records, encode_change, encode_record, replay
from cluster.storage.table import CorruptItem, ItemTable
from cluster.storage.wal import Wal, WalDamaged
from cluster.topology import key_hash
from cluster.worker import ThreadWorker

BALLOT = Ballot(1, "az1-node-1")


def record(lsn, *, group="g", payload=b"x", committed=0):
    """A WAL record with one entry."""
    return WalRecord(group, BALLOT, committed, (Entry(lsn, BALLOT, payload),))


def opened(path):
    """A WAL and what it recovered."""
    wal = Wal(RealDisk(path, "az1-node-1"))
    return wal, wal.recover()


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


@pytest.fixture
def items(tmp_path):
    """An item table that hosts one group."""
    made = ItemTable(RealDisk(tmp_path, "az1-node-1"))
    made.host("t/0", table())
    yield made
    made.close()


def put(items, lsn, pk, sk=b"", body=b"body"):
    """Apply one change."""
    change = Change(key_hash(pk), pk, sk, body)
    items.apply("t/0", [Entry(lsn, BALLOT, encode_change(change))])


# --- records ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 20), max_size=20), st.data())
def test_a_torn_tail_loses_only_itself(lsns, data):
    """Wherever the power goes, the records before the cut are read and nothing after it."""
    encoded = [encode_record(record(lsn)) for lsn in lsns]
    whole = b"".join(encoded)
    cut = data.draw(st.integers(0, len(whole)))
    found, sound = decode_records(whole[:cut])
    assert sound <= cut
    assert b"".join(encoded[: len(found)]) == whole[:sound]
    assert len(found) == len(lsns) or sound + len(encoded[len(found)]) > cut


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 3)), max_size=12), st.integers(0, 8))
def test_a_summary_stands_for_the_log(appends, after):
    """Replaying a summary gives the log without what the summary was told to leave out."""
    log = GroupLog()
    for first, count in appends:
        entries = tuple(Entry(first + i, BALLOT, b"") for i in range(count))
        log.replay(WalRecord("g", BALLOT, first, entries))
    again = GroupLog()
    again.replay(WalRecord("g", Ballot(9, "x"), 99, (Entry(1, BALLOT, b"old"),)))
    again.replay(log.summary("g", after))
    assert (again.promised, again.committed) == (log.promised, log.committed)
    assert again.entries == {lsn: entry for lsn, entry in log.entries.items() if lsn > after}


def test_recovered_entries_are_consecutive():
    """A replica is told the entries that follow its items without a hole."""
    log = replay([record(1), record(2), record(3), record(5)])["g"]
    recovered = log.recovered(1)
    assert [entry.lsn for entry in recovered.entries] == [2, 3]
    assert (recovered.first_lsn, recovered.applied) == (2, 1)


# --- WAL ----------------------------------------------------------------------------------------------------------------


def test_wal_keeps_what_it_made_durable(tmp_path):
    """What was appended is read again, in order."""
    wal, _ = opened(tmp_path)
    for lsn in range(1, 4):
        assert wal.append(encode_record(record(lsn))) >= 0.0
    assert opened(tmp_path)[1] == [record(1), record(2), record(3)]


def test_wal_cuts_a_torn_tail_off(tmp_path):
    """Half a record at the end is cut off, and appending goes on behind the sound part."""
    wal, _ = opened(tmp_path)
    wal.append(encode_record(record(1)) + encode_record(record(2))[:-3])
    wal, found = opened(tmp_path)
    assert found == [record(1)]
    wal.append(encode_record(record(2)))
    assert opened(tmp_path)[1] == [record(1), record(2)]


def test_damage_in_an_older_segment_is_not_a_torn_tail(tmp_path):
    """A segment that is not the newest was complete once: damage there is an error, not a tail to cut off."""
    wal, _ = opened(tmp_path)
    wal.append(encode_record(record(1)))
    (tmp_path / "wal" / "0000000002.wal").write_bytes(encode_record(record(2)))
    first = tmp_path / "wal" / "0000000001.wal"
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(WalDamaged):
        opened(tmp_path)


def test_compaction_keeps_the_state(tmp_path):
    """A compacted WAL is one segment with the wanted groups' state, and appending goes on."""
    wal, _ = opened(tmp_path)
    for lsn in range(1, 101):
        wal.append(encode_record(record(lsn, committed=lsn - 1)))
    wal.append(encode_record(record(1, group="gone")))
    before = wal.size
    wal.compact({"g": 90})
    wal.append(encode_record(record(101)))
    assert wal.size < before / 5
    logs = replay(opened(tmp_path)[1])
    assert list(logs) == ["g"]
    assert sorted(logs["g"].entries) == list(range(91, 102))
    assert (logs["g"].start, logs["g"].committed) == (90, 99)
    assert len(list((tmp_path / "wal").iterdir())) == 1


class FullDisk:
    """A disk that has no space while ``full``."""

    def __init__(self):
        self.full = False

    def fsync_factor(self, component):
        """It is as fast as any."""
        return 1.0

    def disk_full(self, component):
        """As told."""
        return self.full


def test_a_refused_append_leaves_nothing(tmp_path, monkeypatch):
    """When the disk fills up in the middle of an append, no half record stays for later ones to follow."""
    wal, _ = opened(tmp_path)
    wal.append(encode_record(record(1)))

    append = RealDisk.append

    def half(self, name, data):
        append(self, name, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(RealDisk, "append", half)
        with pytest.raises(OSError, match="full"):
            wal.append(encode_record(record(2)))
    wal.append(encode_record(record(3)))
    assert opened(tmp_path)[1] == [record(1), record(3)]


# --- group commit -------------------------------------------------------------------------------------------------------


async def test_group_commit_shares_fsyncs(tmp_path):
    """Many records that wait together need few fsyncs, and their callbacks come in order."""
    wal, _ = opened(tmp_path)
    fsyncs, done = [], []
    log = GroupCommit(wal, ThreadWorker("az1-node-1"), took=fsyncs.append, name="az1-node-1")
    task = asyncio.create_task(log.run())
    for lsn in range(1, 201):
        log.add(record(lsn), lambda lsn=lsn: done.append(lsn))
    await log.settled()
    assert done == list(range(1, 201))
    assert len(fsyncs) <= 2
    task.cancel()
    await log.close()


async def test_group_commit_waits_for_space(tmp_path):
    """While the disk is full nothing is called durable; when there is space again everything is, in order."""
    faults = FullDisk()
    wal = Wal(RealDisk(tmp_path, "az1-node-1", faults))
    wal.recover()
    done = []
    log = GroupCommit(wal, ThreadWorker("az1-node-1"), took=lambda _: None, name="az1-node-1")
    task = asyncio.create_task(log.run())
    faults.full = True
    for lsn in (1, 2):
        log.add(record(lsn), lambda lsn=lsn: done.append(lsn))
    async with asyncio.timeout(2):
        while not log.full:
            await asyncio.sleep(0.01)
    assert done == []
    faults.full = False
    await log.settled()
    assert done == [1, 2]
    assert not log.full
    task.cancel()
    await log.close()


# --- items --------------------------------------------------------------------------------------------------------------


def test_applied_survives_with_its_items(tmp_path):
    """After a crash the items are those of the last commit, and so is the LSN."""
    items = ItemTable(RealDisk(tmp_path, "az1-node-1"))
    items.host("t/0", table())
    put(items, 1, b"a")
    items.commit()
    put(items, 2, b"b")
    items.close(crash=True)
    items = ItemTable(RealDisk(tmp_path, "az1-node-1"))
    assert items.applied("t/0") == 1
    assert items.get("t/0", key_hash(b"a"), ItemKey(b"a")) == b"body"
    assert items.get("t/0", key_hash(b"b"), ItemKey(b"b")) is None
    items.close()


def test_an_entry_is_applied_once(items):
    """An entry at or below the applied LSN changes nothing."""
    put(items, 5, b"a", body=b"new")
    put(items, 4, b"a", body=b"old")
    assert items.get("t/0", key_hash(b"a"), ItemKey(b"a")) == b"new"


def test_range_obeys_bounds_order_and_limit(items):
    """A range holds what its bounds say, in the order asked for, with ``more`` when something is left."""
    for lsn, sk in enumerate((b"a", b"b", b"c", b"d"), start=1):
        put(items, lsn, b"p", sk, body=sk)

    def read(bounds=None, *, forward=True, limit=None, after=None):
        page = items.range("t/0", key_hash(b"p"), b"p", bounds or Bounds(), forward=forward, limit=limit, after=after)
        return b"".join(page.bodies), page.more

    assert read() == (b"abcd", False)
    assert read(forward=False, limit=2) == (b"dc", True)
    assert read(forward=False, after=b"c") == (b"ba", False)
    assert read(limit=4) == (b"abcd", False)
    assert read(Bounds(lower=b"b", upper=b"d", upper_inclusive=False)) == (b"bc", False)
    assert read(Bounds(lower=b"b", lower_inclusive=False), limit=1) == (b"c", True)


def test_pages_cover_the_ring_once(items):
    """Page after page, every item is met exactly once, in ring order."""
    keys = [str(n).encode() for n in range(50)]
    for lsn, pk in enumerate(keys, start=1):
        put(items, lsn, pk, body=pk)
    met, after = [], None
    while True:
        page = items.page("t/0", hash_=key_hash(after.partition_key) if after else 0, after=after, limit=7)
        met += page.bodies
        if not page.more:
            break
        after = ItemKey(page.bodies[-1])
    assert met == sorted(keys, key=key_hash)


def test_a_page_ends_at_a_megabyte(items):
    """A page does not grow without bound."""
    for lsn in range(1, 31):
        put(items, lsn, str(lsn).encode(), body=b"x" * 100_000)
    page = items.page("t/0", hash_=0, after=None, limit=None)
    assert page.more
    assert sum(map(len, page.bodies)) <= 1024 * 1024 + 100_000


def test_damage_is_found_and_undone(items):
    """Every damaged item is refused by its checksum; mending restores all but those written since."""
    put(items, 1, b"a")
    put(items, 2, b"b")
    assert items.damage() == 2
    with pytest.raises(CorruptItem):
        items.get("t/0", key_hash(b"a"), ItemKey(b"a"))
    put(items, 3, b"a", body=b"rewritten")
    assert items.mend() == 1
    assert items.get("t/0", key_hash(b"a"), ItemKey(b"a")) == b"rewritten"
    assert items.get("t/0", key_hash(b"b"), ItemKey(b"b")) == b"body"


def test_a_snapshot_replaces_a_group(items, tmp_path):
    """What a snapshot installs is what its source held, and nothing else."""
    for lsn in range(1, 11):
        put(items, lsn, str(lsn).encode())
    rows, more = items.rows("t/0", None)
    assert not more
    other = ItemTable(RealDisk(tmp_path, "az1-node-1"), "other.db")
    other.host("t/0", table())
    put(other, 1, b"stale")
    other.install("t/0", rows, 10)
    assert other.rows("t/0", None) == (rows, False)
    assert other.applied("t/0") == 10
    other.close()


def test_dropping_a_group_frees_its_items(items):
    """A dropped group leaves no items, and its name may be hosted again, empty."""
    put(items, 1, b"a")
    items.drop("t/0")
    assert items.groups() == {}
    items.host("t/0", table())
    assert items.get("t/0", key_hash(b"a"), ItemKey(b"a")) is None
    assert items.applied("t/0") == 0

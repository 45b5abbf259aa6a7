"""The item table, on real files."""

import apsw
import pytest

from cluster.disk import RealDisk
from cluster.ports import Bounds, ItemKey
from cluster.replication.membership import Config, Member
from cluster.replication.messages import NO_BALLOT, Entry
from cluster.storage.recent import RecentItems
from cluster.storage.records import Change, encode_change
from cluster.storage.table import GATHERED_CHANGES, CorruptItem, ItemTable
from cluster.topology import key_hash
from tests.cluster.storage_world import BALLOT, GROUP, DiskTrouble, got, put, table


@pytest.fixture
def items(tmp_path):
    """An item table that hosts one group."""
    made = ItemTable(RealDisk(tmp_path, "n"))
    made.host("t/0", table())
    yield made
    made.close()


def test_applied_survives_with_its_items(tmp_path):
    """After a crash the items are those of the last commit, and so is the LSN."""
    items = ItemTable(RealDisk(tmp_path, "n"))
    items.host("t/0", table())
    put(items, 1, b"a")
    items.commit()
    put(items, 2, b"b")
    items.close(crash=True)
    items = ItemTable(RealDisk(tmp_path, "n"))
    assert items.applied("t/0") == 1
    assert got(items, b"a") == b"body"
    assert got(items, b"b") is None
    items.close()


def test_an_entry_is_applied_once(items):
    """An entry at or below the applied LSN changes nothing."""
    put(items, 5, b"a", body=b"new")
    put(items, 4, b"a", body=b"old")
    assert got(items, b"a") == b"new"


def delete(items, lsn, pk):
    """Apply the deletion of one item."""
    items.apply(GROUP, [Entry(lsn, BALLOT, encode_change(Change(key_hash(pk), pk, b"", None)))])


def test_what_is_gathered_in_memory_is_read_like_what_is_written(items):
    """Whether a key's newest change is written to the file yet makes no difference to any reader."""

    def everything():
        rows, _ = items.rows(GROUP, None)
        return {row.partition_key: (row.body, row.lsn) for row in rows}

    put(items, 1, b"a", body=b"1")
    put(items, 2, b"a", body=b"2")
    put(items, 3, b"b", body=b"3")
    assert (got(items, b"a"), got(items, b"b")) == (b"2", b"3")
    assert everything() == {b"a": (b"2", 2), b"b": (b"3", 3)}
    delete(items, 4, b"a")
    assert got(items, b"a") is None
    assert everything() == {b"b": (b"3", 3)}
    delete(items, 5, b"b")
    put(items, 6, b"b", body=b"6")
    items.commit()
    assert (got(items, b"b"), everything()) == (b"6", {b"b": (b"6", 6)})


def test_only_so_much_is_gathered_in_memory(items):
    """Many keys' changes are written before the next commit."""
    for lsn in range(1, 2 * GATHERED_CHANGES):
        put(items, lsn, str(lsn).encode())
        assert len(items._gathered) <= GATHERED_CHANGES
    assert len(items.rows(GROUP, None)[0]) == 2 * GATHERED_CHANGES - 1


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
        got(items, b"a")
    put(items, 3, b"a", body=b"rewritten")
    assert items.mend() == 1
    assert got(items, b"a") == b"rewritten"
    assert got(items, b"b") == b"body"


def test_a_snapshot_replaces_a_group(items, tmp_path):
    """What a snapshot installs is what its source held, and nothing else."""
    for lsn in range(1, 11):
        put(items, lsn, str(lsn).encode())
    rows, more = items.rows("t/0", None)
    assert not more
    other = ItemTable(RealDisk(tmp_path, "n"), "other.db")
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
    assert got(items, b"a") is None
    assert items.applied("t/0") == 0


def test_members_are_kept_with_the_items_of_their_entry(tmp_path):
    """An entry that changes the members does so in the transaction that counts it as applied."""
    items = ItemTable(RealDisk(tmp_path, "n"))
    items.host("t/0", table())
    assert items.config("t/0") == Config()
    members = (Member("a", "az1"), Member("b", "az2", log_only=True))
    items.apply("t/0", [Entry(1, BALLOT, b"", members)])
    assert items.config("t/0") == Config(members, 1)
    items.close(crash=True)
    items = ItemTable(RealDisk(tmp_path, "n"))
    assert (items.applied("t/0"), items.config("t/0")) == (0, Config())
    items.apply("t/0", [Entry(1, BALLOT, b"", members)])
    items.close()
    items = ItemTable(RealDisk(tmp_path, "n"))
    assert (items.applied("t/0"), items.config("t/0")) == (1, Config(members, 1))
    items.close()


def test_the_ballot_of_what_was_applied_last_survives(tmp_path):
    """It says whether the log holds the very entry; after a snapshot nothing is known of it."""
    items = ItemTable(RealDisk(tmp_path, "n"))
    items.host("t/0", table())
    assert items.ballot("t/0") == NO_BALLOT
    put(items, 3, b"a")
    items.close()
    items = ItemTable(RealDisk(tmp_path, "n"))
    assert items.ballot("t/0") == BALLOT
    items.install("t/0", (), 9)
    items.close()
    items = ItemTable(RealDisk(tmp_path, "n"))
    assert (items.applied("t/0"), items.ballot("t/0")) == (9, NO_BALLOT)
    items.close()


def test_a_table_of_the_version_before_is_upgraded(tmp_path):
    """Its groups and items stay; the ballot that it did not keep is not known."""
    items = ItemTable(RealDisk(tmp_path, "n"))
    items.host("t/0", table())
    put(items, 3, b"a")
    items.commit()
    for statement in ("COMMIT", "ALTER TABLE groups DROP COLUMN ballot", "PRAGMA user_version=2", "BEGIN"):
        items._db.execute(statement)
    items.close(crash=True)
    items = ItemTable(RealDisk(tmp_path, "n"))
    assert items.set_aside is None
    assert (items.applied("t/0"), items.ballot("t/0"), got(items, b"a")) == (3, NO_BALLOT, b"body")
    put(items, 4, b"b")
    items.close()
    items = ItemTable(RealDisk(tmp_path, "n"))
    assert (items.applied("t/0"), items.ballot("t/0")) == (4, BALLOT)
    items.close()


def test_a_commit_that_the_disk_refuses_loses_nothing(tmp_path):
    """While the disk is full commits fail and everything can still be read; when there is space again it is committed."""
    trouble = DiskTrouble()
    items = ItemTable(RealDisk(tmp_path, "n", trouble))
    items.host("t/0", table())
    put(items, 1, b"a")
    trouble.full = True
    for lsn in (2, 3):
        put(items, lsn, b"b", body=b"body %d" % lsn)
        with pytest.raises(apsw.FullError):
            items.commit()
        assert got(items, b"b") == b"body %d" % lsn
    assert got(items, b"a") == b"body"
    for change in (lambda: items.host("t/1", table("u")), lambda: items.install("t/0", (), 9)):
        with pytest.raises(apsw.FullError):
            change()
    trouble.full = False
    items.commit()
    items.close(crash=True)
    items = ItemTable(RealDisk(tmp_path, "n"))
    assert (list(items.groups()), items.applied("t/0")) == (["t/0"], 3)
    assert (got(items, b"a"), got(items, b"b")) == (b"body", b"body 3")
    items.close()


def test_a_snapshot_that_the_disk_refuses_is_not_there(tmp_path):
    """Installing a snapshot is all or nothing, also when what was changed before could be committed."""
    trouble = DiskTrouble()
    items = ItemTable(RealDisk(tmp_path, "n", trouble))
    items.host("t/0", table())
    put(items, 1, b"a")
    items.commit()
    trouble.full = True
    with pytest.raises(apsw.FullError):
        items.install("t/0", (), 9)
    assert (got(items, b"a"), items.applied("t/0")) == (b"body", 1)
    items.close()


def test_a_snapshot_reader_sees_one_moment(items):
    """What is written after a snapshot reader was made is not in it, and it goes through a group in pieces, each row once."""
    for lsn in range(1, 301):
        put(items, lsn, str(lsn).encode())
    reader = items.snapshot_reader()
    put(items, 301, b"later")
    items.commit()
    assert reader.applied == {"t/0": 300}
    met, after, pieces = [], None, 0
    while True:
        chunk = reader.chunk("t/0", after, limit_bytes=2000)
        met += chunk.rows
        pieces += 1
        if (after := chunk.next_after) is None:
            break
    reader.close()
    assert pieces > 5
    assert sorted(row.lsn for row in met) == list(range(1, 301))


def test_a_snapshot_reader_names_damaged_rows(items):
    """Rows that do not match their checksums are named, not served."""
    put(items, 1, b"a")
    items.damage()
    put(items, 2, b"b")
    reader = items.snapshot_reader()
    chunk = reader.chunk("t/0")
    assert chunk.damaged == ((key_hash(b"a"), b"a", b""),)
    assert [row.partition_key for row in chunk.rows] == [b"b"]
    reader.close()


def test_a_rows_checksum_covers_its_key_and_its_lsn(items):
    """A body that stands under another key, or counts for another LSN, is not served."""
    for number, change in enumerate(("sk = x'78'", "lsn = 77")):
        pk = b"k%d" % number
        put(items, number + 1, pk)
        items.commit()
        items._recent.clear()
        items._db.execute(f"UPDATE items SET {change} WHERE pk = ?", (pk,))
        with pytest.raises(CorruptItem):
            items.range("t/0", key_hash(pk), pk, Bounds(), forward=True, limit=None, after=None)


def test_a_checkpoint_keeps_everything(tmp_path):
    """What was folded into the database file is there after the log has begun anew, and every page is sound."""
    disk = RealDisk(tmp_path, "n")
    items = ItemTable(disk)
    items.host("t/0", table())
    for round_ in range(5):
        for lsn in range(round_ * 100 + 1, round_ * 100 + 101):
            put(items, lsn, str(lsn).encode(), body=b"x" * 500)
        items.commit()
        items.make_durable()
        items.checkpoint()
    assert items.verify_pages() == (set(), None)
    assert items.verify_pages(1, 2) == (set(), 3)
    items.close(crash=True)
    items = ItemTable(RealDisk(tmp_path, "n"))
    assert all(got(items, str(lsn).encode()) == b"x" * 500 for lsn in range(1, 501))
    items.close()


def test_what_was_read_or_written_a_moment_ago_needs_no_database(items):
    """An item is read from the database once; a change, a deletion and a snapshot are seen at once all the same."""
    put(items, 1, b"a", body=b"one")
    items.commit()
    items._db, database = None, items._db
    assert got(items, b"a") == b"one"
    put(items, 2, b"a", body=b"two")
    assert got(items, b"a") == b"two"
    items._db = database
    delete(items, 3, b"a")
    items.commit()
    assert got(items, b"a") is None
    put(items, 4, b"a", body=b"three")
    items.install(GROUP, (), 9)
    assert got(items, b"a") is None


def test_only_so_much_is_kept_of_what_was_read():
    """The oldest go first, by bytes; what is put again counts once."""
    recent = RecentItems(most_bytes=3 * 256 + 30)
    for number in range(3):
        recent.put(number, b"x" * 10)
        recent.put(number, b"y" * 10)
    assert [recent.find(number) for number in range(3)] == [(b"y" * 10,)] * 3
    recent.put(3, None)
    assert recent.find(0) is None
    assert recent.find(3) == (None,)

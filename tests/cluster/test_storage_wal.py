"""The WAL and group commit, on real files."""

import asyncio
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.disk import RealDisk
from cluster.replication.messages import Ballot, Entry
from cluster.storage import wal as wal_module
from cluster.storage.group_commit import GroupCommit
from cluster.storage.records import Change, GroupLog, WalRecord, decode_change, encode_change, replay
from cluster.storage.segment import SegmentHead, encode_batch, encode_head, read_segment
from cluster.storage.wal import Wal
from cluster.worker import ThreadWorker
from tests.cluster.storage_world import BALLOT, DiskTrouble, entries_of, no_space, opened, record


def lsns(recovery, group="g"):
    """The LSNs that a group's log holds after a recovery."""
    return sorted(replay(recovery.records).get(group, GroupLog()).entries)


# --- records and segments -----------------------------------------------------------------------------------------------


def segment_of(batches):
    """A segment of these batches, and where each frame ends."""
    data = encode_head(7, SegmentHead(7, 0, ()))
    ends = [len(data)]
    for records in batches:
        data += encode_batch(7, len(data), records, durable=len(data))
        ends.append(len(data))
    return data, ends


@given(st.lists(st.integers(1, 3), max_size=10), st.data())
def test_a_torn_tail_loses_only_itself(sizes, data):
    """Wherever the power goes, the batches before the cut are read, and no bytes below anybody's evidence are bad."""
    whole, ends = segment_of([[record(n * 10 + i) for i in range(size)] for n, size in enumerate(sizes)])
    cut = data.draw(st.integers(ends[0], len(whole)))
    content = read_segment(7, whole[:cut])
    assert [batch.end for batch in content.batches] == [end for end in ends if end <= cut]
    assert all(bad.offset >= content.evidence() for bad in content.bad)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6), st.data())
def test_a_changed_byte_is_noticed_wherever_it_is(sizes, data):
    """One changed byte costs exactly one frame; below a later frame it is damage, in the last frame it cannot be told from a torn tail."""
    whole, ends = segment_of([[record(n * 10 + i) for i in range(size)] for n, size in enumerate(sizes)])
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    content = read_segment(7, bytes(changed))
    struck = next(n for n, end in enumerate(ends) if at < end)
    assert [batch.end for batch in content.batches] == [end for n, end in enumerate(ends) if n != struck]
    (bad,) = content.bad
    assert (bad.offset < content.evidence()) == (struck < len(sizes))
    assert bad.groups in (None, ("g",) if struck else ())


def test_a_frame_of_another_segment_is_no_frame():
    """Bytes of an old segment, which the file system may give back as a file's new block, are not taken for records."""
    whole, ends = segment_of([[record(1)], [record(2)]])
    stale = encode_batch(6, ends[1], [record(9)], durable=ends[1])
    assert len(read_segment(7, whole[: ends[1]] + stale).batches) == 2


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 3)), max_size=12), st.integers(0, 8))
def test_a_summary_stands_for_the_log(appends, after):
    """Replaying a summary, after the log or instead of it, gives the log without what the summary was told to leave out."""
    log = GroupLog()
    for first, count in appends:
        entries = tuple(Entry(first + i, BALLOT, b"") for i in range(count))
        log.replay(WalRecord("g", BALLOT, first, entries))
    wanted = {lsn: entry for lsn, entry in log.entries.items() if lsn > after}
    summary = log.summary("g", after)
    for again in (GroupLog(), log):
        again.replay(summary)
        assert (again.promised, again.committed) == (log.promised, log.committed)
        assert (again.entries, again.start) == (wanted, after)


def test_recovered_entries_are_consecutive():
    """A replica is told the entries that follow its items without a hole; a hole behind its items is noticed."""
    log = replay([record(1), record(2), record(3), record(5)])["g"]
    recovered = log.recovered(1)
    assert [entry.lsn for entry in recovered.entries] == [2, 3]
    assert (recovered.first_lsn, recovered.applied) == (2, 1)
    assert not log.misses(1)
    assert not log.misses(5)
    assert log.misses(3)


def test_applied_entries_come_back_when_the_log_vouches_for_them():
    """With the ballot of the entry that was applied, all below it down to the last snapshot is told; with another, nothing is."""
    log = replay([record(lsn) for lsn in (1, 2, 3, 4, 5)])["g"]
    told = log.recovered(4, ballot=BALLOT, after=1)
    assert [entry.lsn for entry in told.entries] == [2, 3, 4, 5]
    assert (told.first_lsn, told.applied) == (2, 4)
    doubtful = log.recovered(4, ballot=Ballot(BALLOT.number + 1, "other"))
    assert [entry.lsn for entry in doubtful.entries] == [5]
    assert log.recovered(5, ballot=BALLOT, after=3).first_lsn == 4


def test_a_table_behind_the_start_of_its_log_is_noticed():
    """Items that are older than what the log has thrown away are missing something."""
    log = GroupLog()
    log.replay(WalRecord("g", BALLOT, 90, (), 80))
    assert (log.misses(79), log.misses(80)) == (True, False)


def test_changes_of_earlier_versions_can_be_read():
    """A change that was written without the time of its leader is read as one whose time is not known."""
    change = Change(1, b"a", b"", b"body", 5.0)
    assert decode_change(encode_change(change)) == change
    assert decode_change(b"\x94\x01\xc4\x01a\xc4\x00\xc4\x04body") == Change(1, b"a", b"", b"body", 0.0)


# --- WAL ----------------------------------------------------------------------------------------------------------------


def test_wal_keeps_what_it_made_durable(tmp_path):
    """What was appended is read again, in order."""
    wal, _ = opened(RealDisk(tmp_path, "n"))
    for lsn in range(1, 4):
        assert wal.append([record(lsn)]) >= 0.0
    recovery = opened(RealDisk(tmp_path, "n"))[1]
    assert list(recovery.records) == [record(1), record(2), record(3)]
    assert (recovery.lost, recovery.notes) == (frozenset(), ())


def test_wal_cuts_a_torn_tail_off(tmp_path):
    """Half a batch at the end is cut off, and appending goes on behind the sound part."""
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.append([record(1)])
    path = tmp_path / "wal" / "0000000001.wal"
    torn = encode_batch(1, wal.size, [record(2)], durable=wal.size)[:-3]
    path.write_bytes(path.read_bytes() + torn)
    wal, recovery = opened(RealDisk(tmp_path, "n"))
    assert lsns(recovery) == [1]
    assert recovery.notes == ()
    wal.append([record(2)])
    assert lsns(opened(RealDisk(tmp_path, "n"))[1]) == [1, 2]
    assert len(list((tmp_path / "wal").iterdir())) == 1


def damage(path, needle):
    """Flip a byte of a file where ``needle`` is."""
    data = bytearray(path.read_bytes())
    data[data.index(needle)] ^= 0x40
    path.write_bytes(bytes(data))


def test_damage_is_told_from_a_torn_tail(tmp_path):
    """A batch that was durable is not cut off silently: its groups are lost, others keep all, and people keep the segment."""
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.append([record(1), record(1, group="h")])
    wal.append([record(2, payload=b"needle")])
    wal.append([record(3), record(2, group="h")])
    damage(tmp_path / "wal" / "0000000001.wal", b"needle")
    wal, recovery = opened(RealDisk(tmp_path, "n"))
    assert recovery.lost == {"g"}
    assert not recovery.all_lost
    assert lsns(recovery, "h") == [1, 2]
    assert "damaged at byte" in recovery.notes[0]
    wal.append([record(3, group="h")])
    names = sorted(path.name for path in (tmp_path / "wal").iterdir())
    assert names == ["0000000001.wal.damaged", "0000000002.wal"]
    recovery = opened(RealDisk(tmp_path, "n"))[1]
    assert (recovery.lost, recovery.notes) == ({"g"}, ())
    assert lsns(recovery, "h") == [1, 2, 3]


def test_a_lost_group_may_become_sound_again(tmp_path):
    """That a group is lost is remembered over restarts and new segments, until a record says that it is sound."""
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.settle({"g"})
    wal.append([record(1)])
    assert opened(RealDisk(tmp_path, "n"))[1].lost == {"g"}
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.append([WalRecord("g", BALLOT, 0, (), None, False)])
    assert opened(RealDisk(tmp_path, "n"))[1].lost == frozenset()
    wal.compact({"g": 1})
    assert opened(RealDisk(tmp_path, "n"))[1].lost == frozenset()


def test_a_rested_log_is_sealed(tmp_path):
    """Damage to the very last batch is noticed once the log has been sealed; a damaged seal costs nothing."""
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.append([record(1, payload=b"needle")])
    before = wal.size
    wal.seal()
    sealed = wal.size
    wal.seal()
    assert wal.size == sealed > before
    path = tmp_path / "wal" / "0000000001.wal"
    sound = path.read_bytes()
    damage(path, b"needle")
    assert opened(RealDisk(tmp_path, "n"))[1].lost == {"g"}
    path.write_bytes(sound[:before] + b"\0" + sound[before + 1 :])
    (tmp_path / "wal" / "0000000002.wal").unlink()
    (tmp_path / "wal" / "0000000001.wal.damaged").unlink()
    recovery = opened(RealDisk(tmp_path, "n"))[1]
    assert (lsns(recovery), recovery.lost) == ([1], frozenset())


def test_a_segment_that_has_vanished_is_noticed(tmp_path, monkeypatch):
    """When a segment that is needed is not there, every group may have lost something."""
    monkeypatch.setattr(wal_module, "SEGMENT_BYTES", 200)
    wal, _ = opened(RealDisk(tmp_path, "n"))
    for lsn in range(1, 30):
        wal.append([record(lsn)])
    (tmp_path / "wal" / "0000000002.wal").unlink()
    recovery = opened(RealDisk(tmp_path, "n"))[1]
    assert recovery.all_lost
    assert recovery.lost_among({"x"}) == {"g", "x"}
    assert opened(RealDisk(tmp_path, "n"))[1].lost == {"g"}


def test_no_log_at_all_is_noticed(tmp_path):
    """A node that hosts groups and has no log has lost it."""
    recovery = Wal(RealDisk(tmp_path, "n")).recover()
    assert recovery.lost_among({"g"}) == {"g"}
    assert recovery.lost_among(()) == set()


def test_old_segments_go_when_nothing_in_them_is_needed(tmp_path, monkeypatch):
    """Compaction keeps promises, commits and the entries that are needed, and removes segments without rewriting them."""
    monkeypatch.setattr(wal_module, "SEGMENT_BYTES", 1000)
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.append([WalRecord("quiet", Ballot(7, "b"), 3)])
    for lsn in range(1, 101):
        wal.append([record(lsn, committed=lsn - 1)])
    wal.append([record(1, group="gone")])
    before = wal.size
    wal.compact({"g": 90, "quiet": 0})
    wal.append([record(101)])
    assert wal.size < before / 3
    logs = replay(opened(RealDisk(tmp_path, "n"))[1].records)
    assert set(range(91, 102)) <= set(logs["g"].entries)
    assert (logs["g"].start, logs["g"].committed) == (90, 99)
    assert (logs["quiet"].promised, logs["quiet"].committed) == (Ballot(7, "b"), 3)
    assert logs["g"].recovered(90).entries[-1].lsn == 101
    assert not logs["g"].misses(90)
    assert logs["g"].misses(50)


def test_a_quiet_group_does_not_hold_the_log_back(tmp_path, monkeypatch):
    """A group whose few entries are needed for ever keeps them, and yet the log does not grow without bound."""
    monkeypatch.setattr(wal_module, "SEGMENT_BYTES", 1000)
    monkeypatch.setattr(wal_module, "REWRITE_BYTES", 5000)
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.append([record(1, group="quiet")])
    for lsn in range(1, 301):
        wal.append([record(lsn)])
        if lsn % 20 == 0:
            wal.compact({"g": lsn - 10, "quiet": 0})
    assert wal.size < 8000
    recovery = opened(RealDisk(tmp_path, "n"))[1]
    assert lsns(recovery, "quiet") == [1]
    assert lsns(recovery)[-1] == 300


def test_a_refused_append_leaves_nothing(tmp_path, monkeypatch):
    """When the disk fills up in the middle of an append, no half batch stays for later ones to follow."""
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.append([record(1)])
    append = RealDisk.append

    def half(self, name, data):
        append(self, name, data[: len(data) // 2])
        raise no_space()

    with monkeypatch.context() as patch:
        patch.setattr(RealDisk, "append", half)
        with pytest.raises(OSError, match="space"):
            wal.append([record(2)])
    wal.append([record(3)])
    assert lsns(opened(RealDisk(tmp_path, "n"))[1]) == [1, 3]


def test_a_failed_fsync_is_not_tried_again_on_the_same_file(tmp_path, monkeypatch):
    """After a failed fsync the batch goes into a new segment, and what may be left of it in the old one does not count."""
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.append([record(1)])

    def fail(self, name):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(RealDisk, "sync", fail)
        with pytest.raises(OSError, match="Input"):
            wal.append([record(2, payload=b"doubtful")])
    wal.append([record(2, payload=b"written again")])
    assert sorted(path.name for path in (tmp_path / "wal").iterdir()) == ["0000000001.wal", "0000000002.wal"]
    recovery = opened(RealDisk(tmp_path, "n"))[1]
    assert [entry.payload for entry in entries_of(recovery)] == [b"x", b"written again"]
    assert recovery.lost == frozenset()


def test_a_disk_that_refuses_when_damage_is_found_does_not_stop_the_node(tmp_path):
    """Damage can be reported although nothing can be written; it is put aside when the disk takes something again."""
    trouble = DiskTrouble()
    wal, _ = opened(RealDisk(tmp_path, "n"))
    wal.append([record(1, payload=b"needle")])
    wal.append([record(2)])
    damage(tmp_path / "wal" / "0000000001.wal", b"needle")
    trouble.full = True
    wal, recovery = opened(RealDisk(tmp_path, "n", trouble))
    assert recovery.lost == {"g"}
    assert opened(RealDisk(tmp_path, "n", trouble))[1].lost == {"g"}
    with pytest.raises(OSError, match="space"):
        wal.append([record(3)])
    trouble.full = False
    wal.append([record(3)])
    recovery = opened(RealDisk(tmp_path, "n"))[1]
    assert (recovery.lost, lsns(recovery)[-1]) == ({"g"}, 3)


# --- group commit -------------------------------------------------------------------------------------------------------


def committing(disk, took=lambda _: None):
    """A log that is ready, and the task that commits."""
    log = GroupCommit(opened(disk)[0], ThreadWorker("n"), took=took, name="n")
    return log, asyncio.create_task(log.run())


async def test_group_commit_shares_fsyncs(tmp_path):
    """Many records that wait together need few fsyncs, and their callbacks come in order."""
    fsyncs, done = [], []
    log, task = committing(RealDisk(tmp_path, "n"), fsyncs.append)
    for lsn in range(1, 201):
        log.add(record(lsn), lambda lsn=lsn: done.append(lsn))
    await log.settled()
    assert done == list(range(1, 201))
    assert len(fsyncs) <= 2
    task.cancel()
    await log.close()


async def test_group_commit_seals_a_log_that_rests(tmp_path):
    """A moment after the last batch there is evidence that it was durable, without anybody closing the log."""
    log, task = committing(RealDisk(tmp_path, "n"))
    log.add(record(1), lambda: None)
    await log.settled()
    size = log.size
    async with asyncio.timeout(5):
        while log.size == size:
            await asyncio.sleep(0.01)
    content = read_segment(1, (tmp_path / "wal" / "0000000001.wal").read_bytes())
    assert content.evidence() == size
    task.cancel()
    await log.close(crash=True)


async def test_group_commit_waits_for_space(tmp_path):
    """While the disk is full nothing is called durable; when there is space again everything is, in order."""
    trouble = DiskTrouble()
    log, task = committing(RealDisk(tmp_path, "n", trouble))
    done = []
    trouble.full = True
    for lsn in (1, 2):
        log.add(record(lsn), lambda lsn=lsn: done.append(lsn))
    async with asyncio.timeout(2):
        while not log.full:
            await asyncio.sleep(0.01)
    assert done == []
    trouble.full = False
    await log.settled()
    assert done == [1, 2]
    assert not log.full
    task.cancel()
    await log.close()


async def test_group_commit_keeps_nobody_waiting_who_comes_alone(tmp_path):
    """A log whose records come together waits for more of them; one whose records come one after the other does not."""
    log, task = committing(RealDisk(tmp_path, "n"))
    for lsn in range(1, 61):
        log.add(record(lsn), lambda: None)
        if lsn % 3 == 0:
            await log.settled()
    assert log.gathers
    for lsn in range(61, 101):
        log.add(record(lsn), lambda: None)
        await log.settled()
    assert not log.gathers
    task.cancel()
    await log.close()

"""Segments, snapshots and their manifests: what goes in comes out, and nothing else does."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.archive import segment, snapshot
from cluster.archive.comparison import compare
from cluster.archive.damage import ChecksumWrong, Damage, ForeignEntry, ForeignGroup, Gap, Mismatch, Truncated
from cluster.archive.inventory import expired, inventory
from cluster.archive.keys import manifest_key, parse, segment_key, snapshot_key
from cluster.archive.reference import Reference
from cluster.archive.segment import Place
from cluster.replication.membership import Member
from cluster.replication.messages import Ballot, Entry
from tests.cluster.archive_world import BALLOT, GROUP, PLACE, entry

ENTRIES = st.integers(1, 10**12).flatmap(
    lambda first: st.lists(
        st.tuples(st.text(max_size=8), st.one_of(st.none(), st.binary(max_size=40))), min_size=1, max_size=12
    ).map(lambda changes: tuple(entry(first + i, pk, body) for i, (pk, body) in enumerate(changes)))
)


@given(ENTRIES)
def test_a_segment_holds_exactly_what_was_sealed(entries):
    """Decoding a segment gives the entries that were encoded, and encoding them again the same bytes."""
    data = segment.encode(PLACE, entries)
    found = segment.decode(data, group=GROUP)
    assert (found.place, found.entries) == (PLACE, entries)
    assert segment.encode(found.place, found.entries) == data


@given(ENTRIES, st.data())
def test_no_changed_byte_goes_unnoticed(entries, data):
    """A segment with any one byte changed is refused with a reason."""
    sealed = bytearray(segment.encode(PLACE, entries))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damage):
        segment.decode(bytes(sealed), group=GROUP)


@given(ENTRIES, st.data())
def test_a_segment_that_is_cut_off_anywhere_is_truncated(entries, data):
    """A segment that ends too early is refused as truncated."""
    sealed = segment.encode(PLACE, entries)
    with pytest.raises(Truncated):
        segment.decode(sealed[: data.draw(st.integers(0, len(sealed) - 1))], group=GROUP)


def test_bytes_after_the_end_are_refused():
    """A segment with something behind it is not what was sealed."""
    with pytest.raises(ChecksumWrong, match="too many"):
        segment.decode(segment.encode(PLACE, [entry(1)]) + b"x", group=GROUP)


def test_a_hole_is_refused_when_sealing():
    """Entries that do not follow each other are never sealed; the damage names the missing LSN."""
    with pytest.raises(Gap) as found:
        segment.encode(PLACE, [entry(1), entry(3)])
    assert found.value.lsn == 2


def test_a_foreign_entry_is_refused_when_sealing():
    """An entry whose key does not belong to the partition is never archived under its name."""
    half = Place(table="t", partition="0", group=GROUP, start=0, end=1)
    with pytest.raises(ForeignEntry) as found:
        segment.encode(half, [entry(7)])
    assert found.value.lsn == 7
    with pytest.raises(ForeignEntry):
        segment.encode(PLACE, [Entry(1, BALLOT, b"\xc1 no entry of ours")])


def test_another_groups_segment_is_refused_and_named():
    """A segment under the wrong group's name is found, and the damage names the object."""
    with pytest.raises(ForeignGroup) as found:
        segment.decode(segment.encode(PLACE, [entry(1)]), group="other/0", key="other/1.wal")
    assert "other/1.wal" in str(found.value)


def test_the_last_partition_holds_the_last_position_of_the_ring():
    """The end of a partition is exclusive, but for the end of the ring."""
    assert PLACE.holds(2**64 - 1)
    assert not Place(table="t", partition="0", group=GROUP, start=0, end=5).holds(5)


def test_a_manifest_says_what_is_inside():
    """The manifest has range, times, size, digest and the membership that a segment carries, and survives its JSON."""
    members = (Member("n1", "az1"), Member("n2", "az2"), Member("n3", "az3", log_only=True))
    entries = (entry(5, at=10.5), Entry(6, BALLOT, b"", members), Entry(7, BALLOT, b""), entry(8, at=12.25))
    data = segment.encode(PLACE, entries)
    made = segment.manifest(segment.decode(data, group=GROUP), data)
    assert (made.first, made.last, made.count, made.size) == (5, 8, 4, len(data))
    assert (made.first_at, made.last_at, made.members) == (10.5, 12.25, members)
    assert made.sha256 == hashlib.sha256(data).hexdigest()
    assert made.place == PLACE
    assert segment.decode_manifest(segment.encode_manifest(made), key="k") == made
    with pytest.raises(Damage, match="manifest"):
        segment.decode_manifest(b"{}", key="k")


@given(ENTRIES)
def test_a_snapshot_holds_exactly_its_rows(entries):
    """Decoding a snapshot gives the rows that were encoded."""
    reference = Reference(GROUP, PLACE, entries[0].lsn - 1)
    reference.fold(entries)
    made = reference.snapshot()
    assert snapshot.decode(snapshot.encode(made), group=GROUP) == made
    with pytest.raises(Damage):
        segment.decode(snapshot.encode(made), group=GROUP)


@given(st.text("abc-/0", min_size=1).filter(lambda g: not g.startswith("/")), st.integers(0, 10**19))
def test_a_name_taken_apart_and_put_together_is_the_same(group, lsn):
    """Names of objects and manifests can be read back, and sort as their LSNs do."""
    for name in (segment_key(group, lsn), snapshot_key(group, lsn)):
        for one in (name, manifest_key(name)):
            assert str(parse(one)) == one
    assert segment_key(group, lsn) < segment_key(group, lsn + 1)
    assert parse("something/else.txt") is None


def test_the_same_choice_under_another_ballot_is_no_mismatch():
    """Replicas may hold a chosen entry under different ballots; only another payload or membership is a difference."""
    found = segment.decode(segment.encode(PLACE, [entry(1), entry(2)]), group=GROUP)
    assert compare(found, [entry(1, ballot=Ballot(9, "z")), entry(2), entry(3)], key="k") == 2
    with pytest.raises(Mismatch) as wrong:
        compare(found, [entry(1), entry(2, body=b"other")], key="k")
    assert (wrong.value.lsn, wrong.value.key) == (2, "k")
    with pytest.raises(Mismatch):
        compare(found, [Entry(2, BALLOT, entry(2).payload, (Member("n1", "az1"),))], key="k")


def test_retention_removes_only_what_no_restore_needs():
    """What the kept snapshot does not hold, and the snapshot itself, stay."""
    names = [segment_key(GROUP, lsn) for lsn in (1, 6, 11, 16)] + [snapshot_key(GROUP, lsn) for lsn in (5, 12)]
    names += [manifest_key(name) for name in names]
    gone = expired(inventory(GROUP, names), 12, names)
    kept = set(names) - set(gone)
    assert {name for name in kept if not name.endswith(".manifest")} == {
        segment_key(GROUP, 11), segment_key(GROUP, 16), snapshot_key(GROUP, 12)
    }  # fmt: skip
    assert {manifest_key(n) for n in kept if not n.endswith(".manifest")} == {
        n for n in kept if n.endswith(".manifest")
    }

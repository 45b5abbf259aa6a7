"""What scrub decides, without a store: who differs, which rows are suspicious, and who is right."""

import dataclasses

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cluster.replication.messages import Ballot, Entry
from cluster.routing.messages import Bucket, DigestIs, Row
from cluster.scrub.comparison import compare, dissenters, suspicious
from cluster.scrub.digest import Digester, before, bucket_of, is_sound, print_of
from cluster.scrub.schedule import GroupScrub, Schedule, ScrubSettings
from cluster.scrub.settling import ARCHIVE, Rotten, Seen, Verdict, settle, vote_of, with_witnesses
from cluster.storage.records import (
    SCRUB_MARKER,
    Change,
    change_of,
    effect_of,
    encode_change,
    encode_erasure,
    item_checksum,
    split_at_markers,
)
from cluster.topology import key_hash

NODES = ("az1-node-1", "az2-node-1", "az3-node-1")


def row(pk, lsn=1, body=b"body", sk=b""):
    """A sound row."""
    return Row(key_hash(pk), pk, sk, lsn, item_checksum(pk, sk, body, lsn), body)


def digest(rows, lsn=9):
    """The digest of rows in any order."""
    digester = Digester()
    digester.take(sorted(rows, key=lambda r: (r.hash, r.partition_key, r.sort_key)))
    return digester.digest(lsn)


rows = st.dictionaries(st.binary(min_size=1, max_size=3), st.integers(1, 5), max_size=12).map(
    lambda found: {pk: row(pk, lsn) for pk, lsn in found.items()}
)
ROWS = (row(b"k", 1), row(b"k", 2, b"other"))
votes = st.sampled_from([*ROWS, Seen.ABSENT, Rotten(9, 9), Rotten(ROWS[0].lsn, ROWS[0].checksum)])


@st.composite
def harm(draw, sound):
    """One replica's rows after something has happened to some of them."""
    harmed = dict(sound)
    for pk in draw(st.lists(st.sampled_from(sorted(sound) or [b"?"]), max_size=3, unique=True)):
        if pk not in sound:
            continue
        old = sound[pk]
        kind = draw(st.sampled_from(["body", "key", "lsn", "checksum", "gone"]))
        if kind == "gone":
            del harmed[pk]
        elif kind == "body":
            harmed[pk] = msgspec.structs.replace(old, body=old.body + b"x")
        elif kind == "key":
            harmed[pk] = msgspec.structs.replace(old, partition_key=old.partition_key + b"x")
        elif kind == "lsn":
            harmed[pk] = msgspec.structs.replace(old, lsn=-old.lsn)
        else:
            harmed[pk] = msgspec.structs.replace(old, checksum=old.checksum ^ 1)
    if draw(st.booleans()):
        harmed[b"nobody"] = row(b"nobody", 3)
    return harmed


@given(rows, st.data())
def test_whatever_happens_to_the_rows_of_one_replica_is_found_and_settled_as_the_others_have_it(sound, data):
    """Every row that differs is in a bucket that differs and is suspicious, and the two sound replicas decide about it."""
    harmed = data.draw(harm(sound))
    held = dict(zip(NODES, (list(sound.values()), list(harmed.values()), list(sound.values())), strict=True))
    findings = compare({name: digest(found) for name, found in held.items()})
    assert bool(findings) == (sound != harmed)
    assert all(finding.differ == (NODES[1],) for finding in findings)
    suspects = set()
    for finding in findings:
        prints = {n: [print_of(r) for r in found if bucket_of(r.hash) == finding.bucket] for n, found in held.items()}
        suspects |= set(suspicious(prints, upto=9))
    places = {n: {(r.hash, r.partition_key, r.sort_key): r for r in found} for n, found in held.items()}
    different = {
        p for p in {*places[NODES[0]], *places[NODES[1]]} if places[NODES[0]].get(p) != places[NODES[1]].get(p)
    }
    assert suspects == different
    for place in suspects:
        settled = settle({name: vote_of(found.get(place)) for name, found in places.items()})
        right = places[NODES[0]].get(place)
        assert settled.verdict == (Verdict.ERASE if right is None else Verdict.REWRITE)
        assert (settled.row, settled.wrong) == (right, (NODES[1],))


@given(st.lists(votes, min_size=1, max_size=4), st.none() | votes)
def test_nothing_is_written_that_only_one_voter_says(replicas, archive):
    """Whatever is written has a sound majority of at least two voices, or the archive's in a tie; order decides nothing."""
    said = {f"n{n}": vote for n, vote in enumerate(replicas)} | ({} if archive is None else {ARCHIVE: archive})
    settled = settle(said)
    assert settle(dict(reversed(said.items()))) == settled
    if settled.verdict in (Verdict.REWRITE, Verdict.ERASE):
        winner = settled.row if settled.verdict is Verdict.REWRITE else Seen.ABSENT
        heard = {
            name: ROWS[0] if vote == Rotten(ROWS[0].lsn, ROWS[0].checksum) else vote for name, vote in said.items()
        }
        voices = [name for name, vote in heard.items() if vote == winner]
        others = [name for name, vote in heard.items() if vote != winner and not isinstance(vote, Rotten)]
        assert len(voices) >= 2
        assert winner in said.values()
        # A witness of a row that nobody has any more may have been counted among the others here.
        assert ROWS[0] not in said.values() or len(voices) >= len(others)
        assert any(vote != winner for name, vote in said.items() if name != ARCHIVE)
    elif settled.verdict is Verdict.AGREED:
        assert len(set(replicas)) == 1
        assert not isinstance(replicas[0], Rotten)
        assert archive in (None, replicas[0])
    elif settled.verdict is Verdict.ARCHIVE_DIFFERS:
        assert len(set(replicas)) == 1
        assert archive != replicas[0]


def test_a_rotten_row_bears_witness_of_what_it_was():
    """A sound row is believed when damaged ones have its LSN and checksum; not when they were another row, nor without a sound one."""
    right, other = row(b"k", 2), row(b"k", 1, b"old")
    rotten = vote_of(msgspec.structs.replace(right, body=b"rot"))
    assert settle({"a": rotten, "b": right}).row == right
    assert settle({"a": rotten, "b": right, "c": rotten}).wrong == ("a", "c")
    assert settle({"a": rotten, "b": other}).verdict is Verdict.UNDECIDED
    assert settle({"a": rotten, "b": rotten, "c": rotten}).verdict is Verdict.UNDECIDED
    assert settle({"a": rotten, "b": rotten, "c": Seen.ABSENT}).verdict is Verdict.UNDECIDED
    assert settle({"a": rotten, "b": other, "c": right}).row == right


def test_a_replica_that_is_behind_bears_witness_only_of_what_a_damaged_row_confirms():
    """An older row is no vote, unless a damaged row of today has its LSN and checksum; an absence of old says nothing at all."""
    right, old = row(b"k", 2), row(b"k", 1, b"old")
    rotten = vote_of(msgspec.structs.replace(right, body=b"rot"))
    assert settle(with_witnesses({"a": rotten}, {"b": right})).row == right
    assert settle(with_witnesses({"a": rotten}, {"b": old, "c": Seen.ABSENT})).verdict is Verdict.UNDECIDED
    assert with_witnesses({"a": right}, {"b": right, "c": old}) == {"a": right}


def test_the_archive_decides_between_two_and_two():
    """Two replicas that lack a row do not outvote the third when the archive has it too; without the archive they do."""
    right = row(b"k")
    said = {"a": right, "b": Seen.ABSENT, "c": Seen.ABSENT}
    assert settle(said).verdict is Verdict.ERASE
    assert settle({**said, ARCHIVE: right}).row == right
    assert settle({"a": right, "b": row(b"k", 2), "c": Rotten(9, 9)}).verdict is Verdict.UNDECIDED


def test_what_was_written_after_the_marker_is_not_suspicious():
    """A replica that is ahead of the others, by new and by changed rows, is not suspected for them."""
    old, new = row(b"k", 3), row(b"k", 12, b"new")
    assert suspicious({"a": [print_of(new), print_of(row(b"l", 11))], "b": [print_of(old)]}, upto=9) == ()
    assert suspicious({"a": [print_of(old)], "b": []}, upto=9) == ((old.hash, b"k", b""),)


def test_a_row_under_a_key_that_is_not_its_own_is_not_sound():
    """A row is sound only where its key belongs, even when its checksum is right."""
    good = row(b"k")
    assert is_sound(good)
    assert not is_sound(msgspec.structs.replace(good, hash=good.hash ^ 1))


def test_buckets_cut_the_ring_in_order():
    """Whatever comes after the beginning of a bucket, and before the next one's, is of that bucket; an empty group has none."""
    assert before(0) is None
    for bucket in (1, 17, 255):
        start = before(bucket)
        assert bucket_of(start[0]) == bucket
        assert bucket_of(start[0] - 1) == bucket - 1
    assert digest([]) == DigestIs(9, ())
    assert (
        compare({"a": DigestIs(9, (Bucket(1, b"x", 1, 1),)), "b": DigestIs(9, (Bucket(1, b"x", 1, 1),))})[0].damaged
        == 2
    )


def test_who_dissents():
    """Whoever is not with more than half; all, when there is no such half."""
    assert dissenters({"a": 1, "b": 1, "c": 2}) == ("c",)
    assert dissenters({"a": 1, "b": 2}) == ("a", "b")
    assert dissenters({"a": None, "b": None}) == ()


def test_orders_in_the_log_are_no_changes():
    """A marker does nothing to any item; an erasure removes a row from a table, and is nothing to the archive; a change is one to both."""
    place = (1, b"\xffk", b"s")
    assert change_of(SCRUB_MARKER) is None
    assert effect_of(SCRUB_MARKER) is None
    assert change_of(encode_erasure(place)) is None
    assert effect_of(encode_erasure(place)) == Change(*place, None)
    change = Change(1, b"k", b"", b"v")
    assert change_of(encode_change(change)) == effect_of(encode_change(change)) == change
    assert change_of(b"") is None


@given(st.lists(st.booleans(), max_size=10))
def test_entries_are_cut_behind_every_marker(marks):
    """The pieces are the entries, in order; a marker is only ever the last of a piece."""
    entries = [Entry(n, Ballot(1, "n"), SCRUB_MARKER if mark else b"x") for n, mark in enumerate(marks, start=1)]
    pieces = list(split_at_markers(entries))
    assert [entry for piece in pieces for entry in piece] == entries
    assert all(pieces)
    assert not any(entry.payload == SCRUB_MARKER for piece in pieces for entry in piece[:-1])


def test_turns_are_spread_and_damage_brings_the_next_one_near():
    """Groups led from one moment on are scrubbed once a period each, at different times; one with repairs soon again, but not at once."""
    schedule = Schedule(ScrubSettings(every_seconds=60.0, reference_every=4))
    names = [f"t/{n}" for n in range(8)]
    schedule.leads(names, 0.0)
    assert len({standing.due_at for standing in schedule.standings.values()}) == 8
    scrubbed: dict[str, list[float]] = {name: [] for name in names}
    with_archive = 0
    for at in range(240):
        while (name := schedule.due(float(at))) is not None:
            with_archive += schedule.begins(name, float(at))
            scrubbed[name].append(float(at))
    assert all(len(times) == 4 for times in scrubbed.values())
    assert with_archive == 8
    assert schedule.age(240.0) == 240.0
    found = GroupScrub(
        lsn=1, at=0.0, seconds=0.1, replicas=NODES, complete=True, reference="not asked", repaired=1, mismatches=1
    )
    assert not found.clean
    assert dataclasses.replace(found, repaired=0, mismatches=0).clean
    last = scrubbed["t/0"][-1]
    schedule.ended("t/0", found, last)
    assert schedule.standings["t/0"].due_at == last + 6.0
    schedule.leads([], 300.0)
    assert schedule.age(300.0) is None

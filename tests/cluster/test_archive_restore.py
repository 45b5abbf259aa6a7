"""The reference and the restore: from the archive alone, as of any LSN and any time; and an audit that finds what is wrong."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.archive import segment, snapshot
from cluster.archive.audit import archived_groups, summarize, verify
from cluster.archive.damage import Damage, Gap
from cluster.archive.inventory import inventory
from cluster.archive.keys import manifest_key, segment_key, snapshot_key
from cluster.archive.memory import MemoryStore
from cluster.archive.reading import rebuild
from cluster.archive.reference import LATEST, Until
from cluster.archive.restore import NotArchived, read_table
from cluster.archive.segment import Place
from cluster.archive.snapshots import DAY_SECONDS, Snapshots
from cluster.config import ClusterConfig
from cluster.control import catalogue
from cluster.ports import KeyAttribute, Table
from cluster.replication.messages import Entry
from cluster.storage.records import Change, encode_change
from cluster.topology import key_hash
from tests.cluster.archive_world import BALLOT, GROUP, PLACE, Inline, World, entry, rows_after, run


async def put_segment(store, entries, place=PLACE):
    """Archive one segment with its manifest, as an agent does."""
    data = segment.encode(place, entries)
    key = segment_key(place.group, entries[0].lsn)
    await store.put_if_absent(key, data)
    described = segment.manifest(segment.decode(data, group=place.group), data)
    await store.put_if_absent(manifest_key(key), segment.encode_manifest(described))


async def archive(entries, cuts, snapshots_at=()):
    """A store with ``entries`` cut into segments after the LSNs ``cuts``, and snapshots as of some LSNs."""
    store = MemoryStore()
    ends = [*sorted({c for c in cuts if c < len(entries)}), len(entries)]
    start = 0
    for end in ends:
        await put_segment(store, entries[start:end])
        start = end
    for lsn in snapshots_at:
        made = (await rebuild(store, GROUP, Inline(), Until(lsn=lsn))).snapshot()
        data = snapshot.encode(made)
        await store.put_if_absent(snapshot_key(GROUP, lsn), data)
        described = segment.encode_manifest(snapshot.manifest(made, data))
        await store.put_if_absent(manifest_key(snapshot_key(GROUP, lsn)), described)
    return store


LOG = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.one_of(st.none(), st.binary(max_size=8)), st.integers(0, 3)),
    min_size=1,
    max_size=40,
).map(
    lambda changes: [
        Entry(lsn, BALLOT, b"") if step == 3 and body is None else entry(lsn, pk, body, at=1000.0 + lsn // 3)
        for lsn, (pk, body, step) in enumerate(changes, start=1)
    ]
)


@settings(deadline=None)
@given(LOG, st.sets(st.integers(1, 40), max_size=6), st.data())
def test_the_reference_is_what_the_writes_make_as_of_any_lsn(log, cuts, data):
    """Rows rebuilt up to an LSN are those that the log's entries make, wherever segments are cut and snapshots lie."""

    async def story():
        lsn = data.draw(st.integers(1, len(log)))
        snapshots = data.draw(st.sets(st.integers(1, len(log)), max_size=2))
        store = await archive(log, cuts, sorted(snapshots))
        found = await rebuild(store, GROUP, Inline(), Until(lsn=lsn))
        assert (found.lsn, found.complete) == (lsn, True)
        assert found.ordered() == rows_after(log[:lsn])
        latest = await rebuild(store, GROUP, Inline(), LATEST)
        assert latest.ordered() == rows_after(log)

    run(story())


@settings(deadline=None)
@given(LOG, st.sets(st.integers(1, 40), max_size=6), st.floats(999.0, 1016.0), st.data())
def test_the_reference_is_what_the_writes_make_as_of_any_time(log, cuts, at, data):
    """Rows rebuilt as of a time are those of the log before the first change made later."""

    async def story():
        snapshots = data.draw(st.sets(st.integers(1, len(log)), max_size=2))
        store = await archive(log, cuts, sorted(snapshots))
        later = [one.lsn for one in log if one.payload and (segment.changed_at(one) or 0.0) > at]
        expected = log[: min(later) - 1] if later else log
        found = await rebuild(store, GROUP, Inline(), Until(at=at))
        assert found.ordered() == rows_after(expected)

    run(story())


async def test_a_hole_is_never_passed_over():
    """A missing segment ends a rebuild with the LSN that is missing; as of an LSN before it all is well."""
    log = [entry(lsn) for lsn in range(1, 10)]
    store = await archive(log, {3, 6})
    await store.delete(segment_key(GROUP, 4))
    assert (await rebuild(store, GROUP, Inline(), Until(lsn=3))).complete
    with pytest.raises(Gap) as found:
        await rebuild(store, GROUP, Inline())
    assert found.value.lsn == 4


async def test_an_archive_that_ends_too_early_says_so():
    """A reference as of an LSN that is not archived yet is marked as not complete."""
    store = await archive([entry(1), entry(2)], ())
    found = await rebuild(store, GROUP, Inline(), Until(lsn=5))
    assert (found.lsn, found.complete) == (2, False)
    assert not (await rebuild(store, "other/0", Inline(), LATEST)).rows


async def test_what_the_agents_archive_can_be_rebuilt_and_is_whole():
    """Agents, snapshots, reference and audit agree about one log."""
    world = World(every=2)
    for _ in range(8):
        world.write(5)
        await world.pass_time(2)
    await world.pass_time(30)
    found = await rebuild(world.store, GROUP, Inline())
    assert found.ordered() == rows_after(world.entries)
    audit = await verify(world.store, GROUP, Inline())
    assert (audit.findings, audit.first, audit.last, audit.entries) == ([], 1, 40, 40)
    assert audit.snapshots >= 3
    assert await archived_groups(world.store) == (GROUP,)
    summary = await summarize(world.store, GROUP)
    assert (summary.table, summary.last, summary.findings) == ("t", 40, [])


@pytest.mark.parametrize(
    ("harm", "reason", "lsn"),
    [
        (lambda s: s.rot(segment_key(GROUP, 4)), "checksum", None),
        (lambda s: s.objects.pop(segment_key(GROUP, 4)), "gap", 4),
        (lambda s: s.objects.pop(manifest_key(segment_key(GROUP, 4))), "manifest", None),
        (lambda s: s.objects.update({manifest_key(segment_key(GROUP, 4)): b"{}"}), "manifest", None),
        (lambda s: s.objects.update({segment_key(GROUP, 4): s.objects[segment_key(GROUP, 1)]}), "gap", 1),
        (lambda s: s.objects.update({segment_key(GROUP, 4): s.objects[segment_key(GROUP, 4)][:-9]}), "truncated", None),
        (lambda s: s.rot(snapshot_key(GROUP, 6)), "checksum", None),
        (lambda s: s.objects.update({snapshot_key(GROUP, 6): s.objects[snapshot_key(GROUP, 3)]}), "gap", 3),
    ],
)
async def test_the_audit_finds_damage_and_names_object_and_lsn(harm, reason, lsn):
    """A rotten, missing, misplaced or cut object or manifest is found, with the name of the object."""
    store = await archive([entry(n, f"p{n}") for n in range(1, 10)], {3, 6}, (3, 6))
    assert (await verify(store, GROUP, Inline())).findings == []
    harm(store)
    findings = (await verify(store, GROUP, Inline())).findings
    assert reason in [finding.reason for finding in findings]
    assert all(finding.key and finding.key.startswith(GROUP) for finding in findings)
    if lsn is not None:
        assert lsn in [finding.lsn for finding in findings]


async def test_the_audit_finds_a_snapshot_that_is_not_what_the_log_makes():
    """A snapshot with sound checksums and other rows than the segments make is found."""
    store = await archive([entry(n, f"p{n}") for n in range(1, 7)], {3}, ())
    made = (await rebuild(store, GROUP, Inline(), Until(lsn=2))).snapshot()
    false = msgspec.structs.replace(made, lsn=3)
    data = snapshot.encode(false)
    store.objects[snapshot_key(GROUP, 3)] = data
    store.objects[manifest_key(snapshot_key(GROUP, 3))] = segment.encode_manifest(snapshot.manifest(false, data))
    findings = (await verify(store, GROUP, Inline())).findings
    assert [(f.reason, f.lsn) for f in findings] == [("mismatch", 3)]


async def test_retention_keeps_every_restore_within_it():
    """What is older than the retention goes; every time within it can still be restored, and the audit is content."""
    log = [entry(n, f"p{n % 4}", b"%d" % n, at=n * DAY_SECONDS) for n in range(1, 21)]
    store = await archive(log, {5, 10, 15}, (5, 10, 15))
    kept = Snapshots(Inline(), every=1, retention_days=7.0, wall=lambda: 20 * DAY_SECONDS)
    assert await kept.expire(store, GROUP) > 0
    assert inventory(GROUP, store.objects).segments == (11, 16)
    for day in range(13, 21):
        found = await rebuild(store, GROUP, Inline(), Until(at=day * DAY_SECONDS))
        assert found.ordered() == rows_after(log[:day])
    assert (await verify(store, GROUP, Inline())).findings == []


def table(name="orders"):
    """A table of three partitions."""
    return Table(
        name=name,
        id=f"{name}-ab12",
        hash_key=KeyAttribute("pk", "S"),
        range_key=None,
        partitions=catalogue.place(ClusterConfig(), 3),
        created_at=5.0,
    )


async def archived_table(store, at_of):
    """A catalogue with one table, and its items, each written at ``at_of(n)``."""
    made = table()
    catalogued = msgspec.msgpack.encode(catalogue.creation(made).parameters)
    key = made.name.encode()
    creation = Entry(1, BALLOT, encode_change(Change(key_hash(key), key, b"", catalogued, 5.0)))
    ring = {"start": 0, "end": 2**64 - 1}
    await put_segment(store, [creation], Place(table="catalogue", partition="0", group=catalogue.GROUP, **ring))
    logs = {partition.id: [] for partition in made.partitions}
    for n in range(1, 31):
        pk = b"customer-%d" % n
        partition = catalogue.locate(made, pk)
        body = msgspec.msgpack.encode({"pk": {"S": pk.decode()}, "n": {"N": str(n)}})
        log = logs[partition.id]
        log.append(Entry(len(log) + 1, BALLOT, encode_change(Change(key_hash(pk), pk, b"", body, at_of(n)))))
    for partition in made.partitions:
        place = Place(
            table=made.name,
            partition=partition.id,
            group=catalogue.group_of(made, partition),
            start=partition.start,
            end=partition.end,
        )
        if logs[partition.id]:
            await put_segment(store, logs[partition.id], place)


@pytest.mark.parametrize("upto", [4, 17, 30])
async def test_a_table_is_restored_as_of_one_time_over_all_partitions(upto):
    """Every partition is rebuilt as of the same second, and the definition comes out of the archived catalogue."""
    store = MemoryStore()
    await archived_table(store, lambda n: 100.0 + n)
    found = await read_table(store, "orders", Inline(), at=100.0 + upto)
    assert found.table == table()
    assert found.count == upto
    assert {int(item["n"]["N"]) for item in found.items()} == set(range(1, upto + 1))
    latest = await read_table(store, "orders", Inline(), at=None)
    assert latest.count == 30


async def test_a_table_that_was_not_there_is_refused():
    """Before its creation, or by another name, there is nothing to restore, and the message says what there is."""
    store = MemoryStore()
    await archived_table(store, lambda n: 100.0 + n)
    with pytest.raises(NotArchived, match="no table"):
        await read_table(store, "orders", Inline(), at=4.0)
    with pytest.raises(NotArchived, match="it knows: orders"):
        await read_table(store, "sessions", Inline(), at=None)
    with pytest.raises(NotArchived):
        await read_table(MemoryStore(), "orders", Inline(), at=None)


async def test_damage_in_the_archive_stops_a_restore():
    """A restore never writes what it cannot prove: a damaged object ends it, named."""
    store = MemoryStore()
    await archived_table(store, lambda n: 100.0 + n)
    key = next(name for name in store.objects if name.startswith("orders") and name.endswith(".wal"))
    store.rot(key)
    with pytest.raises(Damage, match="orders"):
        await read_table(store, "orders", Inline(), at=None)

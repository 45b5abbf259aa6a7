"""Scrub in a running region: damage of every kind is found and mended, nobody is served a wrong value, and nobody waits for it."""

import asyncio
import time

import aiohttp
import pytest
from prometheus_client import generate_latest

from cluster.archive import segment
from cluster.config import ArchiveConfig, ScrubConfig, TimingConfig
from cluster.control import catalogue
from cluster.faults import Fault
from cluster.ports import Bounds, ErrorKind, ItemKey, StoreError
from cluster.routing.messages import Row
from cluster.scrub import rounds
from cluster.scrub.digest import is_sound
from cluster.storage.records import item_checksum
from cluster.storage.rows import HALF_RING
from cluster.topology import key_hash
from tests.cluster.small_region import key

NEVER = ScrubConfig(every_seconds=1e6, pages_every_seconds=1e6)
"""Scrubs only when a test says so (or damage is met)."""
PATIENT = TimingConfig(
    heartbeat_seconds=0.2,
    missed_heartbeats=10,
    lease_seconds=3.0,
    drift_bound_seconds=0.02,
    request_timeout_seconds=5.0,
)
"""A machine that stalls for a moment costs nobody a lease: no test here is about that."""


@pytest.fixture
async def region(make_region):
    """A region that is ready, and does not scrub by itself."""
    made = make_region(scrub=NEVER, timing=PATIENT)
    await made.start()
    return made


def nodes(region):
    """Every storage node that is up, by name."""
    return {name: node for zone in region.zones.values() for name, node in zone.components.nodes().items()}


def holders(region, group):
    """The nodes that hold a group: the leader first."""
    found = [node for node in nodes(region).values() if group in node.groups]
    return sorted(found, key=lambda node: (not node.groups[group].leads(), node.name))


async def group_of(region, pk):
    """The group that holds a key of the canary table."""
    table = await region.table()
    return catalogue.group_of(table, catalogue.locate(table, pk.encode()))


async def scrub(region):
    """What ``POST /scrub`` of every zone says, together."""
    found = {}
    for zone in region.zones.values():
        found |= (await zone.scrub())["groups"]
    return found


async def scrubbed(region, group):
    """One scrub of a group, by whoever leads it (the test's own work may cost a lease)."""
    async with asyncio.timeout(20):
        while (found := await holders(region, group)[0].scrub.group(group)) is None:
            await asyncio.sleep(0.02)
    return found


async def eventually(condition):
    """Wait until it is so."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def stored(node, group):
    """All rows of a group as a node has them, sound or not."""
    reader = node.items.snapshot_reader()
    try:
        rows, following = reader.rows(group, None)
        assert following is None
    finally:
        reader.close()
    return rows


def alike_and_sound(region, group):
    """Whether all replicas hold the same rows, each sound and where it belongs."""
    held = [stored(node, group) for node in holders(region, group)]
    return len(held) == 3 and held[0] == held[1] == held[2] and all(is_sound(row) for row in held[0])


def flip(path, offset):
    """Change a bit of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ 4]))


async def damage_a_page(region, node, path):
    """Flip a bit in a page of the file that SQLite's log does not hold anew; False when it holds them all just now."""
    await region.put("k0", "v" * 1500)
    node.keeping.commit()
    assert await node.keeping.make_durable()
    await node.keeping.checkpoint()
    # The next commit begins the log anew, and that holds only what is written from then on.
    await region.put("k0", "v" * 1500)
    await asyncio.sleep(0.15)
    node.keeping.commit()
    for number in range(path.stat().st_size // 4096, 1, -1):
        flip(path, 4096 * (number - 1) + 2000)
        if node.items.verify_pages()[0]:
            return True
        flip(path, 4096 * (number - 1) + 2000)
    return False


def strike(node, group, kind, pk):
    """Damage a row (or add one) behind the table's back."""
    number, place = node.items._ids[group], "grp = ? AND pk = ?"
    node.items._recent.clear()  # what is in memory is right, and would be served
    if kind == "extra":
        body = b"\x80"
        checksum = item_checksum(pk, b"s", body, 3)
        values = (number, key_hash(pk) - HALF_RING, pk, b"s", 3, checksum, body)
        return node.items._do("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    sql = {
        "body": f"UPDATE items SET body = CAST(x'00' || substr(body, 2) AS BLOB) WHERE {place}",
        "key": f"UPDATE items SET pk = CAST(x'00' || substr(pk, 2) AS BLOB) WHERE {place}",
        "ring": f"UPDATE items SET hash = hash - 1 WHERE {place}",
        "lsn": f"UPDATE items SET lsn = -lsn WHERE {place}",
        "gone": f"DELETE FROM items WHERE {place}",
    }[kind]
    return node.items._do(sql, (number, pk))


async def test_whatever_is_wrong_with_a_row_is_found_and_mended_within_one_scrub(region):
    """A changed body, key, place or LSN, a row that is gone and one that nobody wrote, on the leader and on a follower."""
    for n in range(12):
        await region.put(f"k{n}", str(n))
    group = await group_of(region, "k0")
    others = {await group_of(region, pk): pk for pk in (f"x{n}" for n in range(99))}
    extra = others[group]
    await eventually(lambda: alike_and_sound(region, group))
    for kind, wrong in (("body", 1), ("key", 2), ("ring", 2), ("lsn", 1), ("gone", 1), ("extra", 1)):
        for at in (0, 1):
            strike(holders(region, group)[at], group, kind, extra.encode() if kind == "extra" else b"k0")
            assert not alike_and_sound(region, group)
            found = (await scrub(region))[group]
            assert (found["mismatches"], found["repaired"], found["undecided"]) == (wrong, wrong, 0), (kind, at, found)
            assert not found["clean"]
            await eventually(lambda: alike_and_sound(region, group))
            assert all(view["clean"] and view["complete"] for view in (await scrub(region)).values())
    assert [await region.get(f"k{n}") for n in range(12)] == [str(n) for n in range(12)]
    assert await region.get(extra) is None
    leader = holders(region, group)[0]
    page = generate_latest(leader.metrics.registry).decode()
    assert "store_scrub_repaired_total 16.0" in page
    assert "store_scrub_mismatch_total 16.0" in page
    assert "store_scrub_undecided_total 0.0" in page
    assert "store_scrub_seconds_count 24.0" in page or "catalogue/0" in leader.groups
    assert float(page.split("\nstore_scrub_coverage_age_seconds ")[1].split("\n")[0]) < 60
    assert sum(node.metrics.archive._mismatches._value.get() for node in nodes(region).values()) == 0


async def stall_archive(region, *, stalled):
    """Keep the archive from every node, or give it back."""
    for zone in region.zones.values():
        for name in nodes(region):
            if stalled:
                await zone.actions.add(name, Fault.model_validate({"kind": "archive_stall", "node": name}))
            else:
                await zone.actions.remove(name)


async def test_two_damaged_replicas_are_mended_by_a_witness_or_not_at_all(region, monkeypatch):
    """One sound replica and a witness (a damaged row's checksum, the log, the archive) decide; alone it decides nothing, and stays."""
    await region.put("k", "1")
    group = await group_of(region, "k")
    await eventually(lambda: alike_and_sound(region, group))

    def strike_two():
        for node in holders(region, group)[:2]:
            strike(node, group, "lsn", b"k")

    await stall_archive(region, stalled=True)
    for node in holders(region, group)[:2]:
        strike(node, group, "body", b"k")
    monkeypatch.setattr("cluster.scrub.mending.logged", lambda *_: None)
    assert await region.get("k") == "1"  # the damaged rows have its LSN and checksum
    await eventually(lambda: alike_and_sound(region, group))
    monkeypatch.undo()
    strike_two()
    assert await region.get("k") == "1"  # the leader's log says so
    await eventually(lambda: alike_and_sound(region, group))
    monkeypatch.setattr("cluster.scrub.mending.logged", lambda *_: None)  # it does not reach back so far any more
    await stall_archive(region, stalled=False)
    strike_two()
    assert await region.get("k") == "1"
    await eventually(lambda: alike_and_sound(region, group))
    await stall_archive(region, stalled=True)
    strike_two()
    with pytest.raises(StoreError) as raised:
        await region.get("k")
    assert raised.value.kind == ErrorKind.CORRUPT
    before = stored(holders(region, group)[2], group)
    found = (await scrub(region))[group]
    assert (found["mismatches"], found["repaired"], found["undecided"], found["clean"]) == (1, 0, 1, False)
    assert "fault" in found["reference"]
    assert stored(holders(region, group)[2], group) == before
    with pytest.raises(StoreError):
        await region.put("k", "2")
    await stall_archive(region, stalled=False)
    await scrub(region)
    assert await region.get("k") == "1"
    await eventually(lambda: alike_and_sound(region, group))


async def test_a_damaged_archive_is_reported_and_so_is_one_that_is_not_what_the_replicas_hold(region, tmp_path):
    """An archived object with a changed byte is named; a sound object that makes another row than the replicas hold is told of."""
    await region.put("k", "1")
    group = await group_of(region, "k")
    folder = tmp_path / "archive" / group
    await eventually(lambda: folder.exists() and any(p.suffix == ".wal" for p in folder.iterdir()))
    path = next(p for p in sorted(folder.iterdir()) if p.suffix == ".wal")
    sound = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(sound[:-9] + bytes([sound[-9] ^ 1]) + sound[-8:])
    found = (await scrub(region))[group]
    assert found["reference"].startswith("damaged: ")
    assert path.name in found["reference"]
    assert (found["mismatches"], found["repaired"], found["clean"]) == (1, 0, False)
    content = segment.decode(sound, group=group)
    changed = [
        segment.Entry(e.lsn, e.ballot, e.payload.replace(b"\xa11", b"\xa12"), e.members) for e in content.entries
    ]
    path.write_bytes(segment.encode(content.place, changed))
    found = (await scrub(region))[group]
    assert (found["reference"], found["mismatches"], found["repaired"], found["clean"]) == ("compared", 1, 0, False)
    assert await region.get("k") == "1"
    path.write_bytes(sound)
    assert (await scrub(region))[group]["clean"]


async def test_without_damage_nothing_ever_differs_under_steady_writes(region, monkeypatch):
    """Digests taken at one LSN while keys are written, overwritten and deleted are the same on all replicas and in the archive."""
    findings, scrubs = [], 0

    def watched(digests):
        found = compare(digests)
        findings.extend(found)
        return found

    compare = rounds.compare
    monkeypatch.setattr("cluster.scrub.rounds.compare", watched)
    until = time.monotonic() + 3.0
    written = 0

    async def write(name):
        nonlocal written
        while time.monotonic() < until:
            await region.put(f"{name}-{written % 7}", str(written))
            written += 1

    writers = [asyncio.create_task(write(f"w{n}")) for n in range(8)]
    while time.monotonic() < until:
        views = (await scrub(region)).values()
        assert all(view["clean"] and view["complete"] and view["reference"] == "compared" for view in views), views
        scrubs += len(views)
    await asyncio.gather(*writers)
    assert findings == []
    assert scrubs >= 12
    assert written > 50


async def test_customers_see_no_wrong_value_and_no_failed_read_while_a_nodes_items_are_all_damaged(region):
    """The corrupt fault, on one node after another, under reads of both kinds, ranges, and writes; then everything is sound everywhere."""
    latest = {f"k{n}": 0 for n in range(24)}
    for pk in latest:
        await region.put(pk, "0")
    until = asyncio.Event()
    seen: list[str] = []
    reads = 0

    async def customer(zone, mine):
        nonlocal reads
        store, table = region.store(zone), await region.table(zone=zone)
        while not until.is_set():
            for pk in mine:
                assert await region.get(pk, zone=zone) == str(latest[pk]), pk
                assert int(await region.get(pk, zone=zone, strong=False)) <= latest[pk]
                page = await store.range(
                    table, pk.encode(), Bounds(), strong=True, forward=True, limit=None, after=None
                )
                assert [item["v"]["S"] for item in page.items] == [str(latest[pk])]
                if reads % 5 == 0:
                    await region.put(pk, str(latest[pk] + 1), zone=zone)
                    latest[pk] += 1
                reads += 1
                await asyncio.sleep(0.005)

    names = sorted(latest)
    customers = [asyncio.create_task(customer(f"az{n}", names[n - 1 :: 3])) for n in (1, 2, 3)]
    for victim in ("az1-node-1", "az2-node-1", "az3-node-1"):
        before = reads
        assert nodes(region)[victim].items.damage() > 0
        await eventually(lambda before=before: reads > before + 30 or any(task.done() for task in customers))
        seen += [victim] * (nodes(region)[victim].metrics.corrupt._value.get() > 0)
        await scrub(region)
    until.set()
    await asyncio.gather(*customers)
    assert seen
    views = await scrub(region)
    assert all(view["clean"] and view["complete"] for view in views.values()), views
    for group in views:
        await eventually(lambda group=group: alike_and_sound(region, group))
    assert {pk: int(await region.get(pk)) for pk in names} == latest


async def test_a_follower_that_meets_damage_has_it_mended(region):
    """A damaged row that an eventual read met is sound soon afterwards, without a scrub; the read was answered by another replica."""
    await region.put("k", "1")
    group = await group_of(region, "k")
    await eventually(lambda: alike_and_sound(region, group))
    follower = holders(region, group)[1]
    strike(follower, group, "body", b"k")
    assert await region.get("k", zone=follower.name[:3], strong=False) == "1"
    assert follower.metrics.corrupt._value.get() == 1
    await eventually(lambda: alike_and_sound(region, group))


async def test_a_scan_over_many_damaged_items_is_answered_by_the_leader(region):
    """A page of items that are all damaged is mended as a whole before it is answered."""
    for n in range(40):
        await region.put(f"k{n}", "v")
    for node in nodes(region).values():
        if node.name == "az1-node-1":
            node.items.damage()
    page = await region.store().scan(await region.table(), strong=True, limit=None, after=None)
    assert len(page.items) == 40
    assert {item["v"]["S"] for item in page.items} == {"v"}


async def test_a_damaged_page_that_nobody_reads_costs_its_node_the_table_which_is_rebuilt(make_region, tmp_path):
    """The node's own look at its pages finds it; the node goes on with a new table, and has everything again soon."""
    region = make_region(
        scrub=ScrubConfig(every_seconds=1e6, pages_every_seconds=0.3),
        archive=ArchiveConfig(store="off"),
        timing=PATIENT,
    )
    await region.start()
    for n in range(30):
        await region.put(f"k{n}", "v" * 1500)
    victim = nodes(region)["az2-node-1"]
    async with asyncio.timeout(20):
        while not await damage_a_page(region, victim, tmp_path / victim.name / "items.db"):
            await asyncio.sleep(0.1)
    await eventually(lambda: nodes(region).get("az2-node-1") not in (None, victim))
    assert any(".damaged-" in p.name for p in (tmp_path / "az2-node-1").iterdir())
    groups = [await group_of(region, f"k{n}") for n in range(30)]
    await eventually(lambda: all(alike_and_sound(region, group) for group in groups))
    assert {await region.get(f"k{n}") for n in range(30)} == {"v" * 1500}


@pytest.mark.proof
async def test_a_scrub_of_ten_thousand_items_lets_requests_pass(make_region):
    """While 10,000 rows are digested on three nodes, and again while 300 damaged ones are mended, others are served in between."""
    region = make_region(scrub=NEVER, timing=PATIENT, archive=ArchiveConfig(store="off"))
    await region.start()
    await region.put("k", "1")
    group = await group_of(region, "k")
    await eventually(lambda: alike_and_sound(region, group))
    partition = holders(region, group)[0].groups[group].partition
    keys = (f"i{n}".encode() for n in range(40_000))
    inside = [pk for pk in keys if partition.start <= key_hash(pk) < partition.end][:10_000]
    body = b"\x81\xa1v\x81\xa1S\xa1x" + b" " * 80
    rows = [Row(key_hash(pk), pk, b"s", 1, item_checksum(pk, b"s", body, 1), body) for pk in inside]
    for node in holders(region, group):
        node.items.install(group, [*stored(node, group), *rows], node.items.applied(group))
    served, view = await _served_meanwhile(region, scrubbed(region, group))
    assert view.clean
    assert view.complete
    assert served >= 3
    for pk in inside[:300]:
        strike(holders(region, group)[0], group, "body", pk)
    served, view = await _served_meanwhile(region, scrubbed(region, group))
    assert view.repaired == 300
    assert served >= 10


async def _served_meanwhile(region, work):
    """How many strong reads are answered one after another while ``work`` runs, and what that returns."""
    task, served = asyncio.create_task(work), 0
    while not task.done():
        assert await region.get("k") == "1"
        served += 1
        await asyncio.sleep(0.002)
    return served, await task


async def test_idle_groups_do_not_grow(region):
    """Scrubs of a group that nobody writes to use the marker that is there; one that was written to gets another."""
    await region.put("k", "1")
    group = await group_of(region, "k")
    first = (await scrub(region))[group]["lsn"]
    assert (await scrub(region))[group]["lsn"] == (await scrub(region))[group]["lsn"] == first
    await region.put("k", "2")
    assert (await scrub(region))[group]["lsn"] == first + 2


async def test_a_replica_that_is_away_makes_a_scrub_incomplete_not_wrong(region):
    """The others are compared; coverage does not count it, and nothing is taken for damage when the replica is back."""
    await region.put("k", "1")
    group = await group_of(region, "k")
    follower = holders(region, group)[1]
    await region.zones[follower.name[:3]].components.stop(follower.name, crash=True)
    await region.put("k", "2")
    view = await scrubbed(region, group)
    assert view.clean
    assert not view.complete
    assert follower.name not in view.replicas
    await region.zones[follower.name[:3]].components.start(follower.name)
    await eventually(lambda: alike_and_sound(region, group))
    assert (await scrubbed(region, group)).clean


async def test_scrub_over_http(region):
    """GET shows the last scrub of each group, each in the zone that leads it; POST makes one, and answers when it is done."""
    await region.put("k", "1")
    shown, made = {}, {}
    async with aiohttp.ClientSession() as http:
        for zone in region.topology.zones:
            assert (await (await http.get(f"http://{zone.admin}/scrub")).json()) == {"groups": {}}
            made |= (await (await http.post(f"http://{zone.admin}/scrub")).json())["groups"]
            shown |= (await (await http.get(f"http://{zone.admin}/scrub")).json())["groups"]
    assert shown == made
    assert len(made) == 4
    assert set(made["catalogue/0"]) >= {
        "lsn",
        "at",
        "seconds",
        "replicas",
        "reference",
        "mismatches",
        "repaired",
        "undecided",
        "clean",
    }
    assert all(view["clean"] and len(view["replicas"]) == 3 for view in made.values())


async def test_a_region_scrubs_by_itself(make_region):
    """Within its period every group is scrubbed by its leader, and coverage is never much older than that."""
    region = make_region(scrub=ScrubConfig(every_seconds=1.0, reference_every=1), timing=PATIENT)
    await region.start()
    await region.put("k", "1")
    views = [zone.scrubs for zone in region.zones.values()]
    await eventually(lambda: sum(len(view()["groups"]) for view in views) == 4)
    for view in views:
        for found in view()["groups"].values():
            assert (found["clean"], found["complete"], found["reference"]) == (True, True, "compared")


def test_keys_of_the_region_are_what_the_strikes_expect():
    """Rows are struck by the bytes of their partition key, which are those of its text."""
    assert key("k") == ItemKey(b"k", b"s")

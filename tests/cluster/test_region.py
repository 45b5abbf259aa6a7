"""The back of the store as a whole: three zones, real sockets, real files."""

import asyncio
import time

import pytest

from cluster.config import ArchiveConfig, TimingConfig
from cluster.ports import StoreError


async def written(region, count, *, zone="az2", seconds=10.0):
    """Write ``count`` items one after the other, each as often as it takes; the values acknowledged."""
    acknowledged = {}
    deadline = time.monotonic() + seconds
    for number in range(count):
        while True:
            assert time.monotonic() < deadline, "writes did not come back"
            try:
                await region.put(f"k{number}", str(number), zone=zone)
            except StoreError:
                await asyncio.sleep(0.05)
            else:
                acknowledged[f"k{number}"] = str(number)
                break
    return acknowledged


async def all_read(region, expected, *, zone, strong=True):
    """Whether every expected value is read in ``zone``."""
    return {pk: await region.get(pk, zone=zone, strong=strong) for pk in expected} == expected


async def test_thin_path(region):
    """What was written through one zone's router is read strongly through another's."""
    await region.put("a", "1", zone="az1")
    assert await region.get("a", zone="az2") == "1"


async def test_zone_dies_and_returns(region):
    """When a zone dies, writes come back within 10 s, no acknowledged write is lost, and the zone catches up when it returns."""
    before = await written(region, 30)
    await region.kill("az1")
    after = await written(region, 30, zone="az3")
    assert await all_read(region, before | after, zone="az2")
    await region.start("az1")
    async with asyncio.timeout(10):
        while not await all_read(region, before | after, zone="az1", strong=False):
            await asyncio.sleep(0.05)


async def test_eventual_reads_do_not_notice_a_dead_zone(region):
    """An eventual read is answered by another zone at once, in the dead zone's absence."""
    expected = await written(region, 9)
    await asyncio.sleep(0.3)
    await region.kill("az1")
    for pk, value in expected.items():
        started = time.monotonic()
        assert await region.get(pk, zone="az2", strong=False) == value
        assert time.monotonic() - started < 0.2


async def test_error_names_the_dead_leader(make_region):
    """While a partition has no leader the error carries the node that led it, promptly."""
    # A lease that outlasts the router's search by far: nobody can succeed the dead leader meanwhile.
    region = make_region(timing=TimingConfig(heartbeat_seconds=0.1, lease_seconds=3.0, drift_bound_seconds=0.02))
    await region.start()
    await region.put("a", "1", zone="az2")
    leader = (await region.store("az2").read(await region.table(zone="az2"), _key("a"), strong=True)).via.node
    dead = leader.split("-")[0]
    alive = next(zone for zone in region.config.zones if zone != dead)
    await region.kill(dead)
    started = time.monotonic()
    with pytest.raises(StoreError) as raised:
        await region.put("a", "2", zone=alive)
    assert raised.value.via.node == leader
    assert raised.value.via.partition is not None
    assert time.monotonic() - started < region.config.timing.request_timeout_seconds


async def test_whole_region_restarts_from_disk(region):
    """After the power went everywhere, all acknowledged writes are there, and the tables are the same ones."""
    expected = await written(region, 30)
    table = await region.table()
    for zone in region.config.zones:
        await region.kill(zone)
    await region.start()
    assert (await region.table()).id == table.id
    assert await all_read(region, expected, zone="az3")


async def test_tables_are_created_and_deleted(region):
    """A table made through one zone can be written at once in another, and is gone after its deletion."""
    made = await region.table()
    wanted = type(made)(
        name="new", id="new-1", hash_key=made.hash_key, range_key=made.range_key, partitions=(), created_at=1.0
    )
    await region.store("az1").create_table(wanted)
    await region.put("a", "1", zone="az2", table="new")
    assert await region.get("a", zone="az3", table="new") == "1"
    with pytest.raises(StoreError, match="already exists"):
        await region.store("az3").create_table(wanted)
    assert await region.store("az2").tables() == ["canary", "new"]
    await region.store("az3").delete_table("new")
    async with asyncio.timeout(5):
        while any("new-1/0" in n.groups for z in region.zones.values() for n in z.components.nodes().values()):
            await asyncio.sleep(0.05)
    assert await region.store("az1").table("new") is None


async def test_hot_key_keeps_its_order(region):
    """Concurrent writes of one key are made one after the other, and all are acknowledged."""
    await asyncio.gather(*(region.put("hot", str(n), zone=f"az{n % 3 + 1}") for n in range(30)))
    assert await region.get("hot") is not None


def _key(pk):
    from tests.cluster.small_region import key

    return key(pk)


async def test_a_zone_that_was_away_too_long_gets_a_snapshot(make_region, monkeypatch):
    """When the log that a returning replica needs is compacted away, it fetches the items and is whole again."""
    monkeypatch.setattr("cluster.housekeeping.COMPACT_BYTES", 1)
    monkeypatch.setattr("cluster.archive.budget.KEEP_ENTRIES", 0)
    monkeypatch.setattr("cluster.housekeeping.HOUSEKEEPING_SECONDS", 0.1)
    region = make_region(archive=ArchiveConfig(store="off"))
    await region.start()
    before = await written(region, 10)
    await region.kill("az1")
    after = await written(region, 100)
    await asyncio.sleep(0.5)
    await region.start("az1")
    async with asyncio.timeout(10):
        while not await all_read(region, before | after, zone="az1", strong=False):
            await asyncio.sleep(0.05)
    nodes = region.zones["az1"].components.nodes().values()
    assert sum(node.metrics.snapshots._value.get() for node in nodes) > 0
    for zone in region.config.zones:
        await region.kill(zone)
    await region.start()
    assert await all_read(region, before | after, zone="az2")


async def test_eventual_reads_are_fresh_in_a_healthy_region(region):
    """What was written is seen by eventual reads everywhere within a few milliseconds, not at the next heartbeat."""
    lags = []
    for number in range(20):
        await region.put("fresh", str(number))
        started = time.monotonic()
        for zone in region.config.zones:
            while await region.get("fresh", zone=zone, strong=False) != str(number):
                await asyncio.sleep(0.002)
        lags.append(time.monotonic() - started)
    assert sorted(lags)[len(lags) // 2] < 0.05

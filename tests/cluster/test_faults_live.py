"""Each kind of fault has its effect on the running store, and none when it is removed."""

import asyncio
import shutil
import time

import pytest

from cluster.control import catalogue
from cluster.fault_actions import NotHere
from cluster.fault_injection import FaultSet
from cluster.faults import Fault
from cluster.ports import ErrorKind, StoreError
from tests.cluster.small_region import key


async def everywhere(region, fault_id, **fields):
    """Install a fault in every zone, as the supervisor does."""
    for zone in region.zones.values():
        await zone.actions.add(fault_id, Fault.model_validate(fields))


async def healed(region, fault_id):
    """Remove it everywhere."""
    for zone in region.zones.values():
        await zone.actions.remove(fault_id)


async def leader_of(region, pk):
    """The node that leads the key's partition, found by asking until one answers."""
    async with asyncio.timeout(10):
        while True:
            try:
                return (await region.store("az1").read(await region.table(), key(pk), strong=True)).via.node
            except StoreError:
                await asyncio.sleep(0.05)


def zone_of(node):
    """The zone in a component's name."""
    return node.split("-")[0]


async def writes_return(region, pk, *, zone, seconds=10.0):
    """Seconds until a write is acknowledged again."""
    started = time.monotonic()
    while True:
        try:
            await region.put(pk, "again", zone=zone)
        except StoreError:
            assert time.monotonic() - started < seconds, "writes did not come back"
            await asyncio.sleep(0.05)
        else:
            return time.monotonic() - started


@pytest.mark.parametrize("kind", ["crash", "power_off", "pause"])
async def test_leader_node_falls(region, kind):
    """A leader that crashes or freezes is replaced; it comes back with all that was acknowledged."""
    await region.put("a", "1")
    leader = await leader_of(region, "a")
    await everywhere(region, "f", kind=kind, node=leader)
    other = next(zone for zone in region.config.zones if zone != zone_of(leader))
    await writes_return(region, "a", zone=other)
    assert await leader_of(region, "a") != leader
    await healed(region, "f")
    node = region.zones[zone_of(leader)].components.node(leader)
    assert node is not None
    assert not node.paused
    async with asyncio.timeout(10):
        while await region.get("a", zone=zone_of(leader), strong=False) != "again":
            await asyncio.sleep(0.05)


async def test_restart_of_a_node(region):
    """A restarted node has another process life and the same items."""
    await region.put("a", "1")
    leader = await leader_of(region, "a")
    before = region.zones[zone_of(leader)].components.node(leader)
    await everywhere(region, "f", kind="restart", node=leader)
    assert region.zones[zone_of(leader)].components.node(leader) is not before
    await writes_return(region, "b", zone="az1")
    assert await leader_of(region, "a") is not None
    assert await region.get("a") == "1"


async def test_partitioned_zone(region):
    """A zone cut off from the others serves no writes; the others do, and it joins them afterwards."""
    await everywhere(region, "f", **{"kind": "partition", "from": {"zone": "az1"}, "to": {"zone": "az2"}})
    await everywhere(region, "g", **{"kind": "partition", "from": {"zone": "az1"}, "to": {"zone": "az3"}})
    await asyncio.sleep(0.8)
    for pk in ("a", "b", "c", "d"):
        await writes_return(region, pk, zone="az2")
    with pytest.raises(StoreError):
        await region.put("a", "lost", zone="az1")
    await healed(region, "f")
    await healed(region, "g")
    await writes_return(region, "a", zone="az1")


async def test_delay(region):
    """A delayed path makes requests over it slower by as much."""
    await region.put("a", "1")
    leader = await leader_of(region, "a")
    far = next(zone for zone in region.config.zones if zone != zone_of(leader))
    fields = {"kind": "delay", "from": f"{far}-router-1", "to": leader, "ms": 100, "one_way": True}
    await everywhere(region, "f", **fields)
    started = time.monotonic()
    await region.get("a", zone=far)
    assert time.monotonic() - started >= 0.1
    await healed(region, "f")
    started = time.monotonic()
    await region.get("a", zone=far)
    assert time.monotonic() - started < 0.1


async def test_drop(region):
    """A path that loses everything lets requests time out."""
    await region.put("a", "1")
    leader = await leader_of(region, "a")
    await everywhere(
        region, "f", **{"kind": "drop", "from": {"role": "router"}, "to": leader, "probability": 1.0, "one_way": True}
    )
    with pytest.raises(StoreError) as raised:
        await region.get("a", zone=zone_of(leader))
    assert raised.value.kind == ErrorKind.TIMEOUT
    assert raised.value.via.node == leader
    await healed(region, "f")
    assert await region.get("a", zone=zone_of(leader)) == "1"


async def test_disk_full(region):
    """A leader whose disk is full refuses writes by name, still reads, and writes again when there is space."""
    await region.put("a", "1")
    leader = await leader_of(region, "a")
    await everywhere(region, "f", kind="disk_full", node=leader)
    kinds = set()
    for _ in range(3):
        try:
            await region.put("a", "2")
        except StoreError as error:
            kinds.add(error.kind)
        await asyncio.sleep(0.1)
    assert ErrorKind.DISK_FULL in kinds
    assert await region.get("a") in ("1", "2")
    await healed(region, "f")
    await writes_return(region, "a", zone="az1")


async def test_slow_disk(region):
    """A slow disk makes fsyncs longer by its factor, and is fast again afterwards."""
    fields = {"kind": "slow_disk", "node": "az1-node-1", "factor": 1000}
    await everywhere(region, "f", **fields)
    for zone in region.zones.values():
        assert zone.faults.fsync_factor("az1-node-1") == 1000
        assert zone.faults.fsync_factor("az1-node-2") == 1.0
    await writes_return(region, "a", zone="az1")
    await healed(region, "f")
    assert region.zones["az1"].faults.fsync_factor("az1-node-1") == 1.0


async def test_corrupt(region):
    """Damaged items are never served: the leader mends them before it answers, strong or not, and nothing is left to heal."""
    await region.put("a", "1")
    leader = await leader_of(region, "a")
    await asyncio.sleep(0.3)
    await everywhere(region, "f", kind="corrupt", node=leader)
    assert await region.get("a") == "1"
    assert await region.get("a", zone=zone_of(leader), strong=False) == "1"
    node = region.zones[zone_of(leader)].components.node(leader)
    assert node.metrics.corrupt._value.get() == 1
    await healed(region, "f")
    assert await region.get("a") == "1"


async def test_error_of_a_node(region):
    """A node told to fail writes fails them, and serves reads."""
    await region.put("a", "1")
    leader = await leader_of(region, "a")
    await everywhere(region, "f", kind="error", node=leader, operation="write")
    with pytest.raises(StoreError) as raised:
        await region.put("a", "2")
    assert raised.value.kind == ErrorKind.INTERNAL
    assert await region.get("a") == "1"
    await healed(region, "f")
    await region.put("a", "2")


async def test_replicas_of_one_partition_are_down(region):
    """Two of three replicas that hear nothing: that partition takes no writes, all others do; it is well when they hear again."""
    await region.put("a", "1")
    table = await region.table()
    partition = catalogue.locate(table, key("a").partition_key)
    for number, node in enumerate(partition.replicas[:2]):
        await everywhere(region, f"f{number}", kind="replica_down", node=node, table=table.name, partition=partition.id)
    other = next(pk for pk in "bcdefghij" if catalogue.locate(table, key(pk).partition_key) is not partition)
    with pytest.raises(StoreError):
        await region.put("a", "2")
    await region.put(other, "1")
    for number in range(2):
        await healed(region, f"f{number}")
    await writes_return(region, "a", zone="az1")


async def test_a_router_crashes_alone(region):
    """The routers of a zone can fall one by one; a storage node of the same process goes on."""
    await everywhere(region, "f", kind="crash", router="az1-router-1")
    assert not region.zones["az1"].components.up("az1-router-1")
    assert region.zones["az1"].components.up("az1-node-1")
    await healed(region, "f")
    assert region.zones["az1"].components.up("az1-router-1")


def test_a_bad_deployment_shows_its_version_and_fails_as_told():
    """Only the routers that have it, only the operations it breaks; without it a router says its own version."""
    faults = FaultSet({"az1-router-1": "az1", "az1-router-2": "az1"})
    faults.add(
        "f", Fault.model_validate({"kind": "version", "router": "az1-router-1", "version": "2", "operation": "write"})
    )
    assert (faults.version_of("az1-router-1"), faults.version_of("az1-router-2")) == ("2", None)
    asked = [faults.error_for(f"az1-router-{n}", "fips", side, None) for n in (1, 2) for side in ("read", "write")]
    assert asked == [None, 500, None, None]
    faults.remove("f")
    assert faults.version_of("az1-router-1") is None


async def test_what_a_zone_process_cannot_do_is_said(region):
    """Kinds that are applied by others are refused with a sentence and leave nothing behind."""
    actions = region.zones["az1"].actions
    for fields, status, words in (
        ({"kind": "load", "table": "orders", "key": "a", "rate": 1}, 422, "supervisor"),
        ({"kind": "dns", "endpoint": "any", "answer": "empty"}, 422, "DNS server"),
        ({"kind": "crash", "zone": "az1"}, 422, "supervisor"),
        ({"kind": "crash", "node": "az1-node-9"}, 422, "az1-node-1"),
    ):
        with pytest.raises(NotHere, match=words) as raised:
            await actions.add("f", Fault.model_validate(fields))
        assert raised.value.status == status
    assert region.zones["az1"].faults.installed() == {}


async def test_a_node_whose_disk_is_full_when_it_starts_is_opened_as_soon_as_there_is_room(region, caplog):
    """Nothing else of the zone falls with it."""
    await region.put("a", "1")
    node = await leader_of(region, "a")
    components = region.zones[zone_of(node)].components
    await everywhere(region, "full", kind="disk_full", node=node)
    await components.stop(node, crash=False)
    shutil.rmtree(region.config.data_dir / node)  # a new disk: opening has to write
    await components.start(node)
    assert not components.up(node)
    assert "cannot open its files" in caplog.text
    await writes_return(region, "b", zone=next(zone for zone in region.config.zones if zone != zone_of(node)))
    await healed(region, "full")
    async with asyncio.timeout(10):
        while not components.up(node):
            await asyncio.sleep(0.05)


async def test_a_node_that_waits_for_its_disk_can_be_stopped(region):
    """Whoever stops a node that could not open stops the trying, too."""
    node = next(iter(region.zones["az1"].components.node_names))
    components = region.zones["az1"].components
    await everywhere(region, "full", kind="disk_full", node=node)
    await components.stop(node, crash=True)
    shutil.rmtree(region.config.data_dir / node)
    await components.start(node)
    await components.stop(node, crash=True)
    await healed(region, "full")
    await asyncio.sleep(1.2)
    assert not components.up(node)
    await components.start(node)
    assert components.up(node)

"""Named scenarios of the whole store: what customers notice of a fault, and for how long."""

import asyncio

import pytest

from cluster.control import catalogue
from cluster.kept import Kept
from cluster.routing.messages import Refused, Routes, WhatRoutes
from fivenines.simulation.history import Kind, Outcome
from fivenines.simulation.nemesis import Trouble
from tests.simulation.scenes import ANSWERED, gap, scene


def failed(operations):
    """Those that a customer did not get an answer to."""
    return [operation for operation in operations if operation.outcome not in ANSWERED]


@scene
async def test_one_way_loss_to_a_follower_is_not_noticed(s):
    """When nothing from the leader reaches one follower, nobody is elected, and no operation fails (ATC 2022, §5: gray failures)."""
    elections, leader = s.elections, s.leader()
    follower = next(n for n in ("az3-node-1", "az2-node-1") if n != leader)
    writes, reads = s.keep(Kind.PUT), s.keep(Kind.READ, zone="az1")
    mend = await s.cut(leader, follower, one_way=True)
    await s.seconds(2.5)
    assert s.elections == elections
    assert s.leader() == leader
    assert not failed(writes)
    assert not failed(reads)
    await mend()
    await s.seconds(1)


@scene
async def test_a_dead_leader_costs_writes_a_lease(s):
    """After the leader's power-off writes are back within the lease and a second; eventual reads notice nothing."""
    leader = s.leader()
    zone = next(z for z in s.world.config.zones if z != s.world.zone_of[leader])
    writes, reads = s.keep(Kind.PUT, zone=zone), s.keep(Kind.EVENTUAL_READ, zone=zone)
    await s.seconds(1)
    back = await s.crash(leader)
    await s.seconds(8)
    assert gap(writes) < s.world.timing.lease_seconds + 1.0
    assert not failed(reads)
    await back()
    await s.seconds(8)


@scene
async def test_a_planned_stop_waits_for_no_lease(s):
    """A leader that is stopped as planned hands over first: customers notice a fraction of a second, and no operation fails."""
    leader = s.leader()
    zone = next(z for z in s.world.config.zones if z != s.world.zone_of[leader])
    writes = s.keep(Kind.PUT, zone=zone, every=0.05)
    await s.seconds(1)
    back = await s.strike(Trouble.STOP, leader)
    await s.seconds(3)
    assert s.leader() not in (leader, None)
    assert gap(writes) < 1.0
    assert not failed(writes)
    await back()
    await s.seconds(3)


@scene
async def test_a_zone_without_power(s):
    """While a zone is away the other two serve; when it is back its replicas have everything."""
    value = (await s.write()).value
    dead = s.world.zone_of[s.leader()]
    on = await s.strike(Trouble.ZONE_OFF, dead)
    zone = next(z for z in s.world.config.zones if z != dead)
    await s.leader_after(s.world.timing.lease_seconds + 2.0)
    assert await s.read(zone=zone) == value
    value = (await s.write(zone=zone)).value
    await on()
    await s.seconds(10)
    assert await s.read(zone=zone) == value


@scene
async def test_the_whole_region_without_power(s):
    """After the power was away everywhere at one instant, every acknowledged write is there."""
    values = {pk: (await s.write(pk)).value for pk in ("k0", "k1")}
    on = await s.strike(Trouble.REGION_OFF, "region")
    await s.seconds(2)
    await on()
    await s.leader_after(10)
    for pk, value in values.items():
        assert await s.read(pk) == value


@pytest.mark.proof
@scene
async def test_torn_tails(s):
    """Power-offs in the middle of fsyncs, again and again, lose nothing that was acknowledged."""
    writes = s.keep(Kind.PUT, every=0.02)
    for turn in range(6):
        node = f"az{turn % 3 + 1}-node-1"
        slow = await s.strike(Trouble.SLOW_DISK, node, amount=200.0)
        await s.seconds(0.7)
        back = await s.crash(node)
        await slow()
        await s.seconds(0.5)
        await back()
        await s.seconds(6)
    assert sum(operation.outcome is Outcome.OK for operation in writes) > 100


@scene
async def test_a_full_disk_of_the_leader(s):
    """While the leader's disk is full writes are refused or served by another, and never lost; afterwards all is well."""
    leader = s.leader()
    free = await s.strike(Trouble.FULL_DISK, leader)
    writes = s.keep(Kind.PUT)
    await s.seconds(4)
    await free()
    await s.seconds(4)
    assert writes[-1].outcome is Outcome.OK


@scene
async def test_a_paused_leader_serves_nothing_stale(s):
    """A leader that was frozen for longer than its lease does not answer from the past when it goes on."""
    leader = s.leader()
    zone = next(z for z in s.world.config.zones if z != s.world.zone_of[leader])
    resume = await s.strike(Trouble.PAUSE, leader)
    asking = asyncio.create_task(s.read(zone=s.world.zone_of[leader]))
    await s.seconds(s.world.timing.lease_seconds + 2.5)
    value = (await s.write(zone=zone)).value
    await resume()
    asking.cancel()
    assert await s.read(zone=zone) == value
    await s.seconds(2)


@scene
async def test_a_minority_does_not_lead(s):
    """A leader that is cut off with its zone stops within its lease; the majority goes on with another."""
    leader = s.leader()
    zone = s.world.zone_of[leader]
    others = [z for z in s.world.config.zones if z != zone]
    mends = [await s.cut(zone, other) for other in others]
    await s.seconds(s.world.timing.lease_seconds + 1.5)
    assert s.leader() not in (leader, None)
    await s.write(zone=others[0])
    for mend in mends:
        await mend()
    await s.seconds(2)


@scene
async def test_a_log_replica_of_the_catalogue_does_not_say_that_there_are_no_tables(s):
    """While a zone's catalogue is only logged, or its disk is new, its nodes keep what they host and its routers serve."""
    value = (await s.write()).value
    group = s.group()
    reads = s.keep(Kind.READ, zone="az2", pk="k0", every=0.25)
    other = await s.crash("az2-node-2")
    back = await s.strike(Trouble.WIPE, "az2-node-1")
    await s.seconds(5)
    await back()
    await s.seconds(8)
    await other()
    await s.seconds(8)
    assert not [operation for operation in reads if "no_such_table" in operation.reason]
    node = s.world.node("az2-node-1")
    assert isinstance(await node.asked("az2-memds-1", WhatRoutes(-1), s.now), Routes)
    node.groups[catalogue.GROUP].kept = Kept.LOG
    assert isinstance(await node.asked("az2-memds-1", WhatRoutes(-1), s.now), Refused)
    node.groups[catalogue.GROUP].kept = Kept.ITEMS
    hosts = [name for name, node in s.world.nodes().items() if group in node.groups]
    assert {s.world.zone_of[name] for name in hosts} == set(s.world.config.zones)
    assert await s.read() == value

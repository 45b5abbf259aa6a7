"""A replica whose items are still to come is not taken for one that has them: found by a scrub in the simulation (seed 106)."""

import asyncio

import pytest

from cluster.kept import Kept
from cluster.routing.messages import HostReplica
from tests.cluster.test_scrub_region import NEVER, PATIENT, alike_and_sound, eventually, group_of, holders, nodes


@pytest.fixture
async def region(make_region):
    """A region that is ready, and does not scrub by itself."""
    made = make_region(scrub=NEVER, timing=PATIENT)
    await made.start()
    return made


async def test_a_log_replica_that_is_to_hold_items_still_lacks_them_after_a_restart(region, monkeypatch):
    """Stopped before its snapshot came, it fetches it after the restart, although it has followed the whole log."""
    await region.put("k", "1")
    group = await group_of(region, "k")
    await eventually(lambda: alike_and_sound(region, group))
    follower = holders(region, group)[1]
    name, zone = follower.name, region.zones[follower.name[:3]]
    member = next(m for m in follower.groups[group].replica.members if m.node == name)
    # A log replica: it follows the log, and has no items.
    follower.items.set_fact(f"log_only:{group}", 1)
    follower.items._recent.clear()
    follower.items._do("DELETE FROM items WHERE grp = ?", (follower.items._ids[group],))
    await zone.components.stop(name, crash=False)
    await zone.components.start(name)
    await region.put("k", "2")
    leader = holders(region, group)[0]
    await eventually(lambda: nodes(region)[name].items.applied(group) == leader.items.applied(group))
    hosted = nodes(region)[name].groups[group]
    assert hosted.kept is Kept.LOG

    async def unreachable(*_, **__):
        raise ValueError("not now")

    with monkeypatch.context() as patch:
        patch.setattr("cluster.hosting.fetch_snapshot", unreachable)
        order = HostReplica(group, hosted.table, member, hosted.replica.members, hosted.replica.config_lsn)
        await nodes(region)[name].replicas.host(order)
        assert hosted.kept is Kept.NOTHING
        await asyncio.sleep(0.1)
        await zone.components.stop(name, crash=False)
        await zone.components.start(name)
        assert nodes(region)[name].groups[group].kept is Kept.NOTHING
    await eventually(lambda: nodes(region)[name].groups[group].kept is Kept.ITEMS)
    await eventually(lambda: alike_and_sound(region, group))
    await zone.components.stop(name, crash=False)
    await zone.components.start(name)
    assert nodes(region)[name].groups[group].kept is Kept.ITEMS
    assert await region.get("k") == "2"

"""What the swarm once found, as the smallest story that shows it."""

import pytest

from cluster.archive.store import ArchiveUnavailable
from cluster.storage.table import ItemTable
from tests.simulation.scenes import scene


@scene(archived=True)
async def test_a_group_that_is_dropped_while_it_is_scrubbed(s):
    """A scrub that asks the archive for a group that its node has just dropped hears so; the node lives on."""
    await s.write()
    name = s.leader()
    node = s.world.node(name)
    with pytest.raises(ArchiveUnavailable):
        await node.archive.reference("gone/0", 7)


@scene()
async def test_what_a_node_begins_with_is_on_its_disk(s):
    """A table that was committed and not fsynced when its process ended does not fall back later: its log goes on from there."""
    for _ in range(8):  # what is not fsynced is lost by chance
        await s.write()
        group, leader = s.group(), s.leader()
        await s.world.take_down(leader, crash=False)
        await s.world.let_up(leader)
        began_with = s.world.node(leader).items.applied(group)
        await s.world.take_down(leader, crash=True)
        disk = s.world.disks[leader]
        table = ItemTable(disk)
        assert table.applied(group) >= began_with
        table.close()
        disk.close()
        await s.world.let_up(leader)
        await s.leader_after(10)

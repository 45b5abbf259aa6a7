"""A node whose item table is damaged, in a region that goes on."""

import asyncio

import pytest

from cluster.storage.table import TableDamaged


async def test_a_node_with_a_damaged_table_is_opened_anew_by_itself(region):
    """The old table is set aside for people, its items come back by snapshot, and nobody reads a wrong value meanwhile."""
    for number in range(20):
        await region.put(f"key {number}", str(number))
    zone = region.zones["az2"]
    name = zone.zone.nodes[0].name
    before = zone.components.node(name)
    before.condemn("a page does not match its checksum")
    with pytest.raises(TableDamaged):
        before.items.groups()
    async with asyncio.timeout(20):
        while (now := zone.components.node(name)) is None or now is before or not _whole(now):
            await asyncio.sleep(0.05)
        for number in range(20):
            assert await region.get(f"key {number}") == str(number)
    aside = [path.name for path in (region.config.data_dir / name).iterdir()]
    assert "items.db.damaged-1" in aside


def _whole(node):
    return node.groups and not node.replicas.rebuilding and all(view.leader for view in node.views())

"""What the swarm once found, as the smallest story that shows it."""

import pytest

from cluster.archive.store import ArchiveUnavailable
from tests.simulation.scenes import scene


@scene(archived=True)
async def test_a_group_that_is_dropped_while_it_is_scrubbed(s):
    """A scrub that asks the archive for a group that its node has just dropped hears so; the node lives on."""
    await s.write()
    name = s.leader()
    node = s.world.node(name)
    with pytest.raises(ArchiveUnavailable):
        await node.archive.reference("gone/0", 7)

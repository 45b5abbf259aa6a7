"""Whatever runs until it is cancelled ends when it is, also when something else happens at the same moment."""

import asyncio

import pytest

from cluster.config import ClusterConfig
from cluster.routing.memds import MemDs
from cluster.routing.messages import RoutesChanged
from cluster.topology import build
from cluster.transport import Hub
from fivenines.simulation.loop import run_virtually


@pytest.mark.parametrize("turns", range(6))
def test_memds_ends_when_a_nudge_comes_with_its_end(turns):
    """So many turns of the loop after a nudge, a cancellation is still a cancellation."""

    async def story():
        hub = Hub(build(ClusterConfig(), single=False), "az1")
        memds = MemDs("az1-memds-1", hub=hub, sources=(), readers=())
        running = asyncio.create_task(memds.run())
        await asyncio.sleep(0.1)
        memds.told("az1-node-1", RoutesChanged())
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running], timeout=10.0)
        assert running.cancelled()

    run_virtually(story)

"""One contract for the transport, kept by real sockets and by the simulated network alike."""

import asyncio
import contextlib
import dataclasses
import random

import pytest

from cluster.config import ClusterConfig
from cluster.ports import ErrorKind, ItemKey
from cluster.routing.messages import ItemIs, ReadItem, Refused, RoutesChanged
from cluster.topology import Address, build
from cluster.transport import Hub, NoAnswer, Unreachable
from fivenines.simulation.loop import run_virtually
from fivenines.simulation.network import Network
from fivenines.simulation.trace import Trace
from tests.cluster.small_region import WORKER

QUESTION = ReadItem("t/0", ItemKey(b"a"), True)
HERE, THERE = "az1-router-1", "az2-node-1"


class Ears:
    """A component that remembers what it was told, and answers after ``delay``."""

    def __init__(self, delay=0.0):
        self.delay, self.heard = delay, []

    def told(self, sender, body):
        """Remember it."""
        self.heard.append(body)

    async def asked(self, sender, body, deadline):
        """Say who asked."""
        await asyncio.sleep(self.delay)
        return ItemIs(sender.encode())


class Pair:
    """Two zones' hubs; ``fall`` ends the second zone's process, ``rise`` starts another."""

    def __init__(self, new_hub):
        self._new_hub = new_hub
        self.here, self.there = new_hub("az1"), new_hub("az2")
        self._tasks = {}

    async def start(self):
        """Connect them."""
        for zone, hub in (("az1", self.here), ("az2", self.there)):
            self._tasks[zone] = asyncio.create_task(hub.run())
        await self.connected()

    async def connected(self):
        """Wait until they are."""
        async with asyncio.timeout(5):
            while not (self.here.connected() and self.there.connected()):
                await asyncio.sleep(0.01)

    async def fall(self):
        """The second zone's process is gone."""
        await self._end("az2")

    async def rise(self):
        """It is back, and knows nothing of what was."""
        self.there = self._new_hub("az2")
        self._tasks["az2"] = asyncio.create_task(self.there.run())

    async def close(self):
        """End both."""
        for zone in list(self._tasks):
            await self._end(zone)

    async def _end(self, zone):
        task = self._tasks.pop(zone)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def on_sockets(story, number):
    """Live the story on real connections; ``number`` keeps the addresses of stories apart."""
    topology = build(ClusterConfig(zones=("az1", "az2")), single=False)
    ports = [7500 + 100 * WORKER + 2 * number + i for i in range(2)]
    zones = tuple(
        dataclasses.replace(zone, transport=Address("127.77.2.251", port))
        for zone, port in zip(topology.zones, ports, strict=True)
    )
    topology = dataclasses.replace(topology, zones=zones)
    asyncio.run(_lived(story, lambda: lambda zone: Hub(topology, zone)))


def simulated(story, number):
    """Live it on the simulated network, in virtual time."""
    topology = build(ClusterConfig(zones=("az1", "az2")), single=False)

    def hubs():
        network = Network(("az1", "az2"), random.Random(number), Trace())
        return lambda zone: Hub(topology, zone, carrier=network.carrier(zone))

    run_virtually(lambda: _lived(story, hubs))


async def _lived(story, hubs):
    pair = Pair(hubs())
    await pair.start()
    try:
        await story(pair)
    finally:
        await pair.close()


# --- the contract -------------------------------------------------------------------------------------------------------


async def asks_are_answered(pair):
    """A component is asked and told by name."""
    ears = Ears()
    pair.there.attach(THERE, ears)
    assert await pair.here.ask(HERE, THERE, QUESTION, timeout_seconds=1) == ItemIs(HERE.encode())
    pair.here.tell(HERE, THERE, RoutesChanged())
    await asyncio.sleep(0.1)
    assert ears.heard == [RoutesChanged()]


async def absence_is_known_at_once(pair):
    """Nobody waits for a component that is not there, and it was certainly not asked."""
    loop = asyncio.get_running_loop()
    for receiver in (THERE, "az1-node-1", "az9-node-1"):
        began = loop.time()
        with pytest.raises(Unreachable) as raised:
            await pair.here.ask(HERE, receiver, QUESTION, timeout_seconds=5)
        assert not raised.value.sent
        assert loop.time() - began < 0.5


async def patience_ends(pair):
    """An ask without an answer ends when the asker's patience does."""
    pair.there.attach(THERE, Ears(delay=5))
    with pytest.raises(NoAnswer):
        await pair.here.ask(HERE, THERE, QUESTION, timeout_seconds=0.05)


async def a_component_falls_while_asked(pair):
    """Its askers learn at once that the outcome is unknown."""
    pair.there.attach(THERE, Ears(delay=5))
    asking = asyncio.create_task(pair.here.ask(HERE, THERE, QUESTION, timeout_seconds=5))
    await asyncio.sleep(0.1)
    pair.there.detach(THERE)
    with pytest.raises(Unreachable) as raised:
        await asking
    assert raised.value.sent


async def a_zone_falls_and_returns(pair):
    """What was asked of it has an unknown outcome, what is asked now is certainly not, and it is reached again by itself."""
    pair.there.attach(THERE, Ears(delay=5))
    asking = asyncio.create_task(pair.here.ask(HERE, THERE, QUESTION, timeout_seconds=5))
    await asyncio.sleep(0.1)
    await pair.fall()
    with pytest.raises(Unreachable) as raised:
        await asking
    assert raised.value.sent
    with pytest.raises(Unreachable) as raised:
        await pair.here.ask(HERE, THERE, QUESTION, timeout_seconds=5)
    assert not raised.value.sent
    await pair.rise()
    pair.there.attach(THERE, Ears())
    await pair.connected()
    assert await pair.here.ask(HERE, THERE, QUESTION, timeout_seconds=1) == ItemIs(HERE.encode())


async def pauses_hold(pair):
    """What is sent to a paused component arrives when it goes on, in order."""
    ears = Ears()
    pair.there.attach(THERE, ears)
    pair.there.pause(THERE)
    pair.here.tell(HERE, THERE, RoutesChanged())
    asking = asyncio.create_task(pair.here.ask(HERE, THERE, QUESTION, timeout_seconds=5))
    await asyncio.sleep(0.2)
    assert ears.heard == []
    assert not asking.done()
    pair.there.resume(THERE)
    assert await asking == ItemIs(HERE.encode())
    assert ears.heard == [RoutesChanged()]


async def too_many_asks(pair):
    """A component serves a bounded number of asks; the rest are refused at once."""
    pair.there.attach(THERE, Ears(delay=0.3))
    asks = [pair.here.ask(HERE, THERE, QUESTION, timeout_seconds=2) for _ in range(5)]
    refused = [answer for answer in await asyncio.gather(*asks) if isinstance(answer, Refused)]
    assert [answer.kind for answer in refused] == [ErrorKind.UNAVAILABLE] * 3


CONTRACT = [
    asks_are_answered,
    absence_is_known_at_once,
    patience_ends,
    a_component_falls_while_asked,
    a_zone_falls_and_returns,
    pauses_hold,
    too_many_asks,
]


@pytest.mark.parametrize("live", [on_sockets, simulated])
@pytest.mark.parametrize("story", CONTRACT)
def test_contract(story, live, monkeypatch):
    """Each clause (see its docstring) holds on both networks."""
    monkeypatch.setattr("cluster.transport.MAX_SERVING", 2)
    live(story, CONTRACT.index(story))

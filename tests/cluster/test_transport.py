"""Zones talking to each other over real sockets, and components of one zone without any."""

import asyncio
import contextlib
import dataclasses
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.config import ClusterConfig
from cluster.fault_injection import FaultSet
from cluster.faults import Fault
from cluster.frames import BadFrame, Frame, FrameKind, decode_frame, encode, split
from cluster.ports import ErrorKind, ItemKey
from cluster.routing.messages import ItemIs, ReadItem, Refused, RoutesChanged
from cluster.topology import Address, build
from cluster.transport import Hub, NoAnswer, Unreachable
from tests.cluster.small_region import WORKER

QUESTION = ReadItem("t/0", ItemKey(b"a"), True)


class Ears:
    """A component that remembers what it was told, and answers after ``delay``."""

    def __init__(self, delay=0.0):
        self.delay, self.heard = delay, []

    def told(self, sender, body):
        """Remember it."""
        self.heard.append((sender, body))

    async def asked(self, sender, body, deadline):
        """Say who asked."""
        await asyncio.sleep(self.delay)
        return ItemIs(sender.encode())


def region_on(ports):
    """A topology of two zones whose transports listen at ``ports`` (moved for each test process)."""
    ports = [port + 100 * WORKER for port in ports]
    topology = build(ClusterConfig(zones=("az1", "az2")), single=False)
    zones = tuple(
        dataclasses.replace(zone, transport=Address("127.77.2.250", port))
        for zone, port in zip(topology.zones, ports, strict=True)
    )
    return dataclasses.replace(topology, zones=zones)


@contextlib.asynccontextmanager
async def hubs(*, secrets=(b"s", b"s"), ports=(7301, 7302), paths=(None, None), connected=True):
    """Two zones' hubs, connected."""
    topology = region_on(ports)
    pair = [Hub(topology, f"az{i + 1}", secret=secrets[i], paths=paths[i]) for i in range(2)]
    tasks = [asyncio.create_task(hub.run()) for hub in pair]
    try:
        async with asyncio.timeout(3):
            while connected and not all(hub.connected() for hub in pair):
                await asyncio.sleep(0.01)
        yield pair
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("where", [0, 1])
async def test_ask_and_tell(where):
    """A component is asked and told by name, in the same process as in another."""
    async with hubs() as (here, there):
        ears = Ears()
        (here, there)[where].attach(f"az{where + 1}-node-1", ears)
        answer = await here.ask("az1-router-1", f"az{where + 1}-node-1", QUESTION, timeout_seconds=1)
        assert answer == ItemIs(b"az1-router-1")
        here.tell("az1-router-1", f"az{where + 1}-node-1", RoutesChanged())
        await asyncio.sleep(0.05)
        assert ears.heard == [("az1-router-1", RoutesChanged())]


async def test_refusals_are_immediate():
    """Nobody waits for a component that is not there, in a zone that is there or in one that is not."""
    async with hubs() as (here, _):
        for receiver in ("az1-node-1", "az2-node-1", "az9-node-1"):
            started = time.monotonic()
            with pytest.raises(Unreachable) as raised:
                await here.ask("az1-router-1", receiver, QUESTION, timeout_seconds=5)
            assert not raised.value.sent
            assert time.monotonic() - started < 0.5


async def test_silence_ends_at_the_deadline():
    """An ask without an answer ends when the asker's patience does."""
    async with hubs() as (here, there):
        there.attach("az2-node-1", Ears(delay=5))
        with pytest.raises(NoAnswer):
            await here.ask("az1-router-1", "az2-node-1", QUESTION, timeout_seconds=0.05)


async def test_a_component_that_falls_while_asked():
    """Its askers learn at once that the outcome is unknown."""
    async with hubs() as (here, there):
        there.attach("az2-node-1", Ears(delay=5))
        asking = asyncio.create_task(here.ask("az1-router-1", "az2-node-1", QUESTION, timeout_seconds=5))
        await asyncio.sleep(0.1)
        there.detach("az2-node-1")
        with pytest.raises(Unreachable) as raised:
            await asking
        assert raised.value.sent


async def test_a_zone_that_falls_and_returns():
    """A lost connection fails what was asked over it, and is made again by itself."""
    topology = region_on((7303, 7304))
    here, there = Hub(topology, "az1"), Hub(topology, "az2")
    there.attach("az2-node-1", Ears(delay=5))
    running = asyncio.create_task(here.run())
    other = asyncio.create_task(there.run())
    async with asyncio.timeout(3):
        while not here.connected():
            await asyncio.sleep(0.01)
    asking = asyncio.create_task(here.ask("az1-router-1", "az2-node-1", QUESTION, timeout_seconds=5))
    await asyncio.sleep(0.05)
    other.cancel()
    with pytest.raises(Unreachable) as raised:
        await asking
    assert raised.value.sent
    again = Hub(topology, "az2")
    again.attach("az2-node-1", Ears())
    other = asyncio.create_task(again.run())
    async with asyncio.timeout(3):
        while not here.connected():
            await asyncio.sleep(0.01)
    assert await here.ask("az1-router-1", "az2-node-1", QUESTION, timeout_seconds=1) == ItemIs(b"az1-router-1")
    for task in (running, other):
        task.cancel()
    await asyncio.gather(running, other, return_exceptions=True)


async def test_a_wrong_secret_is_refused():
    """A peer that does not know the secret never gets in, and is counted."""
    async with hubs(secrets=(b"right", b"wrong"), ports=(7305, 7306), connected=False) as (here, there):
        await asyncio.sleep(0.3)
        assert not here.connected()
        assert not there.connected()
        assert here.refusals["wrong_secret"] > 0


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n" * 200, b"\x00\x00\x00\x04\x00\x00\x00\x00abcd"])
async def test_noise_is_refused(noise):
    """Bytes that are no frames end their connection and nothing else."""
    async with hubs(ports=(7307, 7308)) as (here, there):
        reader, writer = await asyncio.open_connection("127.77.2.250", 7307 + 100 * WORKER)
        writer.write(noise)
        async with asyncio.timeout(2):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1000):
                    pass
        writer.close()
        there.attach("az2-node-1", Ears())
        await here.ask("az1-router-1", "az2-node-1", QUESTION, timeout_seconds=1)


async def test_pause_holds_and_resume_lets_go():
    """What is sent to a paused component arrives when it goes on."""
    async with hubs(ports=(7309, 7310)) as (here, there):
        ears = Ears()
        there.attach("az2-node-1", ears)
        there.pause("az2-node-1")
        here.tell("az1-router-1", "az2-node-1", RoutesChanged())
        await asyncio.sleep(0.05)
        assert ears.heard == []
        there.resume("az2-node-1")
        await asyncio.sleep(0.05)
        assert len(ears.heard) == 1


async def test_too_many_asks_are_refused(monkeypatch):
    """A component serves a bounded number of asks; the rest are refused at once."""
    monkeypatch.setattr("cluster.transport.MAX_SERVING", 2)
    async with hubs(ports=(7311, 7312)) as (here, there):
        there.attach("az2-node-1", Ears(delay=0.2))
        asks = [here.ask("az1-router-1", "az2-node-1", QUESTION, timeout_seconds=1) for _ in range(5)]
        answers = await asyncio.gather(*asks)
        refused = [a for a in answers if isinstance(a, Refused)]
        assert len(refused) == 3
        assert refused[0].kind == ErrorKind.UNAVAILABLE


async def test_one_way_partition():
    """A one-way partition loses what goes one way only."""
    faults = FaultSet({})
    faults.add("f", Fault.model_validate({"kind": "partition", "from": "a", "to": "b", "one_way": True}))
    assert faults.fate("a", "b").lost
    assert not faults.fate("b", "a").lost
    assert not faults.fate("a", "c").lost
    faults.remove("f")
    assert not faults.fate("a", "b").lost


@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(1, 30))
def test_frames_survive_any_cut_of_the_stream(bodies, step):
    """However the stream is cut into pieces, the same frames come out, in order."""
    frames = [Frame(FrameKind.ANSWER, n, "a", "b", 0.0, ItemIs(body)) for n, body in enumerate(bodies)]
    stream = b"".join(encode(frame) for frame in frames)
    buffer, found = bytearray(), []
    for at in range(0, len(stream), step):
        buffer += stream[at : at + step]
        found += [decode_frame(payload) for payload in split(buffer)]
    assert found == frames
    assert not buffer


@given(st.data())
def test_a_flipped_bit_is_noticed(data):
    """A frame with one bit changed is never taken for a frame of the same length."""
    whole = bytearray(encode(Frame(FrameKind.ASK, 1, "a", "b", 1.0, QUESTION)))
    bit = data.draw(st.integers(32, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadFrame):
        split(whole)

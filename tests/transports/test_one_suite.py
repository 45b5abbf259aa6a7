"""What must be true of every way from a canary to a ledger."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.backlog import Bound
from canary.transport.port import Answer
from collector.observation import Outcome
from collector.wire import Batch, encode
from tests.collector.samples import Client, make_batch
from tests.transports.ways import WAYS, Way, until, way

pytestmark = pytest.mark.peer("nats-server")


@pytest.fixture(params=WAYS)
async def one(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Way]:
    async with way(request.param, tmp_path) as found:
        yield found


async def counted(client: Client) -> int:
    """Attempts in the ledger."""
    return sum(sum(row.counts.values()) for row in await client.rows())


async def unobserved(client: Client) -> list[tuple[str, int]]:
    """Reason and count of what is not observed."""
    now = time.time()
    status, rows = await client.get("/v1/unobserved", params={"start": f"{now - 1e6:.0f}", "end": f"{now + 1000:.0f}"})
    assert status == 200
    return sorted((row["reason"], row["count"]) for row in rows)


async def holds(client: Client, wanted: int) -> None:
    """The ledger comes to hold this, and no more."""

    async def enough() -> bool:
        return await counted(client) >= wanted

    await until(enough)
    assert await counted(client) == wanted


async def test_an_offer_that_is_taken_is_in_the_ledger(one: Way) -> None:
    """Three attempts are three attempts, whole failures included."""
    async with one.collector() as client:
        assert await one.offer(make_batch(1)) is Answer.TAKEN
        await holds(client, 3)
        (row,) = await client.rows()
        assert row.counts == {Outcome.SUCCESS: 2, Outcome.UNREACHABLE: 1}


async def test_the_same_batch_offered_again_is_taken_and_changes_nothing(one: Way) -> None:
    """Its identity is host, boot and number, however often it comes, also after the ledger was closed meanwhile."""
    batch = make_batch(1)
    async with one.collector() as client:
        for _ in range(3):
            assert await one.offer(batch) is Answer.TAKEN
        await holds(client, 3)
    async with one.collector() as client:
        assert await one.offer(batch) is Answer.TAKEN
        assert await one.offer(make_batch(2)) is Answer.TAKEN
        await holds(client, 6)


async def test_numbers_may_come_in_any_order(one: Way) -> None:
    """A batch that waited for long is still counted."""
    async with one.collector() as client:
        for sequence in (3, 1, 2):
            assert await one.offer(make_batch(sequence)) is Answer.TAKEN
        await holds(client, 9)


async def test_two_boots_of_a_host_have_their_own_numbers(one: Way) -> None:
    """The next life's batch 1 is not the last one's."""
    async with one.collector() as client:
        for boot in ("b1", "b2", "b2.1"):
            assert await one.offer(make_batch(1, boot=boot)) is Answer.TAKEN
        await holds(client, 9)


async def test_with_nobody_there_an_offer_is_not_taken_and_later_is(one: Way) -> None:
    """Without server or collector the canary is told so within seconds, and nothing is left half sent."""
    if one.nats is not None:
        await one.nats.kill()
    batch = make_batch(1)
    bound = Bound(one.transport.name, batch, encode(batch))
    assert await one.transport.offer(bound) is Answer.NOT_TAKEN
    assert await one.transport.probe() is False
    if one.nats is not None:
        await one.nats.start()
    async with one.collector() as client:
        assert await one.offer(batch) is Answer.TAKEN
        assert await one.transport.probe() is True
        await holds(client, 3)


async def test_a_batch_that_may_not_be_believed_is_told_as_unobserved(one: Way) -> None:
    """Readings from next week are refused; the count of its probes is not lost.

    Over HTTP the canary is refused and tells the count itself (tests/canary); over the stream the collector does.
    """
    future = make_batch(1, at=time.time() + 7 * 86400)
    async with one.collector() as client:
        if one.nats is None:
            assert await one.offer(future) is Answer.REFUSED
            return
        assert await one.offer(future) is Answer.TAKEN
        assert await one.offer(make_batch(2)) is Answer.TAKEN
        await holds(client, 3)
        assert await unobserved(client) == [("refused_from_the_future", 3)]


async def test_a_message_that_is_no_batch_stops_nothing(one: Way) -> None:
    """It is refused with a count; what comes after it is taken."""

    async def post(body: bytes, sequence: int) -> Answer:
        batch: Batch = make_batch(sequence)
        return await one.transport.offer(Bound(one.transport.name, batch, body))

    async with one.collector() as client:
        assert await one.offer(make_batch(1)) is Answer.TAKEN
        assert await post(b'{"host": 7}', 2) in (Answer.REFUSED, Answer.TAKEN)
        assert await one.offer(make_batch(3)) is Answer.TAKEN
        await holds(client, 6)
        _, page = await client.get("/metrics")
        assert 'collector_batches_total{result="refused"} 1.0' in page

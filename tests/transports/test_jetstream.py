"""What only the stream does: it holds what no collector takes, keeps shards apart, and survives its server's death."""

import asyncio
import contextlib
from pathlib import Path

import nats
import pytest

from canary.transport.config import JetStreamConfig
from canary.transport.jetstream import JetStreamTransport, subject_of
from canary.transport.port import Answer
from collector.config import CollectorConfig
from collector.transport.config import JetStreamIntakeConfig
from collector.transport.jetstream import identity
from tests.collector.samples import free_port, make_batch, running
from tests.transports.test_one_suite import counted, holds
from tests.transports.ways import Nats, Way, way

pytestmark = pytest.mark.peer("nats-server")


async def test_what_is_published_while_no_collector_runs_is_taken_by_the_next(tmp_path: Path) -> None:
    """The canary's batch is durable in the stream; a kill of the server in between changes nothing."""
    async with way("jetstream", tmp_path) as one:
        assert one.nats is not None
        async with one.collector() as client:
            assert await one.offer(make_batch(1)) is Answer.TAKEN
            await holds(client, 3)
        for sequence in range(2, 30):
            assert await one.offer(make_batch(sequence)) is Answer.TAKEN
        await one.nats.kill()
        await one.nats.start()
        async with one.collector() as client:
            await holds(client, 87)


@pytest.mark.proof
async def test_a_server_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Kill -9 of the server among offers: each batch is offered until it is acknowledged, and counted once."""
    async with way("jetstream", tmp_path) as one, one.collector() as client:
        assert one.nats is not None
        sent = asyncio.create_task(_send(one, 300))
        for _ in range(4):
            await asyncio.sleep(0.3)
            await one.nats.kill()
            await one.nats.start()
        await sent
        await holds(client, 900)


async def _send(one: Way, batches: int) -> None:
    for sequence in range(1, batches + 1):
        assert await one.offer(make_batch(sequence)) is Answer.TAKEN
        await asyncio.sleep(0.002)


async def test_each_shard_belongs_to_one_ledger(tmp_path: Path) -> None:
    """Two collectors with a shard each: every host is in one of the two ledgers, and the server gives none to a third ledger."""
    server = Nats(tmp_path)
    await server.start()
    configs = [_config(server, tmp_path / str(shard), shard) for shard in (0, 1)]
    hosts = [f"az{i % 3 + 1}-canary-{i}" for i in range(10)]
    transport = JetStreamTransport(JetStreamConfig(servers=(server.url,), shards=2))
    try:
        async with running(configs[0]) as first, running(configs[1]) as second:
            one = Way("jetstream", configs[0], transport, server)
            for host in hosts:
                assert await one.offer(make_batch(1, host=host)) is Answer.TAKEN
            in_first = 3 * sum(subject_of(host, 2).endswith(".0") for host in hosts)
            assert 0 < in_first < 30
            await holds(first, in_first)
            await holds(second, 30 - in_first)
            async with running(_config(server, tmp_path / "third", 0)) as third:
                for sequence in range(2, 20):
                    assert await one.offer(make_batch(sequence, host=hosts[0])) is Answer.TAKEN
                await asyncio.sleep(0.5)
                assert await counted(third) == 0
    finally:
        await transport.close()
        await server.kill()


def _config(server: Nats, folder: Path, shard: int) -> CollectorConfig:
    intake = JetStreamIntakeConfig(servers=(server.url,), shards=2, mine=(shard,))
    return CollectorConfig(port=free_port(), data_dir=folder, jetstream=intake)


async def test_the_server_knows_a_second_offer(tmp_path: Path) -> None:
    """The message id is the batch's identity: within the window the stream itself holds it once."""
    async with way("jetstream", tmp_path) as one:
        async with one.collector() as client:
            assert await one.offer(make_batch(1)) is Answer.TAKEN
            await holds(client, 3)
        for _ in range(3):
            assert await one.offer(make_batch(2)) is Answer.TAKEN
        assert one.nats is not None
        connection = await nats.connect(one.nats.url)
        try:
            info = await connection.jetstream().stream_info("FIVENINES")
            assert info.state.messages == 1
        finally:
            await connection.close()


def test_a_ledger_keeps_its_name(tmp_path: Path) -> None:
    """A new ledger has a new one, so that it does not go on where a lost one has stopped."""
    assert identity(tmp_path / "a") == identity(tmp_path / "a")
    assert identity(tmp_path / "a") != identity(tmp_path / "b")


async def test_without_a_server_the_collector_serves_http(tmp_path: Path) -> None:
    """A stream that is away is waited for; the rest of the collector goes on."""
    config = CollectorConfig(
        port=free_port(),
        data_dir=tmp_path,
        jetstream=JetStreamIntakeConfig(servers=(f"nats://127.0.0.1:{free_port()}",)),
    )
    async with running(config) as client:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.Event().wait()
        status, _ = await client.post(make_batch(1))
        assert status == 200


def test_shards_are_checked() -> None:
    """A shard that does not exist, or none, is a mistake in the configuration."""
    for mine in ((), (2,), (0, 0)):
        with pytest.raises(ValueError, match="shards are numbered 0 to 1"):
            JetStreamIntakeConfig(servers=("nats://a",), shards=2, mine=mine)

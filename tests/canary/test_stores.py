"""The canaries' questions put to two real servers: the bundled store's router, and moto's DynamoDB, which has transactions."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time

import boto3
import pytest
from moto.server import ThreadedMotoServer

from canary.attempt import Asker, Errand, tls_context
from canary.config import CanaryConfig, EndpointConfig
from canary.faults import Component
from canary.history import History
from canary.network import Network
from canary.path import Map
from canary.plan import Cell, Key, hosts
from canary.pool import Pool
from canary.probes import dynamodb
from canary.questions import Questions, Turn
from canary.resolver import Resolver
from canary.signature import Signer
from canary.worker import verdict_of
from collector.observation import Connection, OperationClass
from tests.cluster.front_world import ACCESS_KEY_ID, SECRET, create, serving

KEYS = tuple(Key(f"canary-{n}", None) for n in range(5))


@dataclass(frozen=True)
class Store:
    """Where it is, and how to sign for it."""

    host: str
    port: int
    signer: Signer


@contextlib.contextmanager
def bundled(folder: Path) -> Iterator[Store]:
    """A router of the bundled store."""
    with serving(folder) as world:
        create(world.client(), "canary")
        address = world.router.http["standard"]
        yield Store(address.host, address.port, Signer(ACCESS_KEY_ID, SECRET, "eu-north-1"))


@contextlib.contextmanager
def moto() -> Iterator[Store]:
    """Another implementation, in a thread of its own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client(
            "dynamodb",
            endpoint_url=f"http://{host}:{port}",
            region_name="eu-north-1",
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET,
        )
        create(client, "canary")
        yield Store(host, port, Signer(ACCESS_KEY_ID, SECRET, "eu-north-1"))
        client.delete_table(TableName="canary")  # the process keeps moto's tables
    finally:
        server.stop()


@pytest.fixture(params=["bundled", "moto"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with bundled(tmp_path) if request.param == "bundled" else moto() as served:
        yield served


class Canary:
    """One host that asks as the worker does, one question at a time."""

    def __init__(self, store: Store, name: str = "az1-canary-1", boot: str = "boot") -> None:
        config = CanaryConfig()
        self.everyone = hosts(config)
        me = next(host for host in self.everyone if host.name == name)
        history = History(boot, first_version=1000, began=monotonic() - 100)
        self.questions = Questions("canary", me, self.everyone, history)
        network = Network(Component(me.name, me.zone, "canary"), {}, Map(config))
        self.asker = Asker(Resolver(None), network, Pool(), tls_context(None))
        self.endpoint = EndpointConfig(name="standard", host=store.host, port=store.port, tls=False)
        self.signer = store.signer

    async def ask(self, operation: OperationClass, number: int) -> tuple[str, str]:
        """The request's name, and the reason of a failure (empty: success)."""
        cell = Cell(0, "standard", operation, Connection.POOLED)
        asked = self.questions.ask(cell, Turn(number, KEYS, monotonic(), int(time() * 1000)))
        errand = Errand(
            self.endpoint,
            Connection.POOLED,
            0,
            lambda host: dynamodb.request(asked.question, host, self.signer, time(), call_id="x"),
            monotonic() + 5,
        )
        trace = await self.asker.attempt(errand)
        verdict = verdict_of(asked, trace)
        asked.ended(not verdict.reason, trace.ended)
        assert not verdict.reason, (verdict, trace.body)
        return asked.question.target.rpartition(".")[2], verdict.reason


async def test_writes_reads_and_deletes_go_round_without_a_complaint(store: Store) -> None:
    """Eight rounds over five keys: main and brief items written, deleted, read strongly and eventually, queried, in batches."""
    canary, seen = Canary(store), set[str]()
    try:
        for number in range(len(KEYS) * 8):
            for operation in ("write", "strong_read", "eventual_read", "query", "batch"):
                seen.add((await canary.ask(OperationClass(operation), number))[0])
    finally:
        canary.asker._pool.close()
    assert seen == {"PutItem", "DeleteItem", "GetItem", "Query", "BatchGetItem"}


async def test_two_zones_read_each_others_items_without_a_complaint(store: Store) -> None:
    """What one host wrote, a host of another zone reads whole, again and again."""
    writer, reader = Canary(store), Canary(store, "az2-canary-1", "other")
    for number in range(len(KEYS) * 12):
        await writer.ask(OperationClass.WRITE, number)
        await reader.ask(OperationClass.STRONG_READ, number)
        await reader.ask(OperationClass.EVENTUAL_READ, number)
    for canary in (writer, reader):
        canary.asker._pool.close()


async def test_the_control_plane_describes_and_lists(store: Store) -> None:
    """Two descriptions, then a list."""
    canary = Canary(store)
    names = [(await canary.ask(OperationClass.CONTROL, number))[0] for number in range(3)]
    canary.asker._pool.close()
    assert sorted(names) == ["DescribeTable", "DescribeTable", "ListTables"]


async def test_transactions_are_written_and_read_whole(tmp_path: Path) -> None:
    """Against moto: pairs over two partitions, written in one round over the keys and read in the next."""
    with moto() as store:
        canary = Canary(store)
        names = [(await canary.ask(OperationClass.TRANSACTION, number))[0] for number in range(len(KEYS) * 4)]
        canary.asker._pool.close()
    assert names == (["TransactWriteItems"] * len(KEYS) + ["TransactGetItems"] * len(KEYS)) * 2

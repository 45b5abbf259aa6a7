# ruff: noqa: D102 -- names say it
"""A router's front on real sockets in a thread of its own, with a store in memory behind it."""

import asyncio
import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
from prometheus_client import CollectorRegistry

from cluster import certificates
from cluster.api.connection import Limits
from cluster.api.http import serve_router
from cluster.api.injection import NoFaults
from cluster.config import ClusterConfig, Credential
from cluster.topology import Address, Router, Topology, build
from tests.cluster.memory_store import MemoryStore

HOST = "127.77.3.1"
ACCESS_KEY_ID, SECRET = "AKTEST", "a secret"


class Faults(NoFaults):
    """Faults that a test sets by hand."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.asked: list[tuple[Any, ...]] = []
        self.problem: str | None = None
        self.muted = False
        self.skew_seconds = 0.0

    def error_for(self, *place: Any) -> int | None:
        self.asked.append(place)
        return self.status

    def tls_problem(self, _endpoint: str, /) -> str | None:
        return self.problem

    def metrics_muted(self, _component: str, /) -> bool:
        return self.muted

    def wall_clock(self, component: str, /) -> float:
        return super().wall_clock(component) + self.skew_seconds


@dataclasses.dataclass
class World:
    """Everything a test may touch."""

    router: Router
    store: MemoryStore
    config: ClusterConfig
    topology: Topology
    faults: Faults
    registry: CollectorRegistry
    paths: certificates.Paths

    def url(self, endpoint: str = "standard") -> str:
        return f"http://{self.router.http[endpoint]}"

    def client(self, endpoint: str = "standard", *, url: str = "", secret: str = SECRET, **config: Any) -> Any:
        """A boto3 client that does not retry."""
        return boto3.client(
            "dynamodb",
            endpoint_url=url or self.url(endpoint),
            region_name="eu-north-1",
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=secret,
            verify=str(self.paths.authority),
            config=botocore.config.Config(
                retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20, proxies={}, **config
            ),
        )

    def count(self, name: str, **labels: str) -> float:
        """A metric's value now."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def refused(self, reason: str) -> float:
        return self.count("store_refused_total", reason=reason)


def free_ports(count: int, host: str = HOST) -> list[int]:
    """Ports that nobody has at the moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((host, 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def serving(directory: Path, *, limits: Limits | None = None, **settings: Any) -> Iterator[World]:
    """A served router; ``settings`` go to the configuration."""
    secret_file = directory / "secret"
    secret_file.write_text(SECRET + "\n")
    config = ClusterConfig(
        certificates_dir=directory / "certificates",
        credentials=(Credential(access_key_id=ACCESS_KEY_ID, secret_access_key_file=secret_file),),
        **settings,
    )
    usual = build(config, single=False)
    ports = free_ports(len(config.endpoints) + 1)
    http = {name: Address(HOST, port) for name, port in zip(config.endpoints, ports, strict=False)}
    router = Router("az1-router-1", "az1", http, Address(HOST, ports[-1]))
    topology = dataclasses.replace(usual, zones=(dataclasses.replace(usual.zones[0], routers=(router,)),))
    faults, registry, store = Faults(), CollectorRegistry(), MemoryStore()
    paths = certificates.ensure(config, topology)
    world = World(router, store, config, topology, faults, registry, paths)
    tls = certificates.server_context(paths, topology, faults)
    with _thread(
        lambda ready: serve_router(
            router, store, config, topology, faults=faults, tls=tls, registry=registry, ready=ready, limits=limits
        )
    ):
        yield world


@contextlib.contextmanager
def _thread(make: Any) -> Iterator[None]:
    up = threading.Event()
    stop: list[Any] = []
    failures: list[BaseException] = []

    async def main() -> None:
        ready = asyncio.Event()
        task = asyncio.create_task(make(ready))
        stop.append((asyncio.get_running_loop(), task))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        up.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  # shown by the test
            failures.append(error)
            up.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert up.wait(10)
    if failures:
        raise failures[0]
    try:
        yield
    finally:
        loop, task = stop[0]
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
        assert not failures, failures
        assert not thread.is_alive()


def create(client: Any, name: str, *, sort: str | None = "S", hash_type: str = "S") -> None:
    """A table with ``pk`` and, unless ``sort`` is None, ``sk``."""
    keys = [("pk", "HASH", hash_type)] + ([("sk", "RANGE", sort)] if sort else [])
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": n, "KeyType": role} for n, role, _ in keys],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, _, t in keys],
        BillingMode="PAY_PER_REQUEST",
    )

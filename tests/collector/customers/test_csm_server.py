"""The socket that hears SDK events: what it cannot hear is told, what it cannot write waits, and its memory is bounded."""

import asyncio
import contextlib
import json
import logging
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from collector.config import CollectorConfig
from collector.customers import csm, csm_server
from collector.customers.config import CustomerConfig, CustomersConfig
from collector.customers.counting import FAILURES_KEPT
from collector.customers.csm import IgnoredError
from collector.customers.csm_server import CsmServer
from collector.customers.directory import OTHER, Directory, NobodyError
from collector.customers.figures import Figures
from collector.customers.streams import LastPoint
from collector.observation import Outcome
from collector.series import Reading, Unobserved
from collector.writer import StorageUnavailableError
from tests.collector.customers.programs import free_udp_port
from tests.collector.samples import running

Delivered = tuple[str, str, tuple[Reading, ...], tuple[Unobserved, ...]]


class Outlet:
    """Takes what is delivered, unless it is broken."""

    def __init__(self) -> None:
        self.taken: list[Delivered] = []
        self.is_broken = False

    async def deliver(
        self,
        customer: str,
        zone: str,
        readings: tuple[Reading, ...],
        unobserved: tuple[Unobserved, ...] = (),
        points: tuple[LastPoint, ...] = (),
    ) -> None:
        """As the real one."""
        if self.is_broken:
            raise StorageUnavailableError("disk full")
        self.taken.append((customer, zone, readings, unobserved))

    @property
    def total(self) -> int:
        """All that was counted."""
        return sum(sum(reading.counts.values()) for _, _, readings, _ in self.taken for reading in readings)

    @property
    def unobserved(self) -> int:
        """All that was told as not heard."""
        return sum(missing.count for _, _, _, told in self.taken for missing in told)


def server_of(outlet: Outlet, **changes: Any) -> CsmServer:
    config = CustomersConfig(**{"csm_port": free_udp_port(), **changes})
    return CsmServer(config, Directory(config), outlet, Figures(CollectorRegistry()))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def listening(server: CsmServer) -> AsyncIterator[int]:
    task = asyncio.create_task(server.run())
    while server.port is None:
        await asyncio.sleep(0.01)
    try:
        yield server.port
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def event(client_id: str = "shop/orders", status: int = 200) -> bytes:
    told = {"Version": 1, "ClientId": client_id, "Type": "ApiCallAttempt", "Service": "DynamoDB", "Api": "PutItem"}
    return json.dumps({**told, "Timestamp": int(time.time() * 1000), "HttpStatusCode": status}).encode()


def send(port: int, datagram: bytes, times: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(times):
            sender.sendto(datagram, ("127.0.0.1", port))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how many datagrams it dropped")
async def test_what_the_kernel_drops_is_told_as_unobserved() -> None:
    """Counted and dropped events together are all that were sent."""
    outlet = Outlet()
    async with listening(server_of(outlet, csm_buffer_bytes=8192)) as port:
        send(port, event(), 500)  # the loop is kept busy by this very call, so the buffer overflows
        await asyncio.sleep(1.5)
    assert outlet.unobserved > 0
    assert outlet.total + outlet.unobserved == 500
    assert {missing.reason for _, _, _, told in outlet.taken for missing in told} == {"csm_dropped"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how many datagrams it dropped")
async def test_drops_are_in_the_ledger(config_of: Callable[..., CollectorConfig]) -> None:
    """What the ledger counted and what it calls unobserved add up to what was sent; the feed calls it a customer's word."""
    port = free_udp_port()
    sent = 400
    async with running(config_of(customers=CustomersConfig(csm_port=port, csm_buffer_bytes=8192))) as client:
        await asyncio.sleep(0.1)
        send(port, event(), sent)
        span = f"start={time.time() - 600}&end={time.time() + 600}"
        counted = unobserved = 0
        async with asyncio.timeout(15):
            while counted + unobserved < sent:
                await asyncio.sleep(0.2)
                _, missing = await client.get(f"/v1/unobserved?{span}")
                unobserved = sum(one["count"] for one in missing)
                rows = await client.rows(vantage="customer")
                counted = sum(sum(row.counts.values()) for row in rows)
        _, entries = await client.get("/v1/feed?after=0&limit=100")
    assert unobserved > 0
    assert counted + unobserved == sent
    assert {(one["host"], one["endpoint"], one["reason"]) for one in missing} == {("csm", "csm", "csm_dropped")}
    assert {entry["vantage"] for entry in entries} == {"customer"}


async def test_counts_wait_while_the_ledger_cannot_be_written() -> None:
    """Nothing is lost and nothing told twice when a write fails and succeeds later."""
    outlet = Outlet()
    outlet.is_broken = True
    async with listening(server_of(outlet)) as port:
        send(port, event(), 20)
        await asyncio.sleep(1.3)
        assert outlet.taken == []
        outlet.is_broken = False
        send(port, event(), 5)
    assert outlet.total == 25


async def test_what_waits_for_too_long_is_given_up_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest counts go, and come back as unobserved."""
    monkeypatch.setattr(csm_server, "PENDING_MAX", 2)
    monkeypatch.setattr(csm_server, "FLUSH_SECONDS", 0.05)
    outlet = Outlet()
    outlet.is_broken = True
    async with listening(server_of(outlet)) as port:
        for _ in range(6):
            send(port, event(), 3)
            await asyncio.sleep(0.1)
        outlet.is_broken = False
        await asyncio.sleep(0.2)
    assert outlet.unobserved > 0
    assert outlet.total + outlet.unobserved == 18


async def test_customers_and_failures_are_bounded() -> None:
    """Customers beyond the bound are 'other'; failures beyond the bound are counted, not kept."""
    outlet = Outlet()
    async with listening(server_of(outlet, customers_max=2)) as port:
        for name in ("a", "b", "c", "d"):
            send(port, event(name, status=500), 1)
        send(port, event("a", status=500), FAILURES_KEPT + 50)
        await asyncio.sleep(0.2)
    counts: dict[str, int] = {}
    kept = 0
    for customer, _, readings, _ in outlet.taken:
        counts[customer] = counts.get(customer, 0) + sum(reading.counts[Outcome.SERVER_FAULT] for reading in readings)
        kept += sum(len(reading.failures) for reading in readings) if customer == "a" else 0
    assert counts == {"a": FAILURES_KEPT + 51, "b": 1, OTHER: 2}
    assert kept == FAILURES_KEPT


async def test_a_taken_port_is_said_and_harms_nothing_else(
    config_of: Callable[..., CollectorConfig], caplog: pytest.LogCaptureFixture
) -> None:
    """A collector whose CSM port is taken says so and goes on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with caplog.at_level(logging.ERROR, logger="collector"):
            async with running(config_of(customers=CustomersConfig(csm_port=port))) as client:
                status, metrics = await client.get("/metrics")
    assert status == 200
    assert re.search(r"^collector_customers_csm_listening 0.0$", metrics, re.MULTILINE)
    assert f"127.0.0.1:{port} (UDP)" in caplog.text


def test_the_directory_follows_the_configuration() -> None:
    """Names, ids, tables and zones: configured ones win, a client id may carry the table, the unknown are taken or not."""
    orders = CustomerConfig(name="orders-service", ids=("prod/7", "o"), table="orders", zone="az1")
    directory = Directory(CustomersConfig(known=(orders,), tables_max=2))
    found = {
        word: directory.who(word) for word in ("orders-service", "prod/7", "o/returns", "o", "new/table", "new", "")
    }
    assert [(who.name, who.table, who.zone) for who in found.values()] == [
        ("orders-service", "orders", "az1"),
        ("orders-service", "orders", "az1"),
        ("orders-service", "returns", "az1"),
        ("orders-service", "orders", "az1"),
        ("new", "table", ""),
        ("new", "", ""),
        ("unnamed", "", ""),
    ]
    assert directory.who("o/a-third").table == OTHER
    assert directory.overflowed == 1
    with pytest.raises(NobodyError, match="bad_name"):
        directory.who("two\nlines")
    with pytest.raises(NobodyError, match="unknown_customer"):
        Directory(CustomersConfig(known=(orders,), others=False)).who("somebody")


@given(st.binary(max_size=400) | st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.text(max_size=20)).map(
    lambda told: json.dumps({"Version": 1, "Type": "ApiCall", "Service": "DynamoDB", "Timestamp": 1e12, **told}).encode()
))  # fmt: skip
def test_any_datagram_is_an_event_or_ignored_for_a_reason(datagram: bytes) -> None:
    """No datagram makes the decoder fail in another way than it says."""
    with contextlib.suppress(IgnoredError):
        csm.read(datagram, at=1e9, services=frozenset({"DynamoDB"}))

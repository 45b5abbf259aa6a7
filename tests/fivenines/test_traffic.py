"""The sample applications are customers: what they saw is in the ledger, attempt by attempt and call by call."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from collector.config import CollectorConfig
from collector.customers.config import CustomersConfig
from fivenines import traffic
from fivenines.config import TrafficConfig
from fivenines.telling import SdkMonitor
from tests.collector.customers.endpoint import failing
from tests.collector.customers.programs import free_udp_port, ledger_of
from tests.collector.samples import free_port, running

PLAN = (
    "success",
    "fault",
    "success",
    "reset",
    "throttle",
    "success",
    "unavailable",
    "unavailable",
    "unavailable",
    "condition",
)
CALLS = 40


@pytest.mark.parametrize("index", [0, 1], ids=["an SDK with monitoring on", "the hook"])
async def test_an_application_is_heard_exactly(tmp_path: Path, index: int) -> None:
    """Attempts are what the endpoint did, calls what the application counted, whichever way it is heard."""
    csm_port = free_udp_port()
    config = CollectorConfig(port=free_port(), data_dir=tmp_path, customers=CustomersConfig(csm_port=csm_port))
    async with running(config) as client, aiohttp.ClientSession() as session:
        with failing(*PLAN) as endpoint:
            settings = TrafficConfig(
                routers=(f"http://127.0.0.1:{endpoint.port}",), csm_port=csm_port, collector=client.base
            )
            teller = traffic._teller("orders", index, settings)
            assert teller is not None
            one = traffic.Application("orders", settings, session, teller, seed=1)
            await asyncio.gather(*(one.one() for _ in range(CALLS)))
            attempts = dict(endpoint.attempts["orders"])
        await asyncio.to_thread(teller.close)
        found = await ledger_of(client, at_least=CALLS + sum(attempts.values()))
        hosts = {row.series.host for row in await client.rows(vantage="customer")}
    assert hosts == {"orders-service"}
    assert found["orders", "attempt"] == attempts
    calls = found["orders", "call"]
    assert calls["success"] == one.calls["ok"]
    assert calls.get("throttled", 0) == one.calls["throttled"]
    assert sum(calls.values()) == CALLS


def test_the_first_is_an_sdk_and_the_second_has_the_hook() -> None:
    """Two sample applications, two ways to be heard; without an address neither is."""
    settings = TrafficConfig(csm_port=31000)
    teller = traffic._teller("orders", 0, settings)
    assert isinstance(teller, SdkMonitor)
    teller.close()
    assert traffic._teller("sessions", 1, settings) is None
    assert traffic._teller("orders", 0, TrafficConfig()) is None

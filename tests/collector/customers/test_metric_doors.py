"""The metric doors while the ledger cannot be written."""

import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from collector.customers.config import CustomersConfig
from collector.customers.directory import Directory
from collector.customers.figures import Figures
from collector.customers.metric_doors import MetricDoors
from tests.collector.customers.test_csm_server import Outlet
from tests.collector.customers.test_otlp import a_request


@pytest.fixture
def outlet() -> Outlet:
    return Outlet()


@pytest.fixture
async def url(outlet: Outlet) -> AsyncIterator[str]:
    config = CustomersConfig()
    doors = MetricDoors(config, Directory(config), outlet, Figures(CollectorRegistry()))  # type: ignore[arg-type]
    application = web.Application()
    doors.add_routes(application.router)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1/otlp/v1/metrics"
    await runner.cleanup()


async def test_a_ledger_that_fails_loses_and_doubles_nothing(outlet: Outlet, url: str) -> None:
    """503 while it cannot be written; the sender's next try finds its points counted, and they are counted once."""
    now = time.time()
    first = a_request(5, start=now - 2, at=now - 1, delta=True, **{"service.name": "shop"})
    other = a_request(3, start=now - 2, at=now - 1, delta=True, **{"service.name": "other-shop"})
    async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:

        async def post(body: bytes) -> int:
            async with session.post(url, data=body) as answer:
                return answer.status

        outlet.is_broken = True
        assert [await post(first), await post(first), await post(other)] == [503, 503, 503]
        outlet.is_broken = False
        assert [await post(other), await post(first), await post(first)] == [200, 200, 200]
    assert sorted((name, sum(sum(r.counts.values()) for r in readings)) for name, _, readings, _ in outlet.taken) == [
        ("other-shop", 3),
        ("shop", 5),
    ]

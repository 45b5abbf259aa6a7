"""Prometheus remote write, in: a real Prometheus sends a program's counters; resets, repeats and ends are understood."""

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web

from collector.config import CollectorConfig
from collector.customers.config import CounterRule, CustomerConfig, CustomersConfig
from collector.customers.remote_write import STALE
from collector.observation import Outcome
from collector.remote_write import message
from tests.collector.customers.programs import ledger_of
from tests.collector.samples import Client, running
from tests.dashboards.peers import prometheus

RULE = CounterRule(
    metric="shop_requests_total",
    customer_label="app",
    outcome_label="result",
    outcomes={"ok": Outcome.SUCCESS, "gave_up": Outcome.TIMEOUT},
)
CUSTOMERS = CustomersConfig(
    known=(CustomerConfig(name="shop", ids=("shop-prod",), table="orders", zone="az3"),), counters=(RULE,)
)


class Program:
    """An instrumented program: its page, and its own count over all its lives."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.restart()
        self.scraped = 0
        self.is_up = True

    def restart(self) -> None:
        """A new life: all counters begin at nought."""
        self.counters: Counter[str] = Counter()
        self.started = time.time()

    def count(self, result: str, times: int) -> None:
        """So many requests came to that."""
        self.counters[result] += times
        self.total[result] += times

    async def page(self, _request: web.Request) -> web.Response:
        """``/metrics``."""
        if not self.is_up:
            raise web.HTTPServiceUnavailable
        self.scraped += 1
        lines = [f"process_start_time_seconds {self.started}", "# TYPE shop_requests_total counter"]
        lines += [
            f'shop_requests_total{{operation="PutItem",result="{result}"}} {value}'
            for result, value in self.counters.items()
        ]
        return web.Response(text="\n".join([*lines, ""]))

    async def seen(self) -> None:
        """Until what is on the page now was scraped."""
        before = self.scraped
        async with asyncio.timeout(15):
            while self.scraped < before + 2:
                await asyncio.sleep(0.02)


@pytest.mark.peer("prometheus")
async def test_a_real_prometheus_brings_what_the_program_counted(
    config_of: Callable[..., CollectorConfig], tmp_path: Path
) -> None:
    """Over growth, new labels, a restart of the program and a gap in its scrapes the ledger has the program's own count."""
    program = Program()
    application = web.Application()
    application.router.add_get("/metrics", program.page)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with running(config_of(customers=CUSTOMERS)) as client:
            program.restart()  # after the collector: all of it was counted under its eyes
            config = (
                "global: {scrape_interval: 250ms, scrape_timeout: 200ms}\n"
                f"remote_write: [{{url: '{client.base}/v1/write', queue_config: {{batch_send_deadline: 100ms}}}}]\n"
                "scrape_configs: [{job_name: shops, static_configs: "
                f"[{{targets: ['127.0.0.1:{port}'], labels: {{app: shop-prod}}}}]}}]\n"
            )
            program.count("ok", 7)
            async with prometheus(config, tmp_path):
                await program.seen()
                program.count("ok", 5)
                program.count("gave_up", 2)  # a label that was not there before
                await program.seen()
                program.is_up = False  # Prometheus marks its series as ended
                await asyncio.sleep(0.8)
                program.is_up = True
                program.count("ok", 1)
                await program.seen()
                program.restart()
                program.count("ok", 30)  # more than before the restart
                await program.seen()
                program.count("ok", 3)
                program.count("500", 4)
                await program.seen()
                found = await ledger_of(client, at_least=program.total.total())
            await asyncio.sleep(0.3)
            settled = await ledger_of(client, at_least=program.total.total())
            hosts = {(row.series.host, row.series.zone) for row in await client.rows(vantage="customer")}
            _, metrics = await client.get("/metrics")
    finally:
        await runner.cleanup()
    assert found == settled
    assert found == {
        ("orders", "attempt"): {
            "success": program.total["ok"],
            "timeout": program.total["gave_up"],
            "server_fault": program.total["500"],
        }
    }
    assert hosts == {("shop", "az3")}
    assert 'collector_customers_points_total{protocol="remote_write",result="stale"}' in metrics


def a_series(name: str, points: list[tuple[float, float]], **labels: str) -> bytes:
    return message.series(message.labels(name, list(labels.items())), [(int(at * 1000), v) for at, v in points])


async def post(client: Client, *series: bytes, body: bytes | None = None, **headers: str) -> int:
    plain = message.request(series)
    packed = pa.compress(plain, codec="snappy", asbytes=True) if body is None else body
    url = f"{client.base}/v1/write"
    async with client.session.post(url, data=packed, headers={**message.HEADERS, **headers}) as answer:
        return answer.status


SHOP = {"app": "shop", "result": "ok", "operation": "PutItem", "instance": "i"}


async def test_repeats_and_resets_count_once(config_of: Callable[..., CollectorConfig]) -> None:
    """Without a start time the first sample is a baseline; a lower value is a reset; older samples are repeats."""
    now = time.time()
    stale = struct.unpack("<d", STALE)[0]
    first = a_series("shop_requests_total", [(now - 100, 1000.0), (now - 90, 1004.0)], **SHOP)  # + 4
    async with running(config_of(customers=CUSTOMERS)) as client:
        assert await post(client, first) == 204
        assert await post(client, first) == 204
        assert await post(client, a_series("shop_requests_total", [(now - 80, stale), (now - 70, 2.0)], **SHOP)) == 204
        assert await post(client, a_series("shop_requests_total", [(now - 60, float("inf"))], **SHOP)) == 204
        assert await post(client, a_series("something_else", [(now - 60, 5.0)], **SHOP)) == 204
        assert await post(client, a_series("shop_requests_total", [(now - 60, 5.0)], **{**SHOP, "result": "?"})) == 204
        found = await ledger_of(client, at_least=6)
        _, metrics = await client.get("/metrics")
    assert found == {("orders", "attempt"): {"success": 6}}
    for result, count in {"repeated": 2, "baseline": 1, "stale": 1, "not_a_count": 1, "bad_outcome": 1}.items():
        assert f'points_total{{protocol="remote_write",result="{result}"}} {count}.0' in metrics


async def test_other_senders_streams_are_not_taken_for_new(config_of: Callable[..., CollectorConfig]) -> None:
    """When the collector starts under running senders, streams that arrive one after the other are baselines, all of them."""
    now = time.time()
    async with running(config_of(customers=CUSTOMERS)) as client:
        await post(client, a_series("shop_requests_total", [(now - 10, 5000.0)], **SHOP))
        gave_up = {**SHOP, "result": "gave_up"}
        await post(client, a_series("shop_requests_total", [(now - 5, 70_000.0), (now - 4, 70_001.0)], **gave_up))
        found = await ledger_of(client, at_least=1)
    assert found == {("orders", "attempt"): {"timeout": 1}}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"not snappy at all", {}, 400),
        (pa.compress(b"\xff" * 20, codec="snappy", asbytes=True), {}, 400),
        (b"\xff\xff\xff\xff\x7f" + b"x" * 10, {}, 413),
        (pa.compress(b"\0" * (15 * 2**20), codec="snappy", asbytes=True), {}, 400),
        (pa.compress(b"\x0a\x00" * 60_000, codec="snappy", asbytes=True), {}, 400),
        (b"", {"Content-Encoding": "identity"}, 415),
        (b"x" * (5 * 2**20), {}, 413),
    ],
)
async def test_hostile_bodies_are_refused(
    config_of: Callable[..., CollectorConfig], body: bytes, headers: dict[str, Any], status: int
) -> None:
    """Not snappy, not protobuf, too large packed or unpacked, too many series: refused with a status."""
    async with running(config_of(customers=CUSTOMERS)) as client:
        assert await post(client, body=body, **headers) == status

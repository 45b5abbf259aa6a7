"""The third vantage against real HTTP servers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, generate_latest

from collector import servers, wire
from collector.config import CollectorConfig, ScrapeTarget
from collector.observation import Outcome
from collector.series import FeedEntry
from tests.collector.samples import Client, free_port, running


class FakeServer:
    """A router's or node's ``/metrics`` page that can fall silent and restart."""

    def __init__(self) -> None:
        self.port = free_port()
        self.status = 200
        self.scrapes = 0
        self.date: str | None = None
        self.restart()

    def restart(self) -> None:
        """Counters begin at nought."""
        registry = CollectorRegistry()
        self.requests = Counter(
            "store_requests", "requests", ["table", "operation", "endpoint", "outcome"], registry=registry
        )
        self.registry = registry

    def serve(self, outcome: str, count: int = 1) -> None:
        """Pretend to have answered."""
        self.requests.labels("canary", "write", "standard", outcome).inc(count)

    async def page(self, _request: web.Request) -> web.Response:
        """The page."""
        self.scrapes += 1
        headers = {"Date": self.date} if self.date else None
        return web.Response(body=generate_latest(self.registry), status=self.status, headers=headers)

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Listening."""
        application = web.Application()
        application.router.add_get("/metrics", self.page)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def scraped(self, times: int = 2) -> None:
        """Wait until ``times`` more scrapes have been answered."""
        goal = self.scrapes + times
        async with asyncio.timeout(5):
            while self.scrapes < goal:
                await asyncio.sleep(0.005)


def scraping(config_of: Callable[..., CollectorConfig], *ports: int) -> CollectorConfig:
    targets = tuple(
        ScrapeTarget(name=f"az1-router-{i}", zone="az1", role="router", url=f"http://127.0.0.1:{port}/metrics")
        for i, port in enumerate(ports, start=1)
    )
    return config_of(scrape=targets, scrape_interval_seconds=0.05, scrape_timeout_seconds=0.2)


async def entries_of(client: Client) -> list[FeedEntry]:
    async with client.session.get(f"{client.base}/v1/feed?after=0") as answer:
        return wire.decode_feed(await answer.read())


def told(entries: list[FeedEntry]) -> list[tuple[bool, str]]:
    return [(t.up, t.detail) for e in entries for t in e.targets]


def told_of(entries: list[FeedEntry], target: str) -> list[str]:
    return sorted({t.detail for e in entries for t in e.targets if t.target == target})


async def eventually(client: Client, found: Callable[[list[FeedEntry]], bool]) -> list[FeedEntry]:
    """The feed as soon as it holds what is looked for."""
    async with asyncio.timeout(10):
        while not found(entries := await entries_of(client)):
            await asyncio.sleep(0.02)
    return entries


def counted(entries: list[FeedEntry]) -> dict[Outcome, int]:
    sums: dict[Outcome, int] = {}
    for reading in (r for e in entries for r in e.readings):
        for outcome, count in reading.counts.items():
            sums[outcome] = sums.get(outcome, 0) + count
    return sums


async def test_growth_since_the_first_scrape_becomes_readings(config_of: Callable[..., CollectorConfig]) -> None:
    """The first page is a baseline; growth, also of counters that are new, reaches feed and ledger; a restart loses nothing that was seen."""
    server = FakeServer()
    server.serve("success", 1000)
    async with server.up(), running(scraping(config_of, server.port)) as client:
        await server.scraped()
        server.serve("success", 7)
        server.serve("server_fault", 2)
        await server.scraped()
        server.restart()
        server.serve("success", 3)
        await server.scraped()
        entries = await entries_of(client)
        assert counted(entries) == {Outcome.SUCCESS: 10, Outcome.SERVER_FAULT: 2}
        reading = next(r for e in entries for r in e.readings)
        assert (reading.series.router, reading.series.router_zone, reading.series.endpoint) == (
            "az1-router-1",
            "az1",
            "standard",
        )
        assert {(e.host, e.vantage) for e in entries} == {("collector", "server")}
        rows = await client.rows(vantage="server")
        assert sum(r.counts[Outcome.SUCCESS] for r in rows if Outcome.SUCCESS in r.counts) == 10


async def test_a_server_that_falls_silent_is_told_at_the_change(config_of: Callable[..., CollectorConfig]) -> None:
    """Up, an error page, up again, gone: four states, one entry each, whatever the number of scrapes."""
    server = FakeServer()
    async with running(scraping(config_of, server.port)) as client:
        async with server.up():
            await server.scraped()
            server.status = 500
            await server.scraped()
            server.status = 200
            await server.scraped()
        states = told(await eventually(client, lambda entries: len(told(entries)) >= 4 and not told(entries)[-1][0]))
        assert [up for up, _ in states][-4:] == [True, False, True, False]
        assert "http_500" in [detail for _, detail in states]
        assert states[-1][1] in {"connect_refused", "connection_lost"}
        _, targets = await client.get("/v1/targets")
        assert (targets[0]["target"], targets[0]["up"]) == ("az1-router-1", False)


async def test_states_are_repeated(config_of: Callable[..., CollectorConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that comes late learns every target's state within the repeat time."""
    monkeypatch.setattr(servers, "REPEAT_SECONDS", 0.1)
    one, two = FakeServer(), FakeServer()
    async with one.up(), running(scraping(config_of, one.port, two.port)) as client:
        await one.scraped(5)
        entries = await eventually(client, lambda entries: any(len(e.targets) == 2 for e in entries))
        last = [e for e in entries if len(e.targets) == 2][-1]
        assert {t.target: t.up for t in last.targets} == {"az1-router-1": True, "az1-router-2": False}


async def test_scrapes_that_bring_nothing_are_unobserved(
    config_of: Callable[..., CollectorConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is counted in the ledger, under the server's name and the reason; a server that answers has none."""
    monkeypatch.setattr(servers, "REPEAT_SECONDS", 0.1)
    good, silent = FakeServer(), FakeServer()
    async with good.up(), running(scraping(config_of, good.port, silent.port)) as client:
        await good.scraped(10)
        path = f"/v1/unobserved?start={time.time() - 600}&end={time.time() + 600}"
        async with asyncio.timeout(5):
            while sum(row["count"] for row in (await client.get(path))[1]) < 10:
                await asyncio.sleep(0.05)
        rows = (await client.get(path))[1]
        asked = (await client.get("/metrics"))[1]
    assert {(row["host"], row["zone"], row["endpoint"], row["operation"], row["reason"]) for row in rows} == {
        ("collector", "az1", "az1-router-2", "check", "scrape_connect_refused")
    }
    failed = float(asked.split('collector_scrapes_total{result="connect_refused"} ')[1].split()[0])
    assert sum(row["count"] for row in rows) <= failed


async def test_an_old_page_is_a_silent_server(
    config_of: Callable[..., CollectorConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page whose Date stands still is served by something else than the server; its counts are not believed until it moves on."""
    monkeypatch.setattr(servers, "FROZEN_SECONDS", 0.2)
    server = FakeServer()
    server.date = "Tue, 24 Nov 2026 12:00:00 GMT"
    async with server.up(), running(scraping(config_of, server.port)) as client:
        await eventually(client, lambda entries: "stale_page" in told_of(entries, "az1-router-1"))
        server.serve("success", 5)
        await server.scraped(3)
        assert counted(await entries_of(client)) == {}
        server.date = "Tue, 24 Nov 2026 12:00:09 GMT"
        entries = await eventually(client, lambda entries: bool(counted(entries)))
        assert counted(entries) == {Outcome.SUCCESS: 5}


async def test_a_hanging_or_foreign_page_is_a_silent_server(config_of: Callable[..., CollectorConfig]) -> None:
    """A server that accepts and says nothing times out, and holds up nobody else."""
    good = FakeServer()
    hang = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = hang.sockets[0].getsockname()[1]
    async with good.up(), running(scraping(config_of, good.port, port)) as client:
        await eventually(client, lambda entries: told_of(entries, "az1-router-2") == ["timeout"])
        await good.scraped(3)
        assert told_of(await entries_of(client), "az1-router-1") == [""]
    hang.close()


def test_each_server_is_scraped_by_one_of_several_collectors() -> None:
    """With one list and a share each, every server is in exactly one part; a number beyond the parts or a doubled name is refused."""
    scrape = [
        {"name": f"az1-node-{n}", "zone": "az1", "role": "node", "url": f"http://n{n}/metrics"} for n in range(30)
    ]
    parts = [
        CollectorConfig.model_validate({"scrape": scrape, "scrape_share": {"of": 3, "mine": mine}}).scraped
        for mine in range(3)
    ]
    assert sorted(one.name for part in parts for one in part) == sorted(str(one["name"]) for one in scrape)
    assert all(parts)
    assert len(CollectorConfig.model_validate({"scrape": scrape}).scraped) == 30
    with pytest.raises(ValueError, match="numbered 0 to 2"):
        CollectorConfig.model_validate({"scrape_share": {"of": 3, "mine": 3}})
    with pytest.raises(ValueError, match="az1-node-4 is listed twice"):
        CollectorConfig.model_validate({"scrape": [*scrape, scrape[4]]})

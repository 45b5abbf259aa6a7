"""A failure's request, as its router has seen it."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from collector import joiner
from collector.config import CollectorConfig, ScrapeTarget
from collector.join import Fate, Found, Remembered, decode, fate_of, joinable
from collector.observation import Level, Outcome
from collector.series import Reading
from tests.collector.samples import free_port, make_batch, make_failure, make_series, running

AT = 1000.0


def fate(found: list[Found] | None, *, since: float = 0.0, total_ms: float = 2000.0) -> Fate:
    one = make_failure(AT, request_id="mine", router="az1-router-1", total_ms=total_ms)
    return fate_of(one, None if found is None else Remembered(since, tuple(found)))[0]


@pytest.mark.parametrize(
    ("after", "status", "expected"),
    [
        (0.1, 200, Fate.SEEN_AND_ANSWERED),
        (0.1, 400, Fate.SEEN_AND_REFUSED),
        (0.1, 500, Fate.SEEN_AND_FAILED),
        (0.1, 0, Fate.SEEN_AND_FAILED),
        (2.5, 200, Fate.SEEN_LATE),
        (2.5, 0, Fate.SEEN_LATE),
    ],
)
def test_what_was_seen_has_a_word(after: float, status: int, expected: Fate) -> None:
    """By when it arrived, then by what it got."""
    assert fate([Found("other", AT, 500), Found("mine", AT + after, status)]) is expected


def test_what_was_not_seen_is_told_from_what_is_not_known() -> None:
    """Silence counts only of a router that answers and whose memory reaches back far enough."""
    assert fate([]) is Fate.NOT_SEEN
    assert fate([], since=AT) is Fate.UNKNOWN
    assert fate(None) is Fate.UNKNOWN
    assert fate([Found("mine", AT, 200)], since=AT + 5) is Fate.SEEN_AND_ANSWERED


def test_of_several_attempts_of_a_call_the_nearest_is_meant() -> None:
    """An SDK says the same name with each."""
    assert fate([Found("mine", AT - 5, 500), Found("mine", AT + 0.01, 200), Found("mine", AT + 6, 400)]) is (
        Fate.SEEN_AND_ANSWERED
    )


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"since": "x"}', b"[" * 100_000])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """A page of something else is not taken for a memory without the request."""
    assert decode(body) is None


def test_only_single_attempts_that_were_sent_are_asked_about() -> None:
    """Not calls, not customers, not what has no name or no router, nor names that are none."""
    named: dict[str, Any] = {"request_id": "ab-12", "router": "r"}
    failures = (
        make_failure(AT, **named),
        make_failure(AT, router="r"),
        make_failure(AT, request_id="x"),
        make_failure(AT, request_id="a&b=,", router="r"),
    )
    reading = Reading(series=make_series(), at=1000, counts={Outcome.TIMEOUT: 4}, failures=failures)
    call = Reading(series=make_series(level=Level.CALL), at=1000, counts={Outcome.TIMEOUT: 1}, failures=failures[:1])
    assert list(joinable(make_batch(readings=(reading, call)))) == [failures[0]]


class FakeRouter:
    """Answers ``/requests`` from a list."""

    def __init__(self) -> None:
        self.port = free_port()
        self.found: list[dict[str, Any]] = []
        self.asked: list[list[str]] = []

    async def requests(self, request: web.Request) -> web.Response:
        """What a router says."""
        self.asked.append(request.query["ids"].split(","))
        return web.Response(body=json.dumps({"since": 0.0, "found": self.found}))

    async def start(self) -> web.AppRunner:
        """Listening; clean it up."""
        application = web.Application()
        application.router.add_get("/requests", self.requests)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        return runner


async def test_a_failure_is_shown_with_what_its_router_said(
    config_of: Callable[..., CollectorConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question for all of a router; the words stand beside the failures, and in the feed; a dead router's are unknown."""
    monkeypatch.setattr(joiner, "PATIENCE_SECONDS", 0.0)
    router, now = FakeRouter(), time.time()
    targets = tuple(
        ScrapeTarget(name=name, zone="az1", role="router", url=f"http://127.0.0.1:{port}/metrics")
        for name, port in (("az1-router-1", router.port), ("az1-router-2", free_port()))
    )
    router.found = [{"id": "failed", "at": now, "status": 500, "error": "InternalServerError", "duration_ms": 3.5}]
    failures = tuple(
        make_failure(now + i / 1000, request_id=name, router=where, total_ms=500.0)
        for i, (name, where) in enumerate(
            [("failed", "az1-router-1"), ("lost", "az1-router-1"), ("dead", "az1-router-2"), (None, "az1-router-1")]
        )
    )
    reading = Reading(series=make_series(), at=int(now), counts={Outcome.UNREACHABLE: 4}, failures=failures)
    served = await router.start()
    async with running(config_of(scrape=targets)) as client:
        assert (await client.post(make_batch(readings=(reading,))))[0] == 200
        path = f"/v1/failures?start={now - 60}&end={now + 60}"
        async with asyncio.timeout(10):
            while sum(row["fate"] is not None for row in (await client.get(path))[1]) < 3:
                await asyncio.sleep(0.05)
        rows = (await client.get(path))[1]
        page = (await client.get("/metrics"))[1]
        told: list[dict[str, Any]] = []
        async with asyncio.timeout(10):
            while len(told) < 3:
                feed = (await client.get("/v1/feed?after=0&limit=100&wait=1"))[1]
                told = [one for entry in feed for one in entry["fates"]]
    await served.cleanup()
    assert [row["fate"] for row in rows] == ["seen_and_failed", "not_seen", "unknown", None]
    assert "InternalServerError" in rows[0]["fate_detail"]
    assert {(one["at"], one["fate"]) for one in told} == {
        (f.at, word) for f, word in zip(failures, ["seen_and_failed", "not_seen", "unknown"], strict=False)
    }
    assert router.asked == [["failed", "lost"]]
    assert 'collector_joins_total{fate="not_seen"} 1.0' in page

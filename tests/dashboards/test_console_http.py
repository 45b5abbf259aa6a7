"""The console over real HTTP, with a fake judgement behind it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
import pytest

from tests.dashboards import samples
from tests.dashboards.conftest import Running, console

Start = Callable[[str], AbstractAsyncContextManager[Running]]


async def get(url: str) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text(), {str(name): value for name, value in response.headers.items()}


async def test_health_follows_the_judgement(start: Start) -> None:
    """200 when it is ready, else 503 and its reason."""
    async with start("starting") as running:
        status, text, _ = await get(f"{running.url}/api/health")
        assert (status, "48 of 72 cells have answered" in text) == (503, True)
        running.fake.answers = samples.state("well")
        await asyncio.sleep(0.55)
        assert (await get(f"{running.url}/api/health"))[0] == 200


async def test_a_hanging_judgement_does_not_hang_the_console(start: Start) -> None:
    """Health and page answer within the patience, and say why."""
    async with start("well") as running:
        running.fake.hang = True
        began = time.monotonic()
        (health, reason, _), (status, page, _) = await asyncio.gather(
            get(f"{running.url}/api/health"), get(f"{running.url}/")
        )
        assert time.monotonic() - began < 3.5
        assert (health, status) == (503, 200)
        assert "did not answer within 2 s" in reason
        assert "No judgement" in page


async def test_a_missing_judgement_is_said(start: Start) -> None:
    """Nothing listens there: 503 from health and JSON, a page that says so."""
    async with start("well") as running:
        running.fake.answers["status"] = {"at": "not a number"}
        assert "is not understood" in (await get(f"{running.url}/"))[1]


async def test_many_browsers_cost_one_question(start: Start) -> None:
    """A hundred askers at once make one request upstream."""
    async with start("well") as running:
        answers = await asyncio.gather(*(get(f"{running.url}/api/status") for _ in range(100)))
        assert {status for status, _, _ in answers} == {200}
        assert running.fake.asked["/v1/status"] <= 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("well", ["All well", "72/72", "99.9992"]),
        ("zone_down", ["1 incident", "Zone az1", "az1-router-1 and az1-router-2", "control echo failed", "4 attempts: connect refused"]),
        ("starting", ["Measuring… 48 of 72 cells", "Nothing has been counted yet"]),
        ("no_data", ["No data for 14\u202fs", "the past: as of 15:59:45 UTC"]),
    ],
)  # fmt: skip
async def test_the_page_is_complete_without_javascript(start: Start, name: str, words: list[str]) -> None:
    """The first paint holds the verdict and what it rests on."""
    async with start(name) as running:
        status, page, headers = await get(f"{running.url}/")
        assert status == 200
        assert [word for word in words if word not in page] == []
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "style=" not in page
        assert "onclick" not in page


async def test_the_incident_has_a_page_of_its_own(start: Start) -> None:
    """With examples and their request ids; an unknown one is 404."""
    async with start("zone_down") as running:
        status, page, _ = await get(f"{running.url}/incidents/{samples.INCIDENT_ID}")
        assert status == 200
        assert "Q7N1ZK0P5V8M2R4T6Y9B3C1D0F" in page
        assert "Shift traffic away from az1" in page
        assert (await get(f"{running.url}/incidents/i-unknown"))[0] == 404


async def test_everything_is_escaped() -> None:
    """A hostile summary, host or reason is text, never markup."""
    evil = "<script>alert(1)</script>\"'"
    answers = samples.state("zone_down")
    answers["open"] = [
        samples.incident(summary=evil, scope={"zone": evil}, reasons={evil: 1}, witnesses={"bad": [evil]}),
    ]
    answers["status"]["region"] = evil
    answers["status"]["recused"] = [{"host": evil, "reasons": [evil]}]
    async with console(answers) as running:
        for path in ("/", "/live", f"/incidents/{samples.INCIDENT_ID}"):
            page = (await get(running.url + path))[1]
            assert "<script>alert" not in page
            assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "path", ["/api/incidents?state=open%0d%0aX:1", "/api/status?x=1", "/api/pages?since=" + "9" * 65]
)
async def test_odd_queries_are_refused(start: Start, path: str) -> None:
    """400 that names the parameter, counted, and nothing is asked upstream."""
    async with start("well") as running:
        status, text, _ = await get(running.url + path)
        assert status == 400
        assert "parameter" in text
        assert not running.fake.asked
        assert 'console_refused_total{reason="query"} 1.0' in (await get(f"{running.url}/metrics"))[1]


async def test_json_is_passed_on_as_it_is(start: Start) -> None:
    """The judgement's own words, with the known parameters."""
    async with start("zone_down") as running:
        status, text, headers = await get(f"{running.url}/api/incidents?state=open")
        assert (status, samples.INCIDENT_ID in text) == (200, True)
        assert headers["Content-Type"].startswith("application/json")
        assert (await get(f"{running.url}/nowhere"))[0] == 404

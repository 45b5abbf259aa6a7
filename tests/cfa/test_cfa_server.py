"""Feed → judgement → outbox → log and webhook, and the API, as one running part."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cfa import server
from cfa.config import CfaConfig, Destination
from tests.cfa.shell_world import FakeCollector, Receiver, ScriptedJudgement, entry, eventually, running, serving


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.77.7.1", 0))
        return int(probe.getsockname()[1])


async def get(config: CfaConfig, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{config.host}:{config.port}{path}") as answer:
        return answer.status, await (answer.text() if path == "/metrics" else answer.json())


def config_for(tmp_path: Path, collector: str, *destinations: Destination, **changes: Any) -> CfaConfig:
    return CfaConfig(
        host="127.77.7.1",
        port=free_port(),
        collector=collector,
        data_dir=tmp_path,
        destinations=destinations,
        **changes,
    )


async def test_a_page_travels_from_the_feed_to_log_webhook_and_api(tmp_path: Path) -> None:
    """A trigger in the feed is in the log file, at the webhook and in the API within a second or so."""
    collector, receiver = FakeCollector(), Receiver()
    async with serving(collector.application()) as feed_url, serving(receiver.application()) as hook_url:
        config = config_for(tmp_path, feed_url, Destination(kind="webhook", url=f"{hook_url}/hook"))
        ready = asyncio.Event()
        async with running(server.run(config, ready, ScriptedJudgement)):
            await ready.wait()
            assert (await get(config, "/ready"))[0] == 503
            collector.append(entry(1), entry(2, "trigger", "one"))
            await eventually(lambda: receiver.got and (tmp_path / "pages.log").exists(), 5)
            assert (await get(config, "/ready")) == (200, {"ready": True})
            status = (await get(config, "/v1/status"))[1]
            pages = (await get(config, "/v1/pages"))[1]["pages"]
            incidents = (await get(config, "/v1/incidents?state=open"))[1]["incidents"]
            metrics = (await get(config, "/metrics"))[1]
    assert (status["ready"], status["incidents_open"], status["cells_answered"]) == (True, 1, 1)
    assert {(page["destination"], page["event"], page["severity"]) for page in pages} == {
        ("log", "trigger", "page"),
        ("webhook", "trigger", "page"),
    }
    assert [one["id"] for one in incidents] == ["i-one"]
    assert 'cfa_incidents_open{severity="page"} 1.0' in metrics
    assert 'cfa_time_to_page_seconds_count{destination="first"} 1.0' in metrics
    assert "cfa_active 1.0" in metrics
    assert (status["delivery"]["pair"], status["delivery"]["heartbeat"]) == (None, None)
    text = (tmp_path / "pages.log").read_text()
    assert text.startswith("PAGE zone az1")
    assert receiver.got[0]["alerts"][0]["labels"]["incident"] == "i-one"


@pytest.mark.parametrize("hole", ["silent", "refused"])
async def test_a_black_hole_delays_nothing_else(tmp_path: Path, hole: str) -> None:
    """Beside a webhook that never answers, twenty pages reach the other one, and the log, as soon as without it."""
    collector, good, never = FakeCollector(), Receiver(), Receiver(hang=True)
    async with (
        serving(collector.application()) as feed_url,
        serving(good.application()) as good_url,
        serving(never.application()) as never_url,
    ):
        bad = Destination(kind="webhook", url=never_url if hole == "silent" else "http://127.77.7.1:1")
        seconds = []
        for number, places in enumerate(([], [bad])):
            good.got.clear()
            settings = config_for(tmp_path / str(number), feed_url, Destination(kind="webhook", url=good_url), *places)
            collector.entries.clear()
            ready = asyncio.Event()
            async with running(server.run(settings, ready, ScriptedJudgement)):
                await ready.wait()
                collector.append(entry(1))
                began = time.monotonic()
                collector.append(*(entry(2 + one, "trigger", f"n{one}") for one in range(20)))
                await eventually(lambda: len(good.got) == 20, 10)
                seconds.append(time.monotonic() - began)
                log = settings.data_dir / "pages.log"
                await eventually(lambda log=log: log.read_text().count("PAGE zone az1") == 20, 10)
                assert (await get(settings, "/v1/status"))[1]["data_age_seconds"] < 5
    assert never.attempts >= (hole == "silent")
    assert seconds[1] < seconds[0] + 1.0, seconds


async def test_bad_requests_are_refused_politely(tmp_path: Path) -> None:
    """Unknown paths, incidents, states and numbers get a 4xx with a reason in JSON, and are counted."""
    async with serving(FakeCollector().application()) as feed_url:
        config = config_for(tmp_path, feed_url)
        ready = asyncio.Event()
        async with running(server.run(config, ready, ScriptedJudgement)):
            await ready.wait()
            answers = [
                await get(config, path)
                for path in (
                    "/nothing",
                    "/v1/incidents/none",
                    "/v1/incidents?state=odd",
                    "/v1/pages?since=x",
                    "/v1/report?week=47",
                )
            ]
            metrics = (await get(config, "/metrics"))[1]
    assert [status for status, _ in answers] == [404, 404, 400, 400, 400]
    assert all(body["error"] for _, body in answers)
    assert "2026-W47" in answers[-1][1]["error"]
    assert 'cfa_refused_total{reason="404"} 2.0' in metrics


async def test_a_port_in_use_is_an_error_at_once(tmp_path: Path) -> None:
    """A second judgement on the same port fails instead of running unseen."""
    async with serving(FakeCollector().application()) as feed_url:
        config = config_for(tmp_path, feed_url)
        with socket.socket() as taken:
            taken.bind((config.host, config.port))
            taken.listen()
            with pytest.raises(OSError, match="address already in use"):
                await server.run(config, None, ScriptedJudgement)

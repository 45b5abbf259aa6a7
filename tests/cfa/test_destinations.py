"""Log, webhook and a real Alertmanager."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cfa.destinations.alert import fingerprint, webhook_body
from cfa.destinations.alertmanager import AlertmanagerDestination
from cfa.destinations.log import LogDestination
from cfa.destinations.port import DeliveryFailed
from cfa.destinations.webhook import WebhookDestination
from cfa.incident import Incident
from cfa.notices import Notice, alert_labels
from cfa.page_text import NEXT_STEPS, headline, next_step, page_text
from tests.cfa.shell_world import EPOCH, Receiver, eventually, incident, serving

CONSOLE = "http://console.test:8080"


def notice(word: Any = "trigger", n: int = 1, one: Incident | None = None, at: float = EPOCH) -> Notice:
    about = one or incident()
    return Notice(
        incident=about, notify=word, n=n, destination="x", at=at, reason="evidence", labels=alert_labels(about, "local")
    )


def test_the_first_ten_lines_of_a_page_answer_the_night_shift() -> None:
    """What, since when, how much, how sure, where, who sees it, what the servers say, what to do, links: in ten lines."""
    lines = page_text(notice(), CONSOLE).splitlines()
    assert lines[0] == f"PAGE zone az1 · 2025-11-24 16:00:00Z · {notice().key}"
    starts = ["What", "Since", "How much", "How sure", "Where", "Witnesses", "Servers say", "Do next", "Links"]
    assert [line[:13].strip() for line in lines[1:10]] == starts
    text = "\n".join(lines[:10])
    for fact in (
        "reads and writes",
        "96 of 96",
        "between 96 % and 100 %",
        "az2-canary-1",
        "az3-canary-1",
        "shift traffic",
        f"{CONSOLE}/incidents/i-one",
    ):
        assert fact in text
    assert "connect_refused ×80, http_500 ×16" in lines[10]


def test_the_advice_follows_the_scope_and_the_reasons() -> None:
    """Every kind of scope has a next step; DNS and certificate failures have one of their own."""
    for key, step in NEXT_STEPS:
        assert next_step(incident(scope={key: "x"})) == step
    assert "DNS records" in next_step(incident(scope={"endpoint": "fips"}, reasons={"dns_empty": 5}))
    assert "renew" in next_step(incident(scope={"endpoint": "fips"}, reasons={"certificate_expired": 5}))
    assert next_step(incident(scope={}, reasons={}))


def test_a_resolved_page_says_how_long_it_took() -> None:
    """The resolve's text has the end and the duration and asks nobody to do anything."""
    over = incident(state="closed", closed_at=EPOCH + 58.5, closed_reason="recovered")
    text = page_text(notice("resolve", one=over), CONSOLE)
    assert text.startswith("RESOLVED")
    assert "after 60 s" in text
    assert "nothing; it ended" in text


async def test_the_log_holds_each_page_once_even_after_a_crash(tmp_path: Path) -> None:
    """A delivery repeated after kill -9 finds itself in the file."""
    path = tmp_path / "sub" / "pages.log"
    for _ in range(2):
        log = LogDestination(path, CONSOLE)
        await log.send(notice(), EPOCH)
        await log.close()
    log = LogDestination(path, CONSOLE)
    await log.send(notice("update", 2), EPOCH)
    assert path.read_text().count(headline(notice())) == 1
    assert path.read_text().count("Do next") == 2


async def test_a_log_that_cannot_be_written_is_a_failed_delivery(tmp_path: Path) -> None:
    """The reason names the file."""
    log = LogDestination(tmp_path, CONSOLE)
    with pytest.raises(DeliveryFailed, match=str(tmp_path)):
        await log.send(notice(), EPOCH)


async def test_a_webhook_gets_alertmanagers_body_and_the_token(tmp_path: Path) -> None:
    """Version "4", firing then resolved, with the bearer token of the file and an idempotency key."""
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    receiver = Receiver()
    async with serving(receiver.application()) as url:
        hook = WebhookDestination("webhook", f"{url}/a", CONSOLE, token)
        await hook.send(notice(), EPOCH)
        over = incident(state="closed", closed_at=EPOCH + 60)
        await hook.send(notice("resolve", one=over, at=EPOCH + 60), EPOCH + 60)
        await hook.close()
    firing, resolved = receiver.got
    assert (firing["version"], firing["status"], resolved["status"]) == ("4", "firing", "resolved")
    assert firing["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert resolved["alerts"][0]["endsAt"] == "2025-11-24T16:01:00.000Z"
    assert firing["groupKey"] == resolved["groupKey"]
    assert firing["alerts"][0]["fingerprint"] == resolved["alerts"][0]["fingerprint"]
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret"
    assert receiver.headers[0]["Idempotency-Key"] == "i-one/trigger/1"
    wanted = {
        "receiver",
        "status",
        "alerts",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "version",
    }
    assert wanted | {"groupKey", "truncatedAlerts"} <= set(firing)


async def test_refusals_and_missing_tokens_are_failed_deliveries(tmp_path: Path) -> None:
    """A 500, a refused connection and an unreadable token each say so, and the token's content is never told."""
    receiver = Receiver(status=500)
    async with serving(receiver.application()) as url:
        for hook, reason in (
            (WebhookDestination("webhook", url, CONSOLE), "HTTP 500"),
            (WebhookDestination("webhook", "http://127.77.7.1:1", CONSOLE), "Cannot connect"),
            (WebhookDestination("webhook", "not a url", CONSOLE), "URL|url"),
            (WebhookDestination("webhook", url, CONSOLE, tmp_path / "none"), "none"),
        ):
            with pytest.raises(DeliveryFailed, match=reason):
                await hook.send(notice(), EPOCH)
            await hook.close()


def test_labels_are_bounded_and_their_fingerprint_is_stable() -> None:
    """Neither counts nor times nor texts are labels."""
    labels = webhook_body(notice(), CONSOLE)["commonLabels"]
    assert labels == {
        "alertname": "CustomerFacingAlarm",
        "severity": "page",
        "region": "local",
        "zone": "az1",
        "operations": "read,write",
        "side": "both",
        "incident": "i-one",
    }
    assert fingerprint(labels) == fingerprint(dict(reversed(labels.items())))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def alertmanager(folder: Path, receiver_url: str) -> AsyncIterator[str]:
    """Debian's Alertmanager with one webhook receiver; yields its URL."""
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if binary is None:
        message = "no prometheus-alertmanager on this machine"
        if os.environ.get("FIVENINES_REQUIRE_PEERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    config = folder / "alertmanager.yml"
    config.write_text(
        "route: {receiver: us, group_by: [incident], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n"
        f"receivers: [{{name: us, webhook_configs: [{{url: '{receiver_url}/am', send_resolved: true}}]}}]\n"
    )
    url = f"http://127.0.0.1:{free_port()}"
    arguments = [
        f"--config.file={config}",
        f"--storage.path={folder}",
        f"--web.listen-address={url[7:]}",
        "--cluster.listen-address=",
    ]
    process = await asyncio.create_subprocess_exec(
        binary, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: _answers(session, f"{url}/-/ready"), 20)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@pytest.mark.peer("alertmanager")
async def test_a_real_alertmanager_fires_and_resolves_our_alert(tmp_path: Path) -> None:
    """Alertmanager takes the alert, tells its receiver, keeps one alert through update and re-send, and resolves it."""
    import time

    receiver, now = Receiver(), time.time()
    one = incident(at=now - 5)
    async with serving(receiver.application()) as hook, alertmanager(tmp_path, hook) as url:
        place = AlertmanagerDestination("alertmanager", url, CONSOLE)
        await place.send(notice(one=one, at=now), now)
        await eventually(lambda: receiver.got)
        await place.send(notice("update", one=one, at=now), time.time())
        async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/alerts") as answer:
            alerts = await answer.json()
        over = incident(at=now - 5, state="closed", closed_at=now)
        await place.send(notice("resolve", one=over, at=now), time.time())
        await eventually(lambda: receiver.got[-1]["status"] == "resolved", 15)
        await place.close()
    assert len(alerts) == 1
    assert alerts[0]["labels"] == alert_labels(one, "local")
    assert alerts[0]["generatorURL"] == f"{CONSOLE}/incidents/i-one"
    assert alerts[0]["annotations"]["summary"] == one.summary
    assert receiver.got[0]["status"] == "firing"
    assert receiver.got[0]["version"] == webhook_body(notice(), CONSOLE)["version"]
    assert set(receiver.got[0]) <= set(webhook_body(notice(), CONSOLE))
    assert set(receiver.got[0]["alerts"][0]) == set(webhook_body(notice(), CONSOLE)["alerts"][0])

"""PagerDuty, Slack, signed webhooks, mail and Apprise: what each receives, and that no secret is ever told."""

import hashlib
import hmac
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from cfa.config import CfaConfig
from cfa.destinations import by_apprise
from cfa.destinations.by_apprise import AppriseDestination
from cfa.destinations.config import Destination, SmtpConfig, checked_url
from cfa.destinations.pagerduty import PagerDutyDestination
from cfa.destinations.port import DeliveryFailed
from cfa.destinations.slack import SlackDestination
from cfa.destinations.slack_message import together
from cfa.destinations.smtp import SmtpDestination
from cfa.destinations.webhook import SIGNATURE, WebhookDestination
from cfa.incident import Incident
from cfa.notices import Notice, alert_labels
from tests.cfa.mail_server import Mailbox, mail_server
from tests.cfa.shell_world import EPOCH, Receiver, incident, serving

CONSOLE = "http://console.test:8080"
OVER = incident(state="closed", closed_at=EPOCH + 60, closed_reason="recovered")


def notice(word: Any = "trigger", n: int = 1, one: Incident | None = None) -> Notice:
    about = one or incident()
    labels = alert_labels(incident(), "local")
    return Notice(incident=about, notify=word, n=n, destination="x", at=EPOCH, reason="evidence", labels=labels)


def written(folder: Path, text: str, name: str = "secret") -> Path:
    path = folder / name
    path.write_text(f"{text}\n")
    return path


async def test_pagerduty_has_one_incident_from_trigger_to_resolve(tmp_path: Path) -> None:
    """Trigger, update, acknowledgement and resolve have one dedup_key, and PagerDuty's bounds are kept."""
    receiver = Receiver(status=202)
    key = written(tmp_path, "R0UT1NG")
    async with serving(receiver.application()) as url:
        place = PagerDutyDestination("pagerduty", key, CONSOLE, url)
        long = incident(summary="x" * 3000)
        taken = replace(incident(), acknowledged_at=EPOCH + 5, acknowledged_by="ann")
        for one in (notice(one=long), notice("update"), notice("update", 2, taken), notice("resolve", one=OVER)):
            await place.send(one, EPOCH)
        await place.close()
    assert [one["event_action"] for one in receiver.got] == ["trigger", "trigger", "acknowledge", "resolve"]
    assert {one["dedup_key"] for one in receiver.got} == {"i-one"}
    assert {one["routing_key"] for one in receiver.got} == {"R0UT1NG"}
    payload = receiver.got[0]["payload"]
    assert len(payload["summary"]) == 1024
    assert (payload["severity"], payload["source"]) == ("critical", "zone az1")
    assert "Do next" in payload["custom_details"]["page"]
    assert receiver.got[0]["links"][0]["href"] == f"{CONSOLE}/incidents/i-one"


@pytest.mark.parametrize(("status", "for_good"), [(400, True), (403, True), (429, False), (500, False)])
async def test_a_refusal_for_good_is_told_from_one_for_now(tmp_path: Path, status: int, for_good: bool) -> None:
    """400 will be refused again, 429 and 500 may not be; the reason does not hold the key."""
    async with serving(Receiver(status=status).application()) as url:
        place = PagerDutyDestination("pagerduty", written(tmp_path, "R0UT1NG"), CONSOLE, url)
        with pytest.raises(DeliveryFailed, match=f"HTTP {status}") as caught:
            await place.send(notice(), EPOCH)
        await place.close()
    assert caught.value.for_good is for_good
    assert "R0UT1NG" not in str(caught.value)


async def test_a_destination_that_asks_to_be_left_alone_is_left_alone(tmp_path: Path) -> None:
    """``Retry-After`` of a 429 is known to the outbox, within bounds; anything else in it is not believed."""

    class Busy(Receiver):
        after = "17"

        async def take(self, request: Any) -> web.Response:
            return web.Response(status=429, headers={"Retry-After": self.after})

    busy = Busy()
    async with serving(busy.application()) as url:
        place = WebhookDestination("hook", url, CONSOLE)
        for busy.after, seconds in (("17", 17.0), ("1e9", 300.0), ("soon", 0.0), ("-5", 0.0), ("nan", 0.0)):
            with pytest.raises(DeliveryFailed) as caught:
                await place.send(notice(), EPOCH)
            assert (caught.value.wait_seconds, caught.value.for_good) == (seconds, False)
        await place.close()


async def test_slack_gets_blocks_that_keep_its_bounds(tmp_path: Path) -> None:
    """A fallback text, a header, the page, a button; markup in a summary stays text."""
    receiver = Receiver()
    async with serving(receiver.application()) as url:
        place = SlackDestination("slack", written(tmp_path, f"{url}/services/T0/B0/XYZ"), CONSOLE)
        await place.send(notice(one=incident(summary="<!channel> & " + "y" * 4000)), EPOCH)
        await place.send_together([notice(), notice("resolve", one=OVER)], EPOCH)
        await place.close()
    one, both = receiver.got
    assert [block["type"] for block in one["blocks"]] == ["header", "section", "section", "actions"]
    assert len(one["blocks"][0]["text"]["text"]) <= 150
    assert all(len(block["text"]["text"]) <= 3000 for block in one["blocks"][:3])
    assert "<!channel>" not in str(one)
    assert one["blocks"][3]["elements"][0]["url"] == f"{CONSOLE}/incidents/i-one"
    assert both["text"] == "2 notices about 1 incidents"


def test_a_very_long_summary_of_many_incidents_still_fits() -> None:
    """A hundred incidents in one message: at most fifty blocks of at most 3,000 characters, and the number of the rest."""
    many = [notice(one=incident(f"n{number}", summary="z" * 500)) for number in range(100)]
    blocks = together(many, CONSOLE)["blocks"]
    assert len(blocks) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in blocks if "text" in block)
    assert "60 more" in str(blocks[-1])


async def test_a_secret_address_is_in_no_error_and_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A Slack address that does not answer, one that is no address, and one with a password are not repeated."""
    caplog.set_level(logging.DEBUG)
    for text in ("http://127.77.7.1:1/services/SECRET", "SECRET", "https://user:SECRET@slack.test/x"):
        place = SlackDestination("slack", written(tmp_path, text), CONSOLE)
        with pytest.raises(DeliveryFailed) as caught:
            await place.send(notice(), EPOCH)
        await place.close()
        assert "SECRET" not in str(caught.value)
    assert "SECRET" not in caplog.text


async def test_a_signed_webhook_is_verified_as_the_documentation_says(tmp_path: Path) -> None:
    """HMAC-SHA256 over time and body under the file's secret; a changed body or an old time does not pass."""
    bodies: list[tuple[bytes, str]] = []

    class Keeping(Receiver):
        async def take(self, request: Any) -> Any:
            bodies.append((await request.read(), request.headers[SIGNATURE]))
            return await super().take(request)

    async with serving(Keeping().application()) as url:
        place = WebhookDestination("hook", url, CONSOLE, secret_file=written(tmp_path, "k3y"))
        await place.send(notice(), EPOCH)
        await place.close()
    body, header = bodies[0]
    assert verified(b"k3y", body, header, EPOCH + 10)
    assert not verified(b"k3y", body + b" ", header, EPOCH + 10)
    assert not verified(b"other", body, header, EPOCH + 10)
    assert not verified(b"k3y", body, header, EPOCH + 1000)


def verified(key: bytes, body: bytes, header: str, now: float) -> bool:
    """The snippet of docs/delivery.md."""
    fields = dict(part.split("=", 1) for part in header.split(","))
    expected = hmac.new(key, fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, fields["v1"]) and abs(now - int(fields["t"])) <= 300


def smtp(address: tuple[str, int], security: str, folder: Path, **changes: Any) -> SmtpConfig:
    known: dict[str, Any] = {"host": address[0], "port": address[1], "security": security, "sender": "cfa@example.org"}
    if security != "plain":
        login = {"username": "fivenines", "password_file": written(folder, "s3cret", "password")}
        known |= {"ca_file": folder / "mail.pem", **login}
    return SmtpConfig(**{**known, "recipients": ("night@example.org",), **changes})


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
@pytest.mark.parametrize("security", ["plain", "starttls", "tls"])
async def test_mails_about_an_incident_are_one_thread(tmp_path: Path, security: str) -> None:
    """At a real server, by each kind of connection: update and resolve answer the trigger, and a repeated mail is the same one."""
    mailbox = Mailbox()
    async with mail_server(mailbox, tmp_path, security) as address:
        place = SmtpDestination("mail", smtp(address, security, tmp_path), CONSOLE)
        for one in (notice(), notice(), notice("update"), notice("resolve", one=OVER)):
            await place.send(one, EPOCH)
        await place.send_together([notice(), notice("resolve", one=OVER)], EPOCH)
    trigger, again, update, resolve, both = mailbox.mails
    assert trigger["Message-ID"] == again["Message-ID"]
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 4
    assert update["In-Reply-To"] == resolve["In-Reply-To"] == update["References"] == trigger["Message-ID"]
    assert update["Subject"] == f"Re: {trigger['Subject']}"
    assert trigger["Message-ID"] in both["References"]
    assert "Do next" in trigger.get_content()
    assert mailbox.encrypted == [security != "plain"] * 5


async def test_a_mail_server_that_refuses_is_a_failed_delivery(tmp_path: Path) -> None:
    """A refused mail, a wrong password and an unknown certificate each say so, without the password."""
    async with mail_server(Mailbox(refuses="552 too much"), tmp_path) as address:
        with pytest.raises(DeliveryFailed, match="552") as caught:
            await SmtpDestination("mail", smtp(address, "plain", tmp_path), CONSOLE).send(notice(), EPOCH)
        assert caught.value.for_good
    async with mail_server(Mailbox(), tmp_path, "starttls") as address:
        config = smtp(address, "starttls", tmp_path)
        written(tmp_path, "wr0ng", "password")
        with pytest.raises(DeliveryFailed, match="login") as caught:
            await SmtpDestination("mail", config, CONSOLE).send(notice(), EPOCH)
        assert "wr0ng" not in str(caught.value)
        stranger = smtp(address, "starttls", tmp_path, ca_file=None)
        with pytest.raises(DeliveryFailed, match=r"(?i)certificate"):
            await SmtpDestination("mail", stranger, CONSOLE).send(notice(), EPOCH)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_apprise_delivers_and_says_when_it_cannot(tmp_path: Path) -> None:
    """Through the real library: a message arrives; a refused one and an unknown address are failed deliveries without the address."""
    receiver = Receiver()
    async with serving(receiver.application()) as url:
        address = written(tmp_path, url.replace("http://", "json://") + "/SECRET")
        place = AppriseDestination("apprise", address, CONSOLE)
        await place.send(notice(), EPOCH)
        receiver.status = 500
        with pytest.raises(DeliveryFailed) as refused:
            await place.send(notice(), EPOCH)
        written(tmp_path, "SECRET")
        with pytest.raises(DeliveryFailed) as unknown:
            await place.send(notice(), EPOCH)
        await place.close()
    assert receiver.got[0]["type"] == "failure"
    assert "Do next" in receiver.got[0]["message"]
    assert "SECRET" not in f"{refused.value}{unknown.value}"
    assert unknown.value.for_good


def test_without_apprise_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(RuntimeError, match=r"pip install 'fivenines\[apprise\]'"):
        AppriseDestination("apprise", tmp_path, CONSOLE)
    assert by_apprise.REMEDY


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": "webhook"}, "needs url or url_file"),
        ({"kind": "webhook", "url": "https://user:hidden@x.test"}, "must not hold a user or a password"),
        ({"kind": "webhook", "url": "ftp://x.test"}, "is not an http"),
        ({"kind": "pagerduty", "url": "https://x.test"}, "routing_key_file"),
        ({"kind": "slack", "url": "https://x.test", "url_file": "x"}, "has no url"),
        ({"kind": "webhook", "url": "https://x.test", "group_seconds": 5}, "group_seconds is for"),
        ({"kind": "webhook", "url": "https://x.test", "fallback": "nobody"}, "no destination is called nobody"),
    ],
)
def test_a_destination_that_cannot_work_is_refused(change: dict[str, Any], problem: str) -> None:
    """With a reason, and without repeating a password."""
    with pytest.raises(ValidationError, match=problem) as caught:
        CfaConfig.model_validate({"destinations": [change]})
    assert "hidden" not in str(caught.value.errors(include_input=False))


def test_mail_in_the_clear_is_for_this_machine_only() -> None:
    """Plain SMTP to another machine is refused, and so is a line break in an address."""
    with pytest.raises(ValidationError, match="only for a server on loopback"):
        SmtpConfig(host="mail.example.org", security="plain", sender="a@b.c", recipients=("d@e.f",))
    with pytest.raises(ValidationError, match="not a mail address"):
        SmtpConfig(sender="a@b.c\nBcc: x@y.z", recipients=("d@e.f",))
    assert checked_url("https://x.test/a") == "https://x.test/a"
    assert Destination(kind="log").wants == {"page", "ticket"}

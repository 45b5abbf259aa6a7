"""Notices as mail, so that all about one incident is one thread (pure).

The ids of messages follow from the incident and the notice: the trigger has an id that every later message names in
``In-Reply-To`` and ``References`` (RFC 5322 §3.6.4), also when another engine sends them, and a message that was sent twice
after a crash has the same id both times, so that many a mailbox keeps one.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime

from cfa.destinations.slack_message import ordered
from cfa.notices import Notice
from cfa.page_text import headline, page_text, where

SUBJECT_MOST = 200


def message_id(sender: str, key: str) -> str:
    """``<…@domain>`` from what the message is about."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{sender.rsplit('@', 1)[-1]}>"


def mail(notice: Notice, console_url: str, sender: str, recipients: Sequence[str], now: float) -> EmailMessage:
    """One notice. The subject is the same for all of an incident, with ``Re:`` before those that follow."""
    root = message_id(sender, f"{notice.incident.id}@{','.join(recipients)}")
    follows = notice.notify in ("update", "resolve") or (
        notice.notify == "ticket" and notice.incident.state == "closed"
    )
    found = _headed(sender, recipients, now)
    found["Subject"] = _line(
        f"{'Re: ' if follows else ''}[{notice.labels['region']}] {notice.labels['alertname']} {notice.incident.id}"
    )
    found["Message-ID"] = root if not follows else message_id(sender, f"{notice.key}@{','.join(recipients)}")
    if follows:
        found["In-Reply-To"] = root
        found["References"] = root
    found["X-Fivenines-Notice"] = notice.key
    if notice.notify == "trigger":
        found["Importance"] = "high"
    found.set_content(f"{notice.incident.summary}\n\n{page_text(notice, console_url)}\n")
    return found


def digest(
    notices: Sequence[Notice], console_url: str, sender: str, recipients: Sequence[str], now: float
) -> EmailMessage:
    """Several notices in one mail, pages first, each whole."""
    rows = ordered(notices)
    incidents = list(dict.fromkeys(one.incident.id for one in rows))
    found = _headed(sender, recipients, now)
    found["Subject"] = _line(f"[{rows[0].labels['region']}] {len(rows)} notices about {len(incidents)} incidents")
    found["Message-ID"] = message_id(sender, "\n".join((*sorted(one.key for one in rows), *recipients)))
    found["References"] = " ".join(message_id(sender, f"{name}@{','.join(recipients)}") for name in incidents[:20])
    if any(one.notify == "trigger" for one in rows):
        found["Importance"] = "high"
    overview = "\n".join(f"{headline(one)}\n  {where(one.incident.scope)}: {one.incident.summary}" for one in rows)
    whole = "\n\n".join(page_text(one, console_url) for one in rows)
    found.set_content(f"{overview}\n\n{whole}\n")
    return found


def _headed(sender: str, recipients: Sequence[str], now: float) -> EmailMessage:
    found = EmailMessage()
    found["From"] = sender
    found["To"] = ", ".join(recipients)
    found["Date"] = format_datetime(dt.datetime.fromtimestamp(now, tz=dt.UTC))
    found["Auto-Submitted"] = "auto-generated"
    return found


def _line(text: str) -> str:
    """One line: a header must hold no line break."""
    return " ".join(text.split())[:SUBJECT_MOST]

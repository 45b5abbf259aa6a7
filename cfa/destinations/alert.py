"""A notice in the words of Prometheus' Alertmanager: labels, annotations, times, fingerprint (pure)."""

import datetime as dt
import hashlib
from typing import Any

from cfa.incident import Incident
from cfa.notices import Notice
from cfa.page_text import page_text

NEVER = "0001-01-01T00:00:00Z"
"""How Alertmanager writes the end of an alert that has not ended."""


def rfc3339(at: float) -> str:
    """UTC epoch seconds as ``2026-11-23T09:00:02.500Z``."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def incident_url(console_url: str, incident: Incident) -> str:
    """The incident's page in the console."""
    return f"{console_url.rstrip('/')}/incidents/{incident.id}"


def annotations(notice: Notice, console_url: str) -> dict[str, str]:
    """The one-line summary and the whole page text."""
    return {"summary": notice.incident.summary, "description": page_text(notice, console_url), "reason": notice.reason}


def fingerprint(labels: dict[str, str]) -> str:
    """Sixteen hex digits that name a set of labels."""
    text = "\0".join(f"{name}\0{value}" for name, value in sorted(labels.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def alert(notice: Notice, console_url: str, ends_at: float) -> dict[str, Any]:
    """One element of ``POST /api/v2/alerts``; ``ends_at`` lies ahead while the incident is open."""
    return {
        "labels": notice.labels,
        "annotations": annotations(notice, console_url),
        "startsAt": rfc3339(min(notice.incident.opened_at, ends_at)),
        "endsAt": rfc3339(ends_at),
        "generatorURL": incident_url(console_url, notice.incident),
    }


def webhook_body(notice: Notice, console_url: str) -> dict[str, Any]:
    """Alertmanager's webhook body, version "4", so that every existing receiver works; ``incident`` is ours beside it."""
    resolved = notice.notify == "resolve"
    status = "resolved" if resolved else "firing"
    ends_at = rfc3339(notice.incident.closed_at or notice.at) if resolved else NEVER
    one = {**alert(notice, console_url, notice.at), "status": status, "endsAt": ends_at}
    one["fingerprint"] = fingerprint(notice.labels)
    group = {name: notice.labels[name] for name in ("alertname", "incident")}
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{group["alertname"]}", incident="{group["incident"]}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "fivenines",
        "groupLabels": group,
        "commonLabels": notice.labels,
        "commonAnnotations": one["annotations"],
        "externalURL": console_url,
        "alerts": [one],
        "notify": notice.notify,
        "notice": notice.key,
        "incident": notice.incident.to_json(),
    }

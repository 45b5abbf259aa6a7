"""A notice as an event of PagerDuty's Events API v2 (pure).

The incident's id is the ``dedup_key``: whatever is sent twice, by whichever engine, is one incident there. Bounds of the API:
summary 1,024 characters, dedup_key 255, the whole event 512 kB.
"""

from typing import Any

from cfa.destinations.alert import incident_url, rfc3339
from cfa.notices import Notice
from cfa.page_text import page_text

SUMMARY_MOST, KEY_MOST, TEXT_MOST = 1024, 255, 20_000
SEVERITIES = {"page": "critical", "ticket": "warning", "watch": "info"}


def action(notice: Notice) -> str:
    """``trigger``, ``acknowledge`` or ``resolve``."""
    incident = notice.incident
    if notice.notify == "resolve" or (notice.notify == "ticket" and incident.state == "closed"):
        return "resolve"
    if notice.notify == "update" and getattr(incident, "acknowledged_at", None) is not None:
        return "acknowledge"
    return "trigger"


def event(notice: Notice, console_url: str, routing_key: str) -> dict[str, Any]:
    """The body of ``POST /v2/enqueue``."""
    incident = notice.incident
    found: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action(notice),
        "dedup_key": incident.id[:KEY_MOST],
        "client": "fivenines",
        "client_url": incident_url(console_url, incident),
    }
    if found["event_action"] == "trigger":
        found["payload"] = {
            "summary": incident.summary[:SUMMARY_MOST],
            "source": ", ".join(f"{kind} {name}" for kind, name in incident.scope.items()) or notice.labels["region"],
            "severity": SEVERITIES[incident.severity],
            "timestamp": rfc3339(incident.first_failure_at),
            "component": ", ".join(incident.operations) or incident.category,
            "group": notice.labels["region"],
            "class": notice.labels["alertname"],
            "custom_details": {"page": page_text(notice, console_url)[:TEXT_MOST], **notice.labels},
        }
        found["links"] = [{"href": incident_url(console_url, incident), "text": "the incident in the console"}]
    return found

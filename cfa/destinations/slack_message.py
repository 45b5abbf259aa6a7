"""Notices as a Slack message: a plain fallback text, and blocks that can be read on a telephone (pure).

Bounds of the API: 50 blocks, 150 characters in a header, 3,000 in a section, 2,000 in a field.
"""

from collections.abc import Sequence
from typing import Any

from cfa.destinations.alert import incident_url
from cfa.notices import Notice
from cfa.page_text import headline, page_text

HEADER_MOST, SECTION_MOST, LINES_MOST = 150, 2900, 40
MARKS = {
    "trigger": ":red_circle:",
    "update": ":large_orange_circle:",
    "resolve": ":large_green_circle:",
    "ticket": ":ticket:",
}


def escaped(text: str) -> str:
    """What is in the text stays text: Slack reads only these three as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def message(notice: Notice, console_url: str) -> dict[str, Any]:
    """One notice: a headline, the page's ten lines, and a button to the console."""
    first, *lines = page_text(notice, console_url).splitlines()
    body = escaped("\n".join(lines))[:SECTION_MOST]
    return {
        "text": escaped(f"{headline(notice)}\n{notice.incident.summary}")[:SECTION_MOST],
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": first[:HEADER_MOST], "emoji": False}},
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": f"{MARKS[notice.notify]} *{escaped(notice.incident.summary)[:1000]}*",
                },
            },
            {"type": "section", "text": {"type": "mrkdwn", "text": f"```{body}```"}},
            _button(notice, console_url),
        ],
    }


def together(notices: Sequence[Notice], console_url: str) -> dict[str, Any]:
    """Several notices in one message: a line for each, pages first."""
    title = f"{len(notices)} notices about {len({one.incident.id for one in notices})} incidents"
    lines = [
        f"{MARKS[one.notify]} <{incident_url(console_url, one.incident)}|{escaped(one.key)}> {escaped(one.incident.summary)[:200]}"
        for one in ordered(notices)
    ]
    shown = [lines[at : at + 10] for at in range(0, min(len(lines), LINES_MOST), 10)]
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": title}}]
    blocks += [
        {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(rows)[:SECTION_MOST]}} for rows in shown
    ]
    if len(lines) > LINES_MOST:
        more = f"and {len(lines) - LINES_MOST} more: <{console_url.rstrip('/')}/|all of them>"
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": more}]})
    return {"text": title, "blocks": blocks}


def ordered(notices: Sequence[Notice]) -> list[Notice]:
    """Pages that begin first, then what ends, then the rest; in time within each."""
    rank = {"trigger": 0, "resolve": 1, "update": 2, "ticket": 3}
    return sorted(notices, key=lambda one: (rank[one.notify], one.at))


def _button(notice: Notice, console_url: str) -> dict[str, Any]:
    url = incident_url(console_url, notice.incident)
    button = {"type": "button", "text": {"type": "plain_text", "text": "Open the incident"}, "url": url}
    return {"type": "actions", "elements": [button]}

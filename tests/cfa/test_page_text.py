"""The text of a page, finding by finding, as somebody reads it at 3 a.m. ``REWRITE_SCRIPTS=1 pytest`` records anew; read the diff."""

import os
from pathlib import Path
from typing import Any, get_args

import pytest

from cfa.finding import fates_text
from cfa.finding_words import WORDS
from cfa.incident import BlastRadius, Evidence, Finding, Incident, Servers, Witnesses
from cfa.notices import Notice
from cfa.page_text import page_text, rarity

GOLDEN = Path(__file__).parent.parent / "scripts" / "pages"
AT = 1_764_000_000.0
SEEN = Evidence(
    failures=96, attempts=96, share=1.0, share_low=0.9743, share_high=1.0, log_evidence=61.2, log_threshold=24.1,
    budget_burned=0.0049, would_happen_once_in_years=3_040.0,
)  # fmt: skip
SOME = Evidence(
    failures=23, attempts=812, share=0.02833, share_low=0.0184, share_high=0.0414, log_evidence=30.4, log_threshold=24.1,
    budget_burned=0.031, would_happen_once_in_years=41.0,
)  # fmt: skip
REACH = BlastRadius(
    endpoints=("fips", "standard"), operations=("strong_read", "write"), tables=("canary",), partitions=9, share_of_region=0.33
)  # fmt: skip
TWO_ZONES = Witnesses(bad=("az2-canary-1", "az3-canary-1"), good=("az2-canary-2",))

CASES: dict[Finding, dict[str, Any]] = {
    "unknown": {
        "scope": {"zone": "az1"},
        "summary": "az1 fails writes for canaries in az2",
        "reasons": {"deadline": 96},
    },
    "outage": {
        "scope": {"version": "2.1.0"},
        "summary": "software version 2.1.0 fails reads and writes for canaries in az1, az2 and az3",
        "servers": Servers(verdict="bad", detail="2 of 2 answer; by their own count 90 of 400 requests failed"),
        "reasons": {"http_500": 96},
    },
    "gray_failure": {
        "scope": {"router": "az1-router-2"},
        "side": "client",
        "evidence": SOME,
        "summary": "az1-router-2 fails reads and writes for canaries in az2 and az3; "
        + fates_text({"seen_and_answered": 20, "seen_late": 3}),
        "servers": Servers(verdict="ok", detail="1 of 1 answer; by their own count 0 of 812 requests failed"),
        "reasons": {"deadline": 23},
    },
    "never_arrived": {
        "scope": {"zone": "az1", "endpoint": "standard"},
        "summary": "endpoint standard in az1 fails reads and writes for canaries in az2 and az3",
        "servers": Servers(verdict="silent", detail="az1-router-1, az1-router-2 do not answer"),
        "reasons": {"connect_timeout": 96},
    },
    "correctness": {
        "scope": {"table": "canary", "partition": "p5"},
        "operations": ("read",),
        "evidence": SOME,
        "summary": "partition p5 of table canary fails reads for canaries in az1, az2 and az3",
        "servers": Servers(verdict="ok", detail="6 of 6 answer; by their own count 0 of 812 requests failed"),
        "reasons": {"lost_write": 23},
    },
    "masked_by_retries": {
        "scope": {"table": "orders"},
        "severity": "ticket",
        "side": "server",
        "operations": ("write",),
        "evidence": SOME,
        "summary": "table orders: servers fail 23 of 812 requests (writes); every canary is well; retries mask it",
        "witnesses": Witnesses(),
        "servers": Servers(verdict="bad", detail="by their own count 23 of 812 requests failed"),
        "blast_radius": BlastRadius(tables=("orders",)),
        "reasons": {},
    },
    "not_covered": {
        "scope": {"table": "orders"},
        "side": "client",
        "operations": ("write",),
        "summary": "table orders: writes fail for customers, retries and all: 96 of 96 calls of shop, till; every canary is well",
        "witnesses": Witnesses(bad=("shop", "till"), good=("desk",)),
        "servers": Servers(verdict="unknown", detail="not scraped since"),
        "blast_radius": BlastRadius(operations=("write",), tables=("orders",)),
        "reasons": {},
    },
    "monitoring_blind": {
        "scope": {"region": "local"},
        "severity": "ticket",
        "side": "client",
        "category": "monitoring",
        "operations": (),
        "evidence": Evidence(),
        "summary": "region local: monitoring down: no canary was heard since 15:59:45 UTC, so nobody knows what customers get",
        "witnesses": Witnesses(),
        "servers": Servers(verdict="ok", detail="6 of 6 answer"),
        "blast_radius": BlastRadius(),
        "reasons": {},
    },
    "canaries_in_trouble": {
        "scope": {"observer_zone": "az3"},
        "severity": "ticket",
        "summary": "Only canaries in az3 see reads and writes fail",
        "witnesses": Witnesses(bad=("az3-canary-1", "az3-canary-2"), good=("az1-canary-1", "az2-canary-1")),
        "servers": Servers(verdict="ok", detail="6 of 6 answer; by their own count 0 of 4,000 requests failed"),
        "reasons": {"deadline": 96},
    },
    "durability": {
        "scope": {"node": "az1-node-2"},
        "side": "server",
        "category": "durability",
        "operations": ("write",),
        "evidence": Evidence(),
        "summary": "node az1-node-2: the log of 1 storage node has not reached the archive since 15:50:00 UTC (600 s)",
        "witnesses": Witnesses(),
        "blast_radius": BlastRadius(),
        "reasons": {},
    },
}


def page(finding: Finding) -> str:
    """A page (or ticket) with this finding."""
    known: dict[str, Any] = {
        "id": f"i-{finding}", "severity": "page", "operations": ("read", "write"), "side": "both", "opened_at": AT,
        "first_failure_at": AT - 1.9, "reason": "evidence_and_sustained_failure", "evidence": SEEN, "witnesses": TWO_ZONES,
        "blast_radius": REACH, "finding": finding,
    }  # fmt: skip
    incident = Incident(**{**known, **CASES[finding]})
    word: Any = "trigger" if incident.severity == "page" else "ticket"
    notice = Notice(incident=incident, notify=word, n=1, destination="log", at=AT, reason=incident.reason, labels={})
    return page_text(notice, "http://console.test:8080")


@pytest.mark.parametrize("finding", get_args(Finding))
def test_the_first_ten_lines(finding: Finding) -> None:
    """They say what, since when, how much, how sure, where, who sees it and who does not, what the servers say, what to do, links."""
    text = "\n".join(page(finding).splitlines()[:10]) + "\n"
    golden = GOLDEN / f"{finding}.txt"
    if os.environ.get("REWRITE_SCRIPTS"):
        golden.write_text(text)
    assert text == golden.read_text()
    if finding != "monitoring_blind":
        assert WORDS[finding].name in text.splitlines()[1]


@pytest.mark.parametrize(
    ("years", "said"),
    [
        (3_040.0, "once in 3,000 years"),
        (1e12, "less often than once in a thousand million years"),
        (12.6, "once in 13 years"),
        (0.5, "once in 180 days"),
        (0.001, "once in 9 hours"),
        (1e-9, "once in an hour"),
    ],
)
def test_how_rare_it_is_in_words(years: float, said: str) -> None:
    """Two digits and the unit that reads best."""
    assert rarity(years) == said

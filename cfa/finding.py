"""What the views say together: the named finding of an incident (pure; ``docs/scope.md`` has the table).

| canaries | servers say              | requests                             | finding           |
|----------|--------------------------|--------------------------------------|-------------------|
| bad      | anything                 | answered, wrongly                    | correctness       |
| bad      | silent                   |                                      | never_arrived     |
| bad      | bad                      |                                      | outage            |
| bad      | ok, or not heard yet     | not sent, or not seen by the router  | never_arrived     |
| bad      | ok, or not heard yet     | answered with a server's error       | outage            |
| bad      | ok                       | seen, late, refused, or unknown      | gray_failure      |
| bad      | not heard yet            | unknown                              | unknown           |
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from cfa.incident import Finding, Servers
from cfa.policy import KINDS, WRONG_ANSWERS_PAGE
from collector.observation import Phase

MOST = 0.5
"""A part of the failures of which at least this much is alike speaks for all."""

NOT_SENT = frozenset({str(Phase.DNS), str(Phase.TCP), str(Phase.TLS)})
"""Phases that fail before a request is sent."""

NOT_SEEN, SEEN_AND_FAILED = "not_seen", "seen_and_failed"
ARRIVED = frozenset({"seen_late", SEEN_AND_FAILED, "seen_and_refused", "seen_and_answered"})
"""Words of a router about a request (:class:`collector.join.Fate`); ``unknown`` says nothing."""

SERVER_ERROR = "http_5"
"""What the reason of a failure begins with when a server answered with an error of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What is known of an incident's failed attempts: how many, by phase, by reason, and the routers' words about some."""

    kind: str
    failures: int
    wrong: int
    phases: Mapping[str | None, int]
    reasons: Mapping[str, int]
    fates: Mapping[str, int]


def finding_of(failed: Failed, servers: Servers) -> Finding:
    """The row of the table above; canaries whose own trouble it is come first."""
    if not KINDS[failed.kind].pages:
        return "canaries_in_trouble"
    if failed.wrong >= WRONG_ANSWERS_PAGE or failed.wrong >= MOST * max(1, failed.failures):
        return "correctness"
    if servers.verdict == "silent":
        return "never_arrived"
    if servers.verdict == "bad":
        return "outage"
    return _by_requests(failed, servers)


def _by_requests(failed: Failed, servers: Servers) -> Finding:
    told = sum(failed.phases.values())
    not_sent = sum(n for phase, n in failed.phases.items() if phase in NOT_SENT)
    arrived = sum(n for fate, n in failed.fates.items() if fate in ARRIVED)
    not_seen = failed.fates.get(NOT_SEEN, 0)
    errors = sum(n for reason, n in failed.reasons.items() if reason.startswith(SERVER_ERROR))
    if told and not_sent >= MOST * told:
        return "never_arrived"
    if not_seen and not_seen > arrived and not_seen + not_sent >= MOST * (not_seen + not_sent + arrived):
        return "never_arrived"
    if (told and errors >= MOST * told) or failed.fates.get(SEEN_AND_FAILED, 0) > MOST * max(1, arrived + not_seen):
        return "outage"
    return "gray_failure" if servers.verdict == "ok" else "unknown"


def fates_text(fates: Mapping[str, int]) -> str:
    """The routers' words for people; empty without any."""
    words = {
        NOT_SEEN: "never arrived",
        "seen_late": "arrived after the client had given up",
        SEEN_AND_FAILED: "arrived and failed",
        "seen_and_refused": "arrived and were refused",
        "seen_and_answered": "were answered, but the answer was lost, late or wrong",
    }
    known = Counter({word: n for word, n in fates.items() if word in words})
    if not known:
        return ""
    parts = ", ".join(f"{n} {words[word]}" for word, n in known.most_common())
    return f"of {sum(known.values())} failed requests that routers were asked about, {parts}"

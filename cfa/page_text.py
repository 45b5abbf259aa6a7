"""The text of a page: everything that somebody needs at 3 a.m. in its first ten lines (pure)."""

import datetime as dt

from cfa.finding_words import WORDS
from cfa.incident import Incident, Recovery
from cfa.notices import Notice

_WORDS = {"trigger": "PAGE", "update": "UPDATE", "resolve": "RESOLVED", "ticket": "TICKET"}
_LABEL_WIDTH = 13

MOST_YEARS = 1e9
"""Rarer than once in so many years is not told in figures."""

NEXT_STEPS: tuple[tuple[str, str], ...] = (
    ("destination", "look at the destination's own state and at its key or token; pages go to the others meanwhile"),
    ("observer_zone", "look at the canaries and the network of that zone first; the store answers everybody else"),
    ("observer", "look at that canary host first; the store answers everybody else"),
    ("partition", "look at the partition's leader and replicas; move the leader if one replica is sick"),
    ("version", "roll this version back, or stop its deployment: other versions answer well"),
    ("node", "take the node out of service; its replicas are rebuilt elsewhere"),
    ("router", "take the router out of DNS, then look at its log"),
    ("table", "look at the table's last changes, capacity and replication groups"),
    ("zone", "shift traffic away from the zone, then find out why; leaders move by themselves"),
    ("endpoint", "check DNS, certificate and load balancer of the endpoint; send customers to another endpoint"),
    ("operation", "look at what was deployed or configured for this operation alone; the others answer well"),
    ("region", "stop what is being deployed; look at what all zones share: DNS, identity, metadata"),
)
"""What to do first, by the most telling part of the scope (first match wins)."""

_REASON_STEPS: tuple[tuple[str, str], ...] = (
    ("dns_", "the name does not resolve: check the endpoint's DNS records and servers"),
    ("certificate_", "the certificate is refused: renew or roll back the endpoint's certificate"),
    ("tls_", "the TLS handshake fails: check the endpoint's certificate and ciphers"),
)


def utc(at: float) -> str:
    """``2026-11-23 09:00:02Z``."""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def percent(ratio: float) -> str:
    """A ratio for people: three digits, more near 100 %: ``0.5 %``, ``34.8 %``, ``99.995 %``."""
    return f"{ratio * 100:.3g} %" if ratio < 0.99 else f"{ratio * 100:.6g} %"


def rarity(years: float) -> str:
    """``once in 3,000 years``: two digits, the unit that reads best."""
    if years >= MOST_YEARS:
        return "less often than once in a thousand million years"
    for unit, length in (("years", 1.0), ("days", 1 / 365.25), ("hours", 1 / 8766)):
        if years >= 2 * length or unit == "hours":
            count = years / length
            digits = max(0, len(str(int(count))) - 2)
            shown = max(1, round(count / 10**digits) * 10**digits)
            return f"once in {shown:,} {unit}" if shown > 1 else f"once in an {unit[:-1]}"
    return "often"


def where(scope: dict[str, str]) -> str:
    """``zone az1, endpoint fips``."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in scope.items()) or "scope unknown"


def headline(notice: Notice) -> str:
    """The first line, which is unlike that of every other notice."""
    incident = notice.incident
    word = "FOLDED" if incident.folded_into and notice.notify == "resolve" else _WORDS[notice.notify]
    return f"{word} {where(incident.scope)} · {utc(notice.at)} · {notice.key}"


def page_text(notice: Notice, console_url: str) -> str:
    """The first line names the page; the next nine answer: what, since when, how much, how sure, where, who, servers, next, links."""
    incident = notice.incident
    url = console_url.rstrip("/")
    lines = (
        ("What", _what(incident)),
        ("Since", _since(incident)),
        ("How much", _how_much(incident)),
        ("How sure", _how_sure(incident) if incident.recovery is None else _how_sure_it_is_over(incident.recovery)),
        ("Where", _reach(incident)),
        ("Witnesses", _witnesses(incident)),
        ("Servers say", f"{incident.servers.verdict}: {incident.servers.detail or 'nothing more'}"),
        ("Do next", _do_next(incident, notice.reason)),
        ("Links", f"{url}/incidents/{incident.id}  {url}/"),
    )
    body = [f"{label:<{_LABEL_WIDTH}}{text}" for label, text in lines]
    return "\n".join([headline(notice), *body, *_details(incident, notice)])


def _do_next(incident: Incident, reason: str) -> str:
    if incident.folded_into:
        return f"it is NOT over: it is a part of {incident.folded_into}, which goes on; look there"
    if incident.state != "open":
        return f"nothing; it ended ({reason})"
    taken = f"{incident.acknowledged_by} has taken it; " if incident.acknowledged_by else ""
    return f"{taken}{next_step(incident)}"


def next_step(incident: Incident) -> str:
    """What to do first: what the most frequent reason says, else what finding and scope say."""
    worst = max(incident.reasons, key=lambda reason: (incident.reasons[reason], reason), default="")
    for prefix, step in _REASON_STEPS:
        if worst.startswith(prefix):
            return step
    first = WORDS[incident.finding].step
    if first and not first.endswith("; "):
        return first
    found = (step for key, step in NEXT_STEPS if key in incident.scope)
    return first + next(found, "open the console and look at the matrix")


def _what(incident: Incident) -> str:
    if not incident.operations:
        return incident.summary
    words = WORDS[incident.finding]
    connection = f" on {incident.connection} connections only" if incident.connection else ""
    hurt = f"{' and '.join(f'{side}s' for side in incident.operations)} fail{connection}"
    return f"{words.name}: {hurt}; {words.means}. {incident.summary}"


def _since(incident: Incident) -> str:
    begun = "a canary was last heard" if incident.finding == "monitoring_blind" else "first failed attempt"
    since = f"{utc(incident.first_failure_at)} ({begun}); judged {utc(incident.opened_at)}"
    if incident.closed_at is None:
        return since
    return f"{since}; over {utc(incident.closed_at)} after {incident.closed_at - incident.first_failure_at:.0f} s"


def _how_much(incident: Incident) -> str:
    seen = incident.evidence
    if not seen.attempts:
        return "not counted"
    of = "calls" if incident.finding == "not_covered" else "requests" if incident.side == "server" else "attempts"
    return (
        f"{seen.failures:,} of {seen.attempts:,} {of} failed: {percent(seen.share)} (between {percent(seen.share_low)} and "
        f"{percent(seen.share_high)}); {percent(seen.budget_burned)} of the 30-day error budget burned"
    )


def _how_sure(incident: Incident) -> str:
    seen = incident.evidence
    if not seen.log_threshold:
        return "certain: it is what was measured, not an estimate"
    return (
        f"a fleet exactly at its objective would show this {rarity(seen.would_happen_once_in_years)} "
        f"(evidence {seen.log_evidence:.1f}, pages from {seen.log_threshold:.1f} nats on)"
    )


def _how_sure_it_is_over(seen: Recovery) -> str:
    return (
        f"{seen.successes} successes by {len(seen.hosts)} witnesses in {seen.quiet_seconds:.0f} s and no failure since "
        f"{utc(seen.last_failure_at)}; at most {seen.share_at_most * 100:.2g} % can still fail (95 %)"
    )


def _reach(incident: Incident) -> str:
    reach = incident.blast_radius
    parts = [
        f"{name} {_listed(values)}"
        for name, values in (("endpoints", reach.endpoints), ("operations", reach.operations), ("tables", reach.tables))
        if values
    ]
    parts += [f"{reach.partitions} partitions"] if reach.partitions else []
    parts += [f"{percent(reach.share_of_region)} of what is asked of the region"] if reach.share_of_region else []
    return "; ".join([where(incident.scope), *parts])


def _witnesses(incident: Incident) -> str:
    seen = incident.witnesses
    return f"seen by {_listed(seen.bad)}; not seen by {_listed(seen.good)}; not believed: {_listed(seen.recused)}"


def _details(incident: Incident, notice: Notice) -> list[str]:
    reasons = sorted(incident.reasons.items(), key=lambda item: (-item[1], item[0]))[:8]
    how = ", ".join(f"{reason} ×{count}" for reason, count in reasons) or "-"
    examples = [
        f"  {utc(one.at)} {one.host} {one.endpoint} {one.operation} {one.reason} {one.request_id or ''}".rstrip()
        for one in incident.examples[:3]
    ]
    return [f"{'How':<{_LABEL_WIDTH}}{how}", f"{'Why told':<{_LABEL_WIDTH}}{notice.reason}", *examples]


def _listed(names: tuple[str, ...], most: int = 6) -> str:
    shown = ", ".join(names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown

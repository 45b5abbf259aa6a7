"""The named findings: what canaries, customers and servers say together."""

import pytest

from cfa.attempts import Failure
from cfa.blindness import Blindness
from cfa.config import CfaConfig
from cfa.finding import Failed, fates_text, finding_of
from cfa.incident import IncidentEvent, Servers
from cfa.joins import Joins
from cfa.judgement import Judgement
from collector.observation import Connection, Level, OperationClass, Outcome, Phase, Vantage
from collector.series import FeedEntry, Reading, RequestFate, Series
from tests.cfa.world import FAULTS, START, Answer, World

T = 1_764_000_000.0


def failed(kind: str = "zone", **given: object) -> Failed:
    """Ten failures that ended while waiting, unless told otherwise."""
    known: dict = {"failures": 10, "wrong": 0, "phases": {"wait": 10}, "reasons": {"deadline": 10}, "fates": {}}
    return Failed(kind=kind, **{**known, **given})


@pytest.mark.parametrize(
    ("verdict", "what", "finding"),
    [
        ("bad", failed(), "outage"),
        ("silent", failed(), "never_arrived"),
        ("ok", failed(), "gray_failure"),
        ("unknown", failed(), "unknown"),
        ("ok", failed(phases={"dns": 10}, reasons={"dns_empty": 10}), "never_arrived"),
        ("unknown", failed(phases={"tcp": 6, "wait": 4}), "never_arrived"),
        ("ok", failed(fates={"not_seen": 7, "unknown": 3}), "never_arrived"),
        ("ok", failed(fates={"not_seen": 3, "seen_late": 6}), "gray_failure"),
        ("ok", failed(fates={"seen_and_refused": 9}), "gray_failure"),
        ("ok", failed(fates={"seen_and_failed": 9}), "outage"),
        ("ok", failed(phases={"http": 10}, reasons={"http_503": 10}), "outage"),
        ("ok", failed(phases={"http": 10}, reasons={"http_400": 10}), "gray_failure"),
        ("bad", failed(wrong=2), "correctness"),
        ("ok", failed(wrong=1, failures=1), "correctness"),
        ("bad", failed(kind="observer_zone"), "canaries_in_trouble"),
    ],
)
def test_findings(verdict: str, what: Failed, finding: str) -> None:
    """Each row of the table; wrong answers come before the servers' word, the witnesses' own trouble before all."""
    assert finding_of(what, Servers(verdict=verdict)) == finding  # type: ignore[arg-type]


def test_the_routers_words_are_told_to_people() -> None:
    """How many were asked about and what became of them; words that say nothing are left out."""
    assert fates_text({"unknown": 4}) == ""
    assert "of 3 failed requests that routers were asked about, 2 never arrived, 1 arrived and failed" in fates_text(
        {"not_seen": 2, "seen_and_failed": 1, "unknown": 9}
    )


def test_a_routers_word_belongs_to_one_failure_and_is_forgotten_with_it() -> None:
    """Host and intended start name the failure; a snapshot keeps the words."""
    joins = Joins()
    said = (RequestFate(host="az1-canary-1", at=T + 1, fate="not_seen"),)
    joins.take(FeedEntry(cursor=1, received_at=T + 3, host="collector", zone="", vantage=Vantage.SERVER, fates=said))
    mine = Failure(
        sequence=1, at=T + 1, received=T + 1, place=0, host="az1-canary-1", reason="deadline", phase="wait",
        endpoint="standard", operation="write",
    )  # fmt: skip
    again = Joins()
    again.load(joins.state())
    assert dict(joins.of([mine])) == dict(again.of([mine])) == {"not_seen": 1}
    joins.take(FeedEntry(cursor=2, received_at=T + 500, host="collector", zone="", vantage=Vantage.SERVER))
    assert not joins.any


def judged(world: World, seconds: float, *, ticks: bool = False) -> list[IncidentEvent]:
    """All events; with ``ticks`` somebody looks at the clock each second in between."""
    judgement, events, last = Judgement(CfaConfig()), [], START
    for entry in world.run(seconds):
        while ticks and last + 1 < entry.received_at:
            last += 1
            events += judgement.tick(last)
        events += judgement.step(entry)
    return [event for event in events if event.reason != "figures"]


@pytest.mark.parametrize(
    ("word", "finding"), [(None, "gray_failure"), ("not_seen", "never_arrived"), ("seen_late", "gray_failure")]
)
def test_what_routers_say_of_single_requests_decides_what_it_is(word: str | None, finding: str) -> None:
    """Servers call themselves well and answers do not come: it is the routers' word about the requests that tells where they are lost."""
    world = World()
    lost = Answer(Outcome.TIMEOUT, "deadline", Phase.WAIT, 2.0, router=False)
    world.during(20.0, 30.0, lambda _, a: lost if a.endpoint == "fips" else None)
    judgement, found = Judgement(CfaConfig()), list[IncidentEvent]()
    for entry in world.run(40.0):
        found += judgement.step(entry)
        fates = tuple(
            RequestFate(host=entry.host, at=f.at, fate=word)
            for r in entry.readings
            for f in r.failures
            if word is not None
        )
        if fates:
            said = FeedEntry(
                cursor=1, received_at=entry.received_at, host="collector", zone="", vantage=Vantage.SERVER, fates=fates
            )
            found += judgement.step(said)
    (incident,) = judgement.incidents()
    assert (incident.scope, incident.finding, incident.side) == ({"endpoint": "fips"}, finding, "client")
    assert set(incident.fates) == ({word} if word else set())
    assert any(e.notify == "trigger" for e in found)


def test_silent_canaries_are_a_ticket_for_the_monitoring_told_once() -> None:
    """Servers are well and no canary is heard: one ticket, which closes by itself, and no page of the store."""
    world = World()
    FAULTS["canaries_down"](world, 20.0, 60.0)
    events = judged(world, 120.0)
    assert [(e.event, e.incident.finding, e.incident.category, e.notify) for e in events] == [
        ("opened", "monitoring_blind", "monitoring", None),
        ("closed", "monitoring_blind", "monitoring", None),
    ]
    assert "servers ok" in events[0].incident.summary


@pytest.mark.parametrize("ticks", [False, True])
def test_a_collector_that_is_away_is_the_same_ticket_whoever_notices(ticks: bool) -> None:
    """A clock that notices live and a replay that only sees the entries give the same incident, once."""
    world = World()
    FAULTS["collector_down"](world, 20.0, 40.0)
    events = judged(world, 90.0, ticks=ticks)
    assert [e.event for e in events] == ["opened", "closed"]
    assert events[0].at == events[0].incident.opened_at == pytest.approx(START + 35.1, abs=1.0)
    assert events[0].incident.id == events[1].incident.id


def test_nobody_is_missed_who_was_never_heard() -> None:
    """Before the first canary there is no silence."""
    assert Blindness("local").look(T, None, Servers()) == []


def calls(at: float, host: str, *, good: int, bad: int, level: Level = Level.CALL, table: str = "orders") -> FeedEntry:
    """What a customer's program counted."""
    series = Series(
        vantage=Vantage.CUSTOMER, host=host, zone="az1", operation=OperationClass.WRITE, table=table,
        endpoint="standard", connection=Connection.POOLED, level=level,
    )  # fmt: skip
    reading = Reading(series=series, at=int(at), counts={Outcome.SUCCESS: good, Outcome.SERVER_FAULT: bad})
    return FeedEntry(cursor=1, received_at=at, host=host, zone="az1", vantage=Vantage.CUSTOMER, readings=(reading,))


def with_customers(hosts: tuple[str, ...], *, good: int, bad: int, level: Level = Level.CALL) -> list[IncidentEvent]:
    """A healthy canary for two minutes; customers who fail for forty seconds of them, and are well afterwards."""
    judgement, events = Judgement(CfaConfig()), []
    theirs = [
        calls(START + second, host, good=good, bad=bad if 20 <= second < 60 else 0, level=level)
        for second in range(5, 130)
        for host in hosts
    ]
    canary = [entry for entry in World(scraping=False).run(130.0) if entry.host == "az1-canary-1"]
    entries = sorted([*canary, *theirs], key=lambda entry: entry.received_at)
    for entry in entries:
        events += judgement.step(entry)
    return [event for event in events if event.reason != "figures"]


def test_two_customers_whose_calls_fail_are_a_page_while_canaries_are_well() -> None:
    """Half of the calls of two programs fail: a page that names table and hosts, and its end is told."""
    events = with_customers(("shop", "till"), good=5, bad=8)
    assert [(e.event, e.incident.severity, e.incident.finding, e.notify) for e in events] == [
        ("paged", "page", "not_covered", "trigger"),
        ("closed", "page", "not_covered", "resolve"),
    ]
    assert events[0].incident.scope in ({"table": "orders"}, {"region": "local"})
    assert events[0].incident.evidence.hosts == ("shop", "till")
    assert events[0].at <= START + 35


def test_one_customer_alone_may_be_at_fault_itself() -> None:
    """Neither one program's calls, nor attempts that were retried with success, are a finding by themselves."""
    assert with_customers(("shop",), good=5, bad=8) == []
    assert with_customers(("shop", "till"), good=5, bad=8, level=Level.ATTEMPT) == []


def test_few_failing_calls_are_a_ticket() -> None:
    """Evidence without materiality does not wake anyone."""
    events = with_customers(("shop", "till"), good=50, bad=5)
    assert [(e.event, e.incident.severity, e.notify) for e in events] == [
        ("opened", "ticket", None),
        ("closed", "ticket", None),
    ]


def test_a_snapshot_keeps_what_customers_and_silence_have_told() -> None:
    """A judgement restored in the middle goes on as the one that was not."""
    judgement = Judgement(CfaConfig())
    for entry in World(scraping=False).run(10.0):
        judgement.step(entry)
    for second in range(10, 14):
        judgement.step(calls(START + second, "shop", good=1, bad=9))
    restored = Judgement.restore(CfaConfig(), judgement.snapshot())
    later = [calls(START + second, host, good=1, bad=9) for second in range(14, 40) for host in ("shop", "till")]
    one = [(e.event, e.incident.id) for entry in later for e in judgement.step(entry)]
    two = [(e.event, e.incident.id) for entry in later for e in restored.step(entry)]
    assert one == two
    assert [event for event, _ in one] == ["paged"] or ("opened" in dict(one))

"""Scenarios and verdicts."""

from dataclasses import replace
from typing import Any

import pytest

from fivenines.drill_verdict import Seen, judge
from fivenines.drills import Scenario, ScenarioError, parse
from fivenines.scenario_files import named, names

ZONE = """
name: zone-power-off
about: The power of az1 goes.
faults:
  - {at: 5s, for: 30s, kind: power_off, zone: az1}
expect:
  incident: {scope: {zone: az1}, operations: [read, write], side: both, severity: page, within: 10s}
  pages_at_most: 1
  clears_within: 60s
"""
NOBODY = "name: quiet\nfaults: [{kind: crash, node: az1-node-1, for: 5s}]\nexpect: {incident: none}\n"


def incident(**changes: Any) -> dict[str, Any]:
    """An incident as the API gives it, as expected but for ``changes``."""
    return {
        "id": "i-1",
        "scope": {"zone": "az1"},
        "operations": ["read", "write"],
        "side": "both",
        "severity": "page",
        "opened_at": 102.0,
        "paged_at": 103.0,
        "closed_at": 140.0,
        "state": "closed",
        "summary": "az1 fails",
    } | changes


def page(**changes: Any) -> dict[str, Any]:
    """A page as the API gives it."""
    return {"incident": "i-1", "event": "trigger", "created_at": 103.0, "destination": "log"} | changes


def seen(*incidents: dict[str, Any], pages: tuple[dict[str, Any], ...] = (), recused: tuple[str, ...] = ()) -> Seen:
    """What a drill saw whose fault was in force at second 100."""
    return Seen(in_force_at=100.0, ended_at=200.0, incidents=incidents, pages=pages, recused=recused)


def scenario(text: str = ZONE) -> Scenario:
    """A scenario from text."""
    return parse(text, "test.yaml")


def test_an_incident_that_is_told_to_be_over_while_its_fault_is_in_force_fails_the_drill() -> None:
    """``clears_after`` is the time that the fault lasts; closing a second earlier is a finding."""
    lasting = scenario(ZONE.replace("clears_within", "clears_after: 30s\n  clears_within"))
    assert judge(lasting, seen(incident(closed_at=131.0), pages=(page(),)), seed=0).passed
    verdict = judge(lasting, seen(incident(closed_at=129.0), pages=(page(),)), seed=0)
    assert not verdict.passed
    assert "while its fault was in force" in verdict.reason


def test_a_drill_that_goes_as_expected_passes_with_seconds_from_the_fault_in_force() -> None:
    """The verdict has the times since the fault was really in force."""
    verdict = judge(scenario(), seen(incident(), pages=(page(), page(destination="webhook"))), seed=7)
    assert verdict.passed, verdict.reason
    assert (verdict.detected_seconds, verdict.paged_seconds, verdict.cleared_seconds) == (2.0, 3.0, 40.0)
    assert verdict.pages == 1
    assert list(verdict.to_json()) == [
        "scenario", "seed", "passed", "detected_seconds", "paged_seconds", "cleared_seconds", "scope", "expected_scope", "scope_correct", "pages",
        "recused", "reason",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scope": {"zone": "az2"}}, "scope is zone az2, expected zone az1"),
        ({"operations": ["write"]}, "operations are"),
        ({"side": "client"}, "side is client, expected both"),
        ({"severity": "ticket"}, "severity is ticket"),
        ({"paged_at": 111.0}, "paged after 11.0 s, expected within 10 s"),
        ({"paged_at": None}, "never paged"),
        ({"closed_at": None}, "never cleared"),
        ({"closed_at": 161.0}, "cleared after 61.0 s"),
    ],
)
def test_each_way_of_being_wrong_fails_and_is_named(changes: dict[str, Any], reason: str) -> None:
    """Whatever is not as expected fails the drill and says so."""
    verdict = judge(scenario(), seen(incident(**changes), pages=(page(),)), seed=0)
    assert not verdict.passed
    assert reason in verdict.reason


def test_no_incident_and_too_many_pages_fail() -> None:
    """Silence when a page was expected fails; so does a second page."""
    assert "no incident" in judge(scenario(), seen(), seed=0).reason
    twice = seen(incident(), pages=(page(), page(incident="i-2", created_at=110.0)))
    assert "2 pages, at most 1 expected" in judge(scenario(), twice, seed=0).reason


def test_when_nobody_should_be_woken_a_ticket_is_allowed_and_a_page_is_not() -> None:
    """`incident: none` speaks of pages."""
    quiet = scenario(NOBODY)
    assert judge(quiet, seen(incident(severity="ticket", paged_at=None)), seed=0).passed
    assert not judge(quiet, seen(incident(), pages=(page(),)), seed=0).passed


def test_a_witness_that_should_have_been_recused_is_missed() -> None:
    """An expected recusal that does not come fails the drill."""
    sick = scenario(
        "name: sick\nfaults: [{kind: canary_sick, canary: az1-canary-1}]\nexpect: {incident: none, recused: [az1-canary-1]}\n"
    )
    assert "not reported as sick" in judge(sick, seen(), seed=0).reason
    assert judge(sick, seen(recused=("az1-canary-1",)), seed=0).passed


def test_a_drill_may_allow_no_failed_probe_and_unknown_is_not_none() -> None:
    """As many as are allowed pass; one more fails; when nobody could count them, that is said."""
    calm = scenario("name: x\nexpect: {failed_probes_at_most: 2}")
    reasons = [judge(calm, replace(seen(), failed_probes=failed), seed=0).reason for failed in (2, 3, None)]
    assert reasons == ["as expected", "3 probes failed, at most 2 expected", "nobody could say how many probes failed"]
    assert judge(calm, replace(seen(), failed_probes=2), seed=0).to_json()["failed_probes"] == 2
    assert "failed_probes" not in judge(scenario(), seen(incident(), pages=(page(),)), seed=0).to_json()


TWO = """
name: two
faults: [{kind: tls, endpoint: fips, problem: expired, for: 9s}, {kind: error, router: az3-router-2, for: 9s}]
expect:
  incidents:
    - {scope: {endpoint: fips}, within: 10s}
    - {scope: {router: az3-router-2}, scope_or: [{zone: az3}], within: 20s}
"""


def test_two_faults_are_two_incidents_each_judged_by_its_own_scope_and_time() -> None:
    """Both must be there; a page for each is allowed without a word; one missing, or a third page, fails."""
    fips = incident(id="i-1", scope={"endpoint": "fips"})
    router = incident(id="i-2", scope={"zone": "az3"}, opened_at=112.0, paged_at=113.0)
    pages = (page(), page(incident="i-2", created_at=113.0))
    verdict = judge(scenario(TWO), seen(router, fips, pages=pages), seed=0)
    assert verdict.passed, verdict.reason
    assert [found["paged_seconds"] for found in verdict.to_json()["found"]] == [3.0, 13.0]
    assert "no incident; expected router az3-router-2" in judge(scenario(TWO), seen(fips, pages=pages), seed=0).reason
    third = seen(fips, router, pages=(*pages, page(incident="i-3", created_at=120.0)))
    assert "3 pages, at most 2 expected" in judge(scenario(TWO), third, seed=0).reason


def test_an_expected_ticket_allows_no_page() -> None:
    """A scenario that expects a ticket has said that nobody is woken."""
    ticket = scenario("name: x\nexpect: {incident: {scope: {zone: az1}, severity: ticket}}")
    assert judge(ticket, seen(incident(severity="ticket", paged_at=None)), seed=0).passed
    assert "1 pages, at most 0 expected" in judge(ticket, seen(incident(), pages=(page(),)), seed=0).reason


def test_what_must_not_fire_is_named_by_any_of_its_marks() -> None:
    """An incident that is all that an entry says fails the drill; one that differs in a single mark does not."""
    text = "name: x\nexpect: {incident: any, must_not_fire: [{severity: ticket, finding: gray_failure}], tickets_at_most: 1}"
    ticket = incident(severity="ticket", finding="gray_failure")
    assert "fired: ticket for zone az1" in judge(scenario(text), seen(ticket), seed=0).reason
    assert judge(scenario(text), seen(ticket | {"finding": "outage"}), seed=0).passed
    two = seen(ticket | {"finding": "outage"}, incident(severity="ticket", scope={"zone": "az2"}))
    assert "2 tickets (zone az1, zone az2), at most 1 expected" in judge(scenario(text), two, seed=0).reason


def test_a_judgement_that_sees_nothing_must_say_so_in_time() -> None:
    """Blindness is expected like a page: never and too late both fail."""
    down = scenario("name: x\nfaults: [{kind: collector_down, for: 30s}]\nexpect: {blind_within: 20s}")
    assert judge(down, replace(seen(), blind_at=116.0), seed=0).to_json()["blind_seconds"] == 16.0
    reasons = [judge(down, replace(seen(), blind_at=at), seed=0).reason for at in (116.0, 130.0, None)]
    assert reasons == [
        "as expected",
        "told that it is blind after 30.0 s, expected within 20 s",
        "never told that it is blind",
    ]


@pytest.mark.parametrize("side", ["client", "client-only"])
def test_client_only_is_the_same_side_as_client(side: str) -> None:
    """Both spellings of a client-only incident are understood."""
    text = ZONE.replace("side: both", f"side: {side}")
    assert judge(scenario(text), seen(incident(side="client"), pages=(page(),)), seed=0).passed


@pytest.mark.parametrize("name", names())
def test_every_scenario_that_comes_with_fivenines_can_be_read(name: str) -> None:
    """The files in scenarios/ are scenarios of their own name."""
    assert named(name).name == name


def test_an_error_names_the_line_and_no_choice_that_was_not_meant() -> None:
    """The line is that of the key in the file; a mapping that is wrong inside is not also told to be a word."""
    text = "name: x\nfaults:\n  - {kind: crash, zone: az1}\n  - {kind: crash,\n     for: 5x, zone: az1}\nexpect:\n  incident:\n    side: left\n"
    with pytest.raises(ScenarioError) as caught:
        parse(text, "mine.yaml")
    assert str(caught.value).splitlines() == [
        "mine.yaml:5: faults.1.for: '5x' is not a duration; write it like 500ms, 5s, 10m or 1h30m",
        "mine.yaml:7: expect.incident.scope: Field required",
        "mine.yaml:8: expect.incident.side: Input should be 'client', 'server', 'both', 'client-only' or 'server-only'",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: x\nfaults: [{kind: power_of, zone: az1}]\n", "power_off"),
        ("name: x\nfaults: [{kind: power_off}]\n", "exactly one of: zone, node"),
        ("name: x\nfaults: [{kind: power_off, zone: az1, ms: 5}]\n", "has no ms"),
        ("name: x\nfaults: [{kind: delay, from: az1-router-1, to: az1-node-1}]\n", "needs ms"),
        ("name: x\nfaults: [{kind: delay, from: az1-router-1, ms: 5}]\n", "go together"),
        ("name: X Y\n", "name"),
        ("name: x\nfaults: 5\n", "faults: Input should be a valid tuple"),
        ("about: no name\n", "name: Field required"),
        ("name: x\nfaults: [{at: soon, kind: crash, zone: az1}]\n", "write it like"),
        ("- 1", "a scenario has the keys"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_scenario_says_what_would_be_right(text: str, reason: str) -> None:
    """Errors name the file, the place and the remedy."""
    with pytest.raises(ScenarioError) as caught:
        parse(text, "mine.yaml")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("mine.yaml")


def test_what_was_done_by_itself_must_have_helped_in_time() -> None:
    """A hook that was done and after which canaries saw no failure; a dry run helps nobody."""
    shifted = scenario(
        "name: x\nfaults: [{kind: power_off, zone: az1}]\nexpect: {mitigated: {hook: shift-zone, within: 9s}}"
    )
    action = {"hook": "shift-zone", "dry_run": False, "recovered_at": 108.0}
    assert judge(shifted, replace(seen(), actions=(action,)), seed=0).to_json()["mitigated_seconds"] == 8.0
    for wrong in (action | {"dry_run": True}, action | {"hook": "roll-back"}, action | {"recovered_at": None}):
        assert "never well again" in judge(shifted, replace(seen(), actions=(wrong,)), seed=0).reason

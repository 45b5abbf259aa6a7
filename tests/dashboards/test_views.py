"""The main page and the incident's page as values."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.console import advice, banner, budget, incident, matrix, payloads, views
from tests.dashboards import samples


def known(name: str, *, problem: str | None = None, **changes: Any) -> views.Known:
    """What a console knows in a state of :mod:`samples`."""
    answers = samples.state(name)
    answers["status"] |= changes
    return views.Known(
        status=msgspec.convert(answers["status"], payloads.Status),
        open_incidents=msgspec.convert(answers["open"], list[payloads.Incident]),
        closed_incidents=msgspec.convert(answers["closed"], list[payloads.Incident]),
        pages=msgspec.convert(answers["pages"], list[payloads.Page]),
        problem=problem,
        now=samples.NOW,
    )


@pytest.mark.parametrize(
    ("name", "mood", "title"),
    [
        ("well", "well", "All well"),
        ("zone_down", "hurt", "1 incident"),
        ("starting", "warn", "Measuring… 48 of 72 cells"),
        ("no_data", "blind", "No data for 14\u202fs"),
    ],
)
def test_the_banner_says_the_state(name: str, mood: str, title: str) -> None:
    """Each state has its own sentence."""
    told = views.overview(known(name)).banner
    assert (told.mood, told.title) == (mood, title)


def test_an_unreachable_judgement_makes_everything_the_past() -> None:
    """What was well is not shown as well when nobody says so any more."""
    page = views.overview(known("well", problem="cannot be reached"))
    assert page.past
    assert page.banner.mood == "blind"
    assert "cannot be reached" in page.banner.detail


def test_nothing_known_at_all_can_be_shown() -> None:
    """The first page before the first answer."""
    page = views.overview(views.Known(None, (), (), (), "The judgement cannot be reached", samples.NOW))
    assert page.banner.mood == "blind"
    assert page.matrix.rows == ()


def test_blind_cells_are_not_all_well() -> None:
    """A region of which a third is not seen is not called well."""
    told = views.overview(known("well", matrix=samples.matrix({"az1": (0, 0)}))).banner
    assert told.mood == "warn"
    assert "24 of 72" in told.detail


def test_cells_that_are_asked_seldom_are_waited_for_and_not_missed() -> None:
    """After a zone's return those that are asked every half minute have no answer yet: that is said, and no warning."""
    cells = samples.matrix({})
    nothing = {"good": 0, "bad": 0, "verdict": "unobserved"}
    waiting = [cell | nothing | {"due_in_seconds": due} for cell, due in zip(cells, (40.0, 40.0, 55.0), strict=False)]
    told = views.overview(known("well", matrix=[*waiting, *cells[3:]])).banner
    assert told.mood == "well"
    assert "69 of 72 cells" in told.detail
    assert "3 that are asked seldom have their turn within 55 s" in told.detail


def test_failures_without_incident_are_told() -> None:
    """A few failures are neither hidden nor called an incident."""
    told = views.overview(known("well", matrix=samples.matrix({"az3": (29, 1)}))).banner
    assert (told.mood, told.title) == ("warn", "No incident, a few failures")


def test_a_calm_minute_after_a_bad_one_says_so() -> None:
    """All well now, and the last five minutes were not."""
    told = views.overview(known("well", availability=samples.availability(96))).banner
    assert told.mood == "well"
    assert told.detail.endswith("Over the last 5 minutes, reads and writes are below the objective.")


def test_a_ticket_is_not_called_an_incident_that_pages() -> None:
    """Nobody was paged, and the banner says so."""
    state = known("zone_down")
    tickets = [msgspec.structs.replace(i, severity="ticket") for i in state.open_incidents]
    told = banner.judge(state.status, None, tickets)
    assert (told.mood, told.title) == ("warn", "1 ticket")
    assert "Nobody was paged" in told.detail


@given(
    good=st.integers(0, 1000), bad=st.integers(0, 1000),
    verdict=st.sampled_from(["ok", "breach", "not_enough_evidence", "unobserved", "something_new"]),
)  # fmt: skip
def test_what_nobody_observed_is_never_green(good: int, bad: int, verdict: str) -> None:
    """A tile is green only with an answer that counts and a verdict that says ok; the same for a window."""
    cell = payloads.Cell(
        zone="az1", endpoint="fips", operation="write", connection="fresh", verdict=verdict, good=good, bad=bad
    )
    window = payloads.Window(good=good, bad=bad, verdict=verdict)
    green = good + bad > 0 and verdict == "ok"
    assert (matrix.tile(cell).verdict == "ok") == green
    assert (budget.figure(window).verdict == "ok") == green


def test_an_unknown_cell_is_unobserved() -> None:
    """A hole in the matrix is hatched, not missing."""
    table = matrix.build([c for c in known("well").status.matrix if (c.zone, c.endpoint) != ("az1", "fips")])  # type: ignore[union-attr]
    card = next(card for card in table.rows[0].cards if card.endpoint == "fips")
    assert {tile.verdict for line in card.lines for tile in line.tiles} == {"unobserved"}


def test_the_matrix_keeps_its_order() -> None:
    """Zones, endpoints, operations and connections stand where they always stand, whatever the order of the answer."""
    cells = known("zone_down").status.matrix  # type: ignore[union-attr]
    table = matrix.build(cells)
    assert [row.zone for row in table.rows] == list(samples.ZONES)
    assert [line.short for line in table.rows[0].cards[0].lines] == ["write", "strong", "eventual"]
    assert table.connections == ("fresh", "pooled")
    assert (table.rows[0].unseen, table.rows[1].failing) == (24, 24)


def test_budget_groups_follow_the_scopes() -> None:
    """Region first, then zones; a zone × endpoint is its own kind, a partition is not a table."""
    groups = budget.build(known("zone_down").status.availability)  # type: ignore[union-attr]
    kinds = [group.kind for group in groups]
    assert kinds == ["region", "zone", "endpoint", "zone-endpoint", "operation", "table", "partition"]
    assert [(row.scope, row.side) for row in groups[1].rows][:2] == [("az1", "read"), ("az1", "write")]
    assert groups[1].note == "1 scope below the objective"
    assert groups[1].rows[0].left == 0
    assert groups[1].rows[0].left_text == "overspent"


def test_windows_say_n_and_what_is_missing() -> None:
    """A window shows its n; without data it says no data."""
    some = budget.figure(payloads.Window(good=9000, bad=0, verdict="not_enough_evidence"))
    assert some.note == "n 9\u202f000"
    assert "not enough evidence" in some.title
    assert budget.figure(payloads.Window()).value == "no data"


def test_silent_servers_are_named() -> None:
    """Who does not answer, by role, in one sentence."""
    servers = {group.role: group for group in views.overview(known("zone_down")).servers}
    assert (servers["routers"].up, servers["routers"].total) == (4, 6)
    assert servers["routers"].silent == "az1-router-1 and az1-router-2"
    assert servers["canaries"].silent == ""


def test_an_undelivered_page_stands_out() -> None:
    """A page that nobody got says why."""
    moods = [(d.destination, d.mood) for d in views.overview(known("zone_down")).deliveries]
    assert moods == [("log", "ok"), ("alertmanager", "bad")]


def test_the_incident_answers_what_one_asks_at_three_in_the_morning() -> None:
    """What, since when, how much, how sure, by whom and by whom not, what the servers say, what to do."""
    page = incident.detail(known("zone_down").open_incidents[0], samples.NOW)
    answers = {fact.question: fact.answer for fact in page.card.facts}
    assert answers["What is hurt"] == "Reads and writes"
    assert answers["Since"] == "15:59:38"
    assert answers["How much fails"] == "100\u202f%"
    assert answers["How sure"] == "Once in > 1000 billion years"
    assert (page.good, page.recused) == ("az3-canary-2", "az1-canary-1")
    assert page.servers == "The servers are silent"
    assert page.next_steps[0].startswith("Shift traffic away from az1")
    assert any(shot.request_id.startswith("Q7N1") for shot in page.shots)


@pytest.mark.parametrize(
    "scope",
    [
        {"zone": "az1"}, {"endpoint": "fips"}, {"zone": "az1", "endpoint": "fips"}, {"router": "r"}, {"node": "n"}, {"table": "t"},
        {"partition": "p", "table": "t"}, {"observer": "o"}, {"observer_zone": "az1"}, {"region": "local"}, {}, {"new": "thing"},
    ],
)  # fmt: skip
def test_every_scope_has_advice(scope: dict[str, str]) -> None:
    """Nobody who was woken reads an empty list, or a placeholder."""
    for server_verdict in ("ok", "bad", "silent", "unknown", ""):
        steps = advice.steps(scope, reasons={"dns_empty": 3}, server_verdict=server_verdict, is_open=True)
        assert len(steps) >= 3
        assert "does not resolve" in steps[0]
        assert not any("{" in step for step in steps)


def test_a_closed_incident_asks_for_nothing() -> None:
    """It is over, and says how long it lasted."""
    page = incident.detail(known("well").closed_incidents[0], samples.NOW)
    assert page.card.mood == "over"
    assert "lasted" in page.card.facts[1].support
    assert page.next_steps[0].startswith("Nothing now")


def test_a_collector_that_does_not_feed_the_judgement_is_named() -> None:
    """How many do, and which one does not, since when and why; an older judgement, which does not say, shows no such figure."""
    feeds = [
        {"url": "http://one:8081", "ok": True, "since": samples.NOW - 900, "error": None},
        {"url": "http://two:8081", "ok": False, "since": samples.NOW - 60, "error": "no answer within 15 s"},
    ]
    (gauge,) = (one for one in views.overview(known("well", feeds=feeds)).gauges if one.name == "Collectors")
    assert (gauge.value, gauge.mood) == ("1/2", "warn")
    assert "http://two:8081 since " in gauge.title
    assert "no answer within 15 s" in gauge.title
    assert "Collectors" not in {one.name for one in views.overview(known("well")).gauges}

"""Tables that fail become incidents: one for each explanation, woken for what matters, over when it is over."""

import numpy as np
import pytest

from cfa.incident import Incident, IncidentEvent
from cfa.objective import Objective
from cfa.tables.fleet import Fleet
from cfa.tables.incidents import TableIncidents
from collector.column_batch import Increments
from tests.cfa.tables.feeding import BEGIN, Feeding


class Region:
    """Tables of ``rate`` requests a tick and side; ``failing`` tables' requests fail with a probability."""

    def __init__(self, tables: int, *, vantage: str = "customer", rate: int = 100, group: str | None = None) -> None:
        self.names = [f"team{n % 50}-orders-{n}" for n in range(tables)]
        self.feeding = Feeding()
        self.feeding.register(self.names, vantage=vantage)
        self.fleet = Fleet(Objective(0.9999, {}), 1.0, group)
        self.fleet.learn(self.feeding.names(0))
        self.incidents = TableIncidents("local")
        self.rate, self.at, self.dice = rate, float(BEGIN), np.random.default_rng(5)
        self.share = np.full(2 * tables, 1e-5)
        self.events: list[IncidentEvent] = []

    def fail(self, tables: list[int], share: float) -> None:
        """These tables' reads and writes."""
        for n in tables:
            self.share[[2 * n, 2 * n + 1]] = share

    def run(self, seconds: int) -> list[IncidentEvent]:
        """Events of so many seconds."""
        events = []
        for _ in range(seconds // 10):
            numbers = np.arange(len(self.share), dtype=np.uint32)
            bad = self.dice.binomial(self.rate, self.share).astype(np.uint32)
            failed = np.flatnonzero(bad)
            told, increments = self.feeding.dense_entry(
                self.at + 5,
                [
                    Increments("success", numbers, self.rate - bad),
                    Increments("server_fault", failed.astype(np.uint32), bad[failed]),
                ],
            )
            if self.fleet.due(told.received_at):
                events += self.incidents.evaluate(self.fleet.tick(told.received_at), self.fleet)
            self.fleet.count(told, increments)
            self.at += 10
        self.events += events
        return events

    @property
    def open(self) -> list[Incident]:
        """Open incidents."""
        return [case.incident for case in self.incidents.open if case.incident is not None]


def kinds(events: list[IncidentEvent]) -> list[str]:
    return [event.event for event in events]


def test_a_healthy_region_is_silent() -> None:
    """A thousand tables at a tenth of what their objective allows, for an hour: nothing."""
    region = Region(1000)
    assert region.run(3600) == []


def test_one_table_pages_by_its_name_and_is_told_to_be_over() -> None:
    """All requests of one table fail: a page within three ticks names it, seen by customers; a minute after its end it is over."""
    region = Region(300)
    region.run(600)
    region.fail([7], 1.0)
    events = region.run(40)
    assert kinds(events)[:2] == ["opened", "paged"]
    page = next(event for event in events if event.notify == "trigger")
    assert page.incident.scope == {"table": "team7-orders-7"}
    assert page.incident.side == "client"
    assert page.incident.operations == ("read", "write")
    assert page.incident.evidence.hosts == ("customers",)
    assert page.incident.evidence.share == pytest.approx(1.0, abs=0.01)
    assert page.incident.first_failure_at == pytest.approx(BEGIN + 600, abs=10)
    assert page.incident.evidence.log_evidence >= page.incident.evidence.log_threshold
    region.fail([7], 1e-5)
    over = region.run(60)
    assert [(event.event, event.notify, event.reason) for event in over if event.notify] == [
        ("closed", "resolve", "recovered")
    ]
    assert region.open == []


def test_what_servers_count_is_told_as_theirs() -> None:
    """The same of counters of servers: the incident says so."""
    region = Region(300, vantage="server")
    region.run(300)
    region.fail([7], 1.0)
    region.run(40)
    assert [incident.side for incident in region.open] == ["server"]
    assert region.open[0].servers.verdict == "bad"


def test_many_tables_are_one_incident_with_a_blast_radius() -> None:
    """Two thousand of ten thousand tables fail together: one page, the service, not two thousand."""
    region = Region(10_000, rate=20)
    region.run(300)
    region.fail(list(range(0, 10_000, 5)), 1.0)
    events = region.run(60)
    pages = [event for event in events if event.notify == "trigger"]
    assert len(pages) == 1
    assert pages[0].incident.scope == {"region": "local"}
    assert "The service" in pages[0].incident.summary
    assert len(region.incidents.open[0].subjects()) >= 2000
    assert len(pages[0].incident.blast_radius.tables) == 50
    region.fail(list(range(10_000)), 1e-5)
    assert [event.notify for event in region.run(90) if event.notify] == ["resolve"]


def test_tables_of_one_group_are_that_group() -> None:
    """All tables of one team fail: the incident is the team's."""
    region = Region(5000, group=r"^(team\d+)-")
    region.run(300)
    region.fail(list(range(3, 5000, 50)), 1.0)
    pages = [event for event in region.run(40) if event.notify == "trigger"]
    assert [event.incident.scope for event in pages] == [{"group": "team3"}]


def test_a_failure_that_spreads_stays_one_incident() -> None:
    """First one table, then two, then a fifth of all: the first incident grows, the other is folded into it, and nobody is paged a third time."""
    region = Region(2000)
    region.run(300)
    region.fail([10], 1.0)
    region.run(30)
    region.fail([11], 1.0)
    region.run(30)
    assert sorted(incident.scope["table"] for incident in region.open) == ["team10-orders-10", "team11-orders-11"]
    region.fail(list(range(400)), 1.0)
    events = region.run(40)
    assert [event.notify for event in events if event.notify] == ["resolve", "update"]
    assert [incident.scope for incident in region.open] == [{"region": "local"}]
    assert len(region.open[0].children) == 1
    folded = next(event.incident for event in events if event.event == "folded")
    assert folded.folded_into == region.open[0].id


def test_a_slow_burn_is_a_ticket() -> None:
    """One percent of a busy table's requests fails for a minute: certain, but it does not wake anyone yet."""
    region = Region(300, rate=2000)
    region.run(600)
    region.fail([3], 0.01)
    events = region.run(60)
    assert kinds(events)[:1] == ["opened"]
    assert {event.incident.severity for event in events} == {"ticket"}


def test_the_same_feed_gives_the_same_events_from_a_kept_state() -> None:
    """Cases that are kept and taken back go on as they would have."""
    region = Region(2000)
    region.run(300)
    region.fail(list(range(30)), 0.5)
    region.run(30)
    state = region.incidents.state()
    again = TableIncidents("local")
    again.load(state)
    assert [case.incident for case in again.open] == [case.incident for case in region.incidents.open]
    assert again.state() == state

"""Storage nodes whose log does not reach the archive: a ticket, then a page, and it closes when it is over."""

import pytest

from cfa.config import CfaConfig, DurabilityConfig
from cfa.durability import AGE, BUDGET, Durability
from cfa.judgement import Judgement
from cfa.notices import alert_labels
from collector.exposition import read
from collector.observation import Vantage
from collector.series import FeedEntry, TargetState

NOW = 1_764_000_000.0


def told(at, **nodes):
    """What the collector tells of nodes (``az1_1``: az1-node-1): age of the oldest unarchived entry, or (age, budget spent)."""
    targets = []
    for name, said in nodes.items():
        zone, number = name.split("_")
        age, spent = said if isinstance(said, tuple) else (said, 0.01)
        targets.append(
            TargetState(
                target=f"{zone}-node-{number}", zone=zone, role="node", up=True, at=at, gauges={AGE: age, BUDGET: spent}
            )
        )
    return FeedEntry(
        cursor=1, received_at=at, host="collector", zone="", vantage=Vantage.SERVER, targets=tuple(targets)
    )


class Story:
    """A durability judge that is told something every ten seconds."""

    def __init__(self):
        self.judge, self.at, self.events = Durability("local", DurabilityConfig()), NOW, []

    def hear(self, seconds=10, **nodes):
        """The nodes say this, and ``seconds`` pass."""
        self.judge.take(told(self.at, **nodes))
        for _ in range(seconds):
            self.at += 1
            self.events += self.judge.evaluate(self.at)
        return [(e.event, e.notify, e.incident.severity, e.incident.scope) for e in self.events]


def test_a_short_delay_is_no_incident():
    """Entries that wait as long as a take-over lasts are nobody's business."""
    story = Story()
    for age in (5, 15, 31, 40, 12):
        assert story.hear(az1_1=age, az1_2=age, az2_1=3) == []


@pytest.mark.parametrize(
    ("nodes", "scope"),
    [
        ({"az1_1": 70, "az1_2": 70, "az1_3": 5, "az2_1": 5}, {"zone": "az1"}),
        ({"az1_1": 70, "az1_2": 5, "az2_1": 5}, {"node": "az1-node-1"}),
        ({"az1_1": 70, "az2_1": 70, "az3_1": 5}, {"region": "local"}),
    ],
)
def test_the_scope_is_the_narrowest_that_holds_all(nodes, scope):
    """One node, one zone or the region is named, after all nodes have had time to speak."""
    story = Story()
    assert story.hear(**nodes) == []
    assert story.hear(**nodes) == [("opened", None, "ticket", scope)]
    incident = story.judge.incident
    assert (incident.category, incident.side, incident.operations) == ("durability", "server", ("write",))
    assert incident.reason == "archive_stalled"
    assert alert_labels(incident, "local")["alertname"] == "DurabilityAlarm"
    assert "budget" in incident.summary


def test_it_widens_pages_and_closes():
    """A stall that spreads is told as one incident; half a spent budget pages; when all is archived it resolves."""
    story = Story()
    story.hear(az1_1=70, az1_2=10)
    story.hear(az1_1=80, az1_2=20)
    story.hear(az1_1=90, az1_2=65)
    assert story.hear(az1_1=90, az1_2=75, az2_1=61)[1:] == [
        ("updated", None, "ticket", {"zone": "az1"}),
        ("updated", None, "ticket", {"region": "local"}),
    ]
    assert story.hear(az1_1=(100, 0.6), az1_2=85, az2_1=5)[3:] == [("paged", "trigger", "page", {"region": "local"})]
    story.hear(az1_1=(20, 0.4), az1_2=2, az2_1=5)
    assert len(story.events) == 4
    story.hear(az1_1=(2, 0.02), az1_2=2, az2_1=5)
    assert story.hear(az1_1=(2, 0.02), az1_2=2, az2_1=5)[4:] == [("closed", "resolve", "page", {"region": "local"})]
    assert story.judge.incident is None
    assert [entry.event for entry in story.judge.closed[0].timeline] == [
        "opened",
        "updated",
        "updated",
        "paged",
        "closed",
    ]


def test_a_budget_that_is_half_spent_pages_at_once():
    """A node that grows fast pages without the ticket's detour."""
    story = Story()
    story.hear(20, az3_1=(5, 0.7))
    assert story.hear(az3_1=(5, 0.7))[0][:3] == ("paged", "trigger", "page")


def test_a_node_that_is_gone_is_forgotten():
    """A node that is not heard of any more does not keep an incident open for ever."""
    story = Story()
    story.hear(az1_1=70)
    story.hear(az1_1=80)
    assert story.judge.incident is not None
    story.hear(330, az2_1=1)
    assert story.judge.incident is None


def test_the_judgement_carries_it_through_a_restart():
    """The ticket is in the judgement's incidents, survives a snapshot, and a replay opens no second one."""
    judgement = Judgement(CfaConfig())
    for second in range(30):
        judgement.step(told(NOW + second, az1_1=70, az1_2=70))
    assert [i.scope for i in judgement.incidents()] == [{"zone": "az1"}]
    assert judgement.status(NOW + 30)["incidents_open"] == 1
    again = Judgement.restore(CfaConfig(), judgement.snapshot())
    assert again.incidents() == judgement.incidents()
    assert again.step(told(NOW + 31, az1_1=70, az1_2=70)) == []


def test_the_worst_of_each_gauge_is_read_from_a_page():
    """Of a node's page the highest sample of each durability gauge is taken; other gauges are not looked at."""
    lines = (
        "# HELP store_archive_oldest_unarchived_age_seconds x",
        'store_archive_oldest_unarchived_age_seconds{table="a b",partition="0"} 3.5',
        'store_archive_oldest_unarchived_age_seconds{table="t}{",partition="1"} 71.25',
        "store_wal_budget_ratio 0.125",
        "store_wal_budget_ratio_other 9",
        'store_replica_requests_total{table="t",partition="0",operation="write",outcome="success"} 4.0',
    )
    page = read("\n".join(lines), "store_replica_requests_total")
    assert page.gauges == {AGE: 71.25, BUDGET: 0.125}
    assert len(page.counters) == 1

"""The dashboard *Region now*: is the region well, for whom is it not, and what do its servers say? (pure)."""

from dashboards import queries as q
from dashboards.boards.model import Board, MatrixTable, Panel, Query, Row, Stat, StateTimeline, Step, TimeSeries

GOOD_BELOW_ONE = (Step(None, "green"), Step(1, "red"))
AVAILABILITY = (Step(None, "red"), Step(0.999, "orange"), Step(0.9999, "green"))
BUDGET = (Step(None, "red"), Step(0.25, "orange"), Step(0.5, "green"))
BURN = (Step(None, "green"), Step(1, "yellow"), Step(14.4, "red"))


def _verdict() -> tuple[Panel, ...]:
    return (
        Stat(
            title="Open incidents",
            description="Explanations of customer harm that are open now. One or more: open the console, it names the scope and the evidence.",
            queries=(Query(q.INCIDENTS_OPEN, "open"),), unit="none", width=4, height=5, decimals=0, steps=GOOD_BELOW_ONE,
        ),
        Stat(
            title="Availability, 5 minutes",
            description="good / (good + bad) of the region over the last five minutes, reads and writes apart, as canaries saw it.",
            queries=(Query(q.AVAILABILITY_NOW, "{{side}}"),), unit="percentunit", width=5, height=5, decimals=4, steps=AVAILABILITY,
        ),
        Stat(
            title="Error budget left, 30 days",
            description="Part of the 30-day budget that is left, counted from what was observed. Below zero it is overspent.",
            queries=(Query(q.BUDGET_LEFT, "{{side}}"),), unit="percentunit", width=5, height=5, decimals=2, steps=BUDGET,
        ),
        Stat(
            title="Cells seen",
            description="Share of the matrix with an answer that counts in the last minute. Below 100 % somebody is not watched: no data is never good news.",
            queries=(Query(q.CELLS_SEEN, "seen"),), unit="percentunit", width=3, height=5, decimals=0,
            steps=(Step(None, "red"), Step(0.9, "orange"), Step(1, "green")),
        ),
        Stat(
            title="Feed lag",
            description="Seconds since the judgement last judged something. Above five seconds the verdicts above speak of the past.",
            queries=(Query(q.FEED_LAG, "lag"),), unit="s", width=3, height=5, decimals=1,
            steps=(Step(None, "green"), Step(5, "orange"), Step(15, "red")),
        ),
        Stat(
            title="Recused",
            description="Canary hosts whose word is kept but not believed, because they found themselves sick.",
            queries=(Query(q.RECUSED, "hosts"),), unit="none", width=2, height=5, decimals=0, steps=(Step(None, "green"), Step(1, "orange")),
        ),
        Stat(
            title="Silent",
            description="Routers and storage nodes that did not answer their last scrape.",
            queries=(Query(q.SERVERS_DOWN, "servers"),), unit="none", width=2, height=5, decimals=0, steps=GOOD_BELOW_ONE,
        ),
    )  # fmt: skip


def _customers() -> tuple[Panel, ...]:
    return (
        TimeSeries(
            title="Availability by zone of the path",
            description="Rolling five minutes; a zone counts every attempt whose path touched it. The worse of reads and writes. Against the objective.",
            queries=(Query(q.AVAILABILITY_BY_ZONE, "{{scope}}"), Query(q.OBJECTIVE, "objective")),
            unit="percentunit", width=8, decimals=4, maximum=1,
        ),
        TimeSeries(
            title="Availability by endpoint",
            description="Rolling five minutes. One endpoint down in all zones: look at its DNS name and its certificate.",
            queries=(Query(q.AVAILABILITY_BY_ENDPOINT, "{{scope}}"), Query(q.OBJECTIVE, "objective")),
            unit="percentunit", width=8, decimals=4, maximum=1,
        ),
        MatrixTable(
            title="Worst cell, by zone that asked and endpoint",
            description="Availability of the last 60 seconds of the worst operation and connection. An empty field is unobserved, not well.",
            queries=(Query(q.MATRIX),), unit="percentunit", width=8, decimals=2, steps=AVAILABILITY, rows="zone", columns="endpoint",
        ),
        TimeSeries(
            title="Burn rate of the region",
            description="Budget burned per budget earned: 1 is just sustainable, 14.4 spends 2 % of 30 days in an hour. The worse of reads and writes.",
            queries=(Query(q.BURN_RATE, "{{window}}"),), unit="short", width=6, minimum=0, steps=BURN, threshold_line=True,
        ),
        TimeSeries(
            title="Bad attempts",
            description="Canary attempts of the last 60 seconds that failed, by the zone that asked and by endpoint.",
            queries=(Query(q.ATTEMPTS_BAD, "{{zone}} {{endpoint}}"),), unit="none", width=6, decimals=0, minimum=0, stacked=True,
        ),
        TimeSeries(
            title="Unobserved attempts",
            description="Intended attempts of the last 60 seconds that were not asked or not believed. Blindness, not health.",
            queries=(Query(q.ATTEMPTS_UNOBSERVED, "{{zone}}"),), unit="none", width=6, decimals=0, minimum=0, stacked=True,
        ),
        TimeSeries(
            title="Latency p99 as customers feel it",
            description="The worst cell of each operation over 60 seconds, from the intended start: queueing counts.",
            queries=(Query(q.CUSTOMER_LATENCY_P99, "{{operation}}"),), unit="s", width=6, minimum=0,
        ),
    )  # fmt: skip


def _servers() -> tuple[Panel, ...]:
    return (
        TimeSeries(
            title="Requests by outcome",
            description="As the routers count them. Fewer than usual while canaries fail: requests never arrive.",
            queries=(Query(q.REQUESTS_BY_OUTCOME, "{{outcome}}"),), unit="reqps", width=8, minimum=0, stacked=True,
        ),
        TimeSeries(
            title="Server faults, share",
            description="server_fault / (success + server_fault) by endpoint. Zero while customers fail is a gray failure: look before the routers.",
            queries=(Query(q.SERVER_FAULT_SHARE, "{{endpoint}}"),), unit="percentunit", width=8, minimum=0, decimals=3,
        ),
        TimeSeries(
            title="Latency p99 at the routers",
            description="By operation. Compare with what customers feel: the difference is DNS, TCP, TLS and the network.",
            queries=(Query(q.SERVER_LATENCY_P99, "{{operation}}"),), unit="s", width=8, minimum=0,
        ),
        TimeSeries(
            title="Leaders by zone",
            description="Partitions led and served from each zone. A zone that falls to zero has lost its leases; the sum must stay whole.",
            queries=(Query(q.LEADERS, "{{zone}}"),), unit="none", width=6, decimals=0, minimum=0, stacked=True,
        ),
        TimeSeries(
            title="Elections",
            description="Elections won. Some after a failure; many without one mean that leaders flap.",
            queries=(Query(q.ELECTIONS, "{{zone}}"),), unit="none", width=6, decimals=0, minimum=0,
        ),
        TimeSeries(
            title="WAL fsync p99",
            description="Time of one fsync of the write-ahead log. An acknowledged write waits for two of them in two zones.",
            queries=(Query(q.FSYNC_P99, "{{zone}}"),), unit="s", width=6, minimum=0,
        ),
        TimeSeries(
            title="Replica lag",
            description="Log entries known but not applied, the worst replica of each zone.",
            queries=(Query(q.REPLICA_LAG, "{{zone}}"),), unit="none", width=6, decimals=0, minimum=0,
        ),
        StateTimeline(
            title="Who answers its scrape",
            description="Routers, storage nodes and canaries by zone; red while at least one of them is silent.",
            queries=(Query(q.UP, "{{zone}} {{job}}"),), unit="bool_on_off", width=16, steps=(Step(None, "red"), Step(1, "green")),
        ),
        TimeSeries(
            title="Refused at the door",
            description="Requests that the routers did not take: unsigned, malformed, too large.",
            queries=(Query(q.REFUSED, "{{reason}}"),), unit="reqps", width=8, minimum=0,
        ),
    )  # fmt: skip


def _machinery() -> tuple[Panel, ...]:
    return (
        TimeSeries(
            title="Probes by outcome",
            description="What the canaries' attempts came to, per second. The sum is steady, whatever the store does: they ask open loop.",
            queries=(Query(q.PROBES, "{{outcome}}"),), unit="ops", width=8, minimum=0, stacked=True,
        ),
        TimeSeries(
            title="Probes late, p99",
            description="From the intended to the real start. Late canaries are busy or starved: suspect them before the store.",
            queries=(Query(q.PROBE_LATENESS_P99, "{{zone}}"),), unit="s", width=8, minimum=0,
        ),
        TimeSeries(
            title="Batches waiting at canaries",
            description="Batches that the collector has not acknowledged. They are kept on disk; a growing queue is a collector that cannot be reached.",
            queries=(Query(q.PROBE_QUEUE, "{{host}}"),), unit="none", width=8, decimals=0, minimum=0,
        ),
        TimeSeries(
            title="Batches at the collector",
            description="What became of the canaries' batches. Duplicates are repeats after a lost answer and harmless.",
            queries=(Query(q.BATCHES, "{{result}}"),), unit="ops", width=6, minimum=0,
        ),
        TimeSeries(
            title="Collector: commit p99",
            description="How long a batch waits to be durable before it is acknowledged.",
            queries=(Query(q.COMMIT_P99, "commit"),), unit="s", width=6, minimum=0,
        ),
        TimeSeries(
            title="Judgement behind",
            description="Feed entries that the judgement had not read when it last asked.",
            queries=(Query(q.FEED_BEHIND, "entries"),), unit="none", width=4, decimals=0, minimum=0,
        ),
        TimeSeries(
            title="Pages",
            description="Pages raised, updated and resolved.",
            queries=(Query(q.PAGES, "{{event}}"),), unit="none", width=4, decimals=0, minimum=0,
        ),
        TimeSeries(
            title="Deliveries and outbox",
            description="Delivery attempts by destination and outcome, and notices still waiting. A page that is not delivered is not a page.",
            queries=(Query(q.DELIVERIES, "{{destination}} {{outcome}}"), Query(q.OUTBOX, "waiting {{destination}}")),
            unit="none", width=4, decimals=0, minimum=0,
        ),
    )  # fmt: skip


def _delivery() -> tuple[Panel, ...]:
    return (
        Stat(
            title="Broken destinations",
            description="Destinations that have not taken a page for too long. Pages go to the others; look at the key, the token, the network.",
            queries=(Query(q.BROKEN, "{{destination}}"),), unit="none", width=5, height=6, decimals=0, reduce="max", steps=GOOD_BELOW_ONE,
        ),
        TimeSeries(
            title="Time to page, 30 days",
            description="From the first failed probe's intended start until the first destination beside the log had the page: median, p95, worst of 30 days.",
            queries=(Query(q.TIME_TO_PAGE, "{{quantile}}"),), unit="s", width=7, height=6, minimum=0,
        ),
        TimeSeries(
            title="Pages that wait, and second routes",
            description="How long the oldest refused page of each destination waits, and notices sent by a second route instead.",
            queries=(Query(q.PAGE_WAITS, "waits {{destination}}"), Query(q.SECOND_ROUTES, "{{origin}}")),
            unit="short", width=7, height=6, minimum=0,
        ),
        Stat(
            title="Heartbeat age",
            description="Seconds since the dead-man's switch outside took a sign of life; 0 without one.",
            queries=(Query(q.HEARTBEAT_AGE, "age"),), unit="s", width=3, height=6, decimals=0,
            steps=(Step(None, "green"), Step(120, "orange"), Step(300, "red")),
        ),
        Stat(
            title="Judgements that speak",
            description="Exactly one of two side by side tells people. None: nothing is told. Two: each has a collector of its own.",
            queries=(Query(q.ACTIVE, "active"),), unit="none", width=2, height=6, decimals=0,
            steps=(Step(None, "red"), Step(1, "green"), Step(2, "orange")),
        ),
    )  # fmt: skip


BOARD = Board(
    uid="fivenines-region-now",
    title="Region now",
    description="Is the region well, for whom is it not, and what do its servers say? Generated by code: change dashboards/boards/region_now.py.",
    tags=("fivenines", "availability"),
    rows=(
        Row("The verdict", _verdict()),
        Row("What customers get", _customers()),
        Row("What the servers say", _servers()),
        Row("Who watches", _machinery()),
        Row("How pages get out", _delivery()),
    ),
    variables=q.VARIABLES,
)

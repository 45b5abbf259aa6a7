"""The weekly report: figures from ledger rows, and the files that people and machines read."""

import asyncio
import csv
import json
import random
import re
import socket
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cfa import server
from cfa.config import CfaConfig
from cfa.report.build import Terms, build, report_of
from cfa.report.compute import Several, week_report
from cfa.report.fetch import ReportUnavailable, fetch_and_write, write_report
from cfa.report.figures import Figure, Interruption, Report
from cfa.report.fold import Fold
from cfa.report.html_page import render
from cfa.report.period import Period
from cfa.report.wording import availability, duration
from collector.observation import Connection, OperationClass, Outcome, Vantage
from collector.series import Series
from collector.totals import Totals, of_rows
from collector.wire import IntervalRow, UnobservedRow
from tests.cfa.shell_world import FakeCollector, ScriptedJudgement, entry, eventually, incident, running, serving

WEEK = Period.parse("2026-W46")
TERMS = Terms(region="local", objective=0.9999, tables={"orders": 0.99999})
NOW = WEEK.end + 1000.0


def row(number: int, counts: dict[Outcome, int], vantage: Vantage = Vantage.CANARY, **changes: Any) -> IntervalRow:
    """One ledger row of the week's interval ``number``."""
    recused, version = changes.pop("recused", False), changes.pop("version", 1)
    known: dict[str, Any] = {
        "host": "",
        "zone": "az1",
        "operation": OperationClass.WRITE,
        "table": "canary",
        "endpoint": "standard",
    }
    series = Series(vantage=vantage, **{**known, **changes})
    return IntervalRow(series=series, start=WEEK.start + 300 * number, version=version, counts=counts, recused=recused)


def figure(report: Report, vantage: str, view: Any, kind: str = "region", scope: str = "") -> Figure:
    (found,) = [one for one in report.pick(vantage=vantage, view=view, scope_kind=kind) if one.scope == scope]
    return found


SUCCESS, FAULT, TIMEOUT, UNREACHABLE = Outcome.SUCCESS, Outcome.SERVER_FAULT, Outcome.TIMEOUT, Outcome.UNREACHABLE


def test_a_dns_outage_is_available_by_the_letter_and_not_for_customers() -> None:
    """The SLA view says 100 %, the customer view says what customers had."""
    rows = [row(0, {SUCCESS: 100}), row(1, {UNREACHABLE: 100})]
    report = build(TERMS, WEEK, rows, now=NOW)
    letter, customer = figure(report, "canary", "sla"), figure(report, "canary", "customer")
    assert (letter.ratio, letter.empty_intervals) == (1.0, 2015)
    assert (customer.ratio, customer.verdict, customer.failing_intervals) == (0.5, "breach", 1)


def test_vantages_stand_side_by_side_and_nodes_are_not_routers() -> None:
    """Servers are counted at the routers, canaries at the client; a node's share of a request is not another request."""
    rows = [
        row(0, {SUCCESS: 90, FAULT: 10}, Vantage.SERVER, router="az1-router-1"),
        row(0, {SUCCESS: 90, FAULT: 10}, Vantage.SERVER, node="az1-node-1", endpoint=None, partition="p0"),
        row(0, {SUCCESS: 10}),
    ]
    report = build(TERMS, WEEK, rows, now=NOW)
    assert (figure(report, "server", "sla").n, figure(report, "canary", "sla").n) == (100, 10)
    assert figure(report, "server", "sla").ratio == pytest.approx(1 - 0.1 / 2016, abs=1e-15)
    assert not report.pick(vantage="server", view="customer")


def test_the_region_is_computed_over_its_requests_and_not_over_its_tables() -> None:
    """Within an interval all tables' requests are one sum."""
    rows = [row(0, {SUCCESS: 900}, table="orders"), row(0, {FAULT: 100})]
    report = build(TERMS, WEEK, rows, now=NOW)
    assert figure(report, "canary", "sla").lost_seconds == pytest.approx(30.0)
    assert figure(report, "canary", "sla", "table", "canary").lost_seconds == pytest.approx(300.0)
    assert figure(report, "canary", "sla", "table", "orders").objective == 0.99999


def test_too_few_requests_are_not_a_pass() -> None:
    """Clean but few: not resolvable, with the number that would be needed."""
    report = build(TERMS, WEEK, [row(0, {SUCCESS: 300})], now=NOW)
    seen = figure(report, "canary", "customer")
    assert seen.verdict == "not_enough_evidence"
    assert "not resolvable with 300 requests: 29,958" in seen.note


def test_a_recused_witness_is_left_out_and_counted() -> None:
    """What a sick host said changes no figure, but its rows are in the provenance."""
    rows = [row(0, {SUCCESS: 100}), row(0, {TIMEOUT: 100}, zone="az2", recused=True)]
    report = build(TERMS, WEEK, rows, now=NOW)
    assert figure(report, "canary", "customer").bad == 0
    assert (report.provenance.rows, report.provenance.recused_rows) == (2, 1)


def test_excluded_intervals_leave_every_figure() -> None:
    """An excluded outage is in neither view."""
    rows = [row(0, {SUCCESS: 100}), row(1, {FAULT: 100})]
    report = build(TERMS, WEEK, rows, now=NOW, excluded=frozenset({WEEK.start + 300}))
    assert (figure(report, "canary", "sla").ratio, figure(report, "canary", "sla").intervals) == (1.0, 2015)
    assert figure(report, "canary", "customer").bad == 0
    assert report.excluded_intervals == 1


def test_throttles_raise_nothing_and_lower_nothing() -> None:
    """A throttle is a request and not an error for the SLA, and neither good nor bad for the count."""
    report = build(TERMS, WEEK, [row(0, {SUCCESS: 8, FAULT: 1, Outcome.THROTTLED: 1})], now=NOW)
    assert figure(report, "canary", "sla").lost_seconds == pytest.approx(30.0)
    counted = figure(report, "canary", "requests")
    assert (counted.n, counted.bad, counted.excluded) == (9, 1, 1)


def test_coverage_says_what_nobody_asked() -> None:
    """An interval is observed in a cell when all operation classes were asked; what was intended and not asked has its reason."""
    rows = [
        row(0, {SUCCESS: 1}),
        row(0, {SUCCESS: 1}, operation=OperationClass.STRONG_READ),
        row(1, {SUCCESS: 1}),
        row(2, {SUCCESS: 1}, Vantage.SERVER, router="r"),
    ]
    holes = [_hole(WEEK.start, 7), _hole(WEEK.start + 300, 5), _hole(WEEK.end, 1000)]
    report = build(TERMS, WEEK, rows, holes, now=NOW)
    (line,) = report.coverage
    assert (line.observed_intervals, line.unobserved_minutes, line.unobserved) == (1, 2015 * 5, 12)
    assert line.reasons == {"late": 12}
    assert report.unwatched_minutes == 2014 * 5


def _hole(start: int, count: int) -> UnobservedRow:
    where = {"host": "az1-canary-1", "zone": "az1", "endpoint": "standard", "connection": Connection.FRESH}
    return UnobservedRow(**where, operation=OperationClass.WRITE, start=start, reason="late", count=count)  # type: ignore[arg-type]


def test_the_digest_depends_on_the_rows_and_not_on_their_order() -> None:
    """The same rows in another order and in other pieces give the same report; one changed count gives another digest."""
    chance = random.Random(5)
    rows = [
        row(chance.randrange(50), {SUCCESS: chance.randrange(1, 99), FAULT: chance.randrange(3)}, zone=f"az{i % 3}")
        for i in range(60)
    ]
    shuffled = rows.copy()
    chance.shuffle(shuffled)
    one, other = build(TERMS, WEEK, rows, now=NOW), build(TERMS, WEEK, shuffled, now=NOW)
    assert one == other
    assert build(TERMS, WEEK, [*rows[1:], row(0, {SUCCESS: 100})], now=NOW).provenance.digest != one.provenance.digest


def test_a_week_in_progress_is_provisional() -> None:
    """Only intervals that are over count, and unsealed rows make even a past week provisional."""
    running_week = build(TERMS, WEEK, [row(0, {FAULT: 1}), row(5, {FAULT: 1})], now=WEEK.start + 700)
    assert (running_week.provisional, running_week.intervals, running_week.until) == (True, 2, WEEK.start + 600)
    assert figure(running_week, "canary", "sla").ratio == 0.5
    assert build(TERMS, WEEK, [row(0, {SUCCESS: 1}, version=0)], now=NOW).provisional
    assert not build(TERMS, WEEK, [row(0, {SUCCESS: 1})], now=NOW).provisional


def test_a_report_survives_json() -> None:
    """What the API sends is what the files are made of."""
    report = rich_report()
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def rich_report() -> Report:
    """A week with three vantages, failures, an incident and a text that wants escaping."""
    chance = random.Random(3)
    rows: list[IntervalRow] = []
    for number in range(2016):
        bad = chance.choice([0] * 40 + [1, 5, 300])
        for zone in ("az1", "az2", "az3"):
            for endpoint in ("standard", "fips"):
                counts = {SUCCESS: 600 - bad, FAULT: bad // 2, TIMEOUT: bad - bad // 2}
                rows.append(
                    row(number, counts, zone=zone, endpoint=endpoint, table=chance.choice(["canary", "orders"]))
                )
        rows.append(
            row(number, {SUCCESS: 9000, FAULT: bad // 2}, Vantage.SERVER, router="az1-router-1", version=1 + bad % 2)
        )
    told = incident(
        at=WEEK.start + 9000.0,
        state="closed",
        closed_at=WEEK.start + 9070.0,
        summary="<script>alert(1)</script> & more",
    )
    return build(TERMS, WEEK, rows, [_hole(WEEK.start, 7)], [Interruption.of(told)], now=NOW)


class Links(HTMLParser):
    """Everything that a page would fetch, and its open tags."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes sources."""
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_self_contained_and_escapes_what_it_is_told() -> None:
    """Nothing is fetched, no script runs, and every headline figure of the report is on the page."""
    report = rich_report()
    page = render(report)
    links = Links()
    links.feed(page)
    assert links.fetched == []
    assert "script" not in links.tags
    assert "&lt;script&gt;" in page
    for view in ("sla", "requests", "customer"):
        assert availability(figure(report, "canary", view).ratio) in page
    assert report.provenance.digest in page
    assert page.count("<svg") == 2
    assert len(page) < 400_000


def test_an_unwatched_week_does_not_boast() -> None:
    """Without a single observation the page says that nobody looked."""
    page = render(build(TERMS, WEEK, [], now=NOW))
    assert "Nothing was observed" in page
    assert not re.search(r'class="big"', page)


def test_every_figure_in_the_csv_is_in_the_json(tmp_path: Path) -> None:
    """CSV, JSON and HTML are made of the same numbers, and empty tables still have their header."""
    report = rich_report()
    paths = write_report(report, ("html", "csv", "json"), tmp_path)
    assert sorted(path.name for path in paths) == [
        f"fivenines-2026-W46{ending}"
        for ending in (
            "-coverage.csv",
            "-figures.csv",
            "-incidents.csv",
            "-intervals.csv",
            "-provenance.json",
            ".html",
            ".json",
        )
    ]
    with (tmp_path / "fivenines-2026-W46-figures.csv").open() as file:
        lines = list(csv.DictReader(file))
    figures = json.loads((tmp_path / "fivenines-2026-W46.json").read_text())["figures"]
    assert len(lines) == len(figures)
    assert [float(line["ratio"]) for line in lines] == [one["ratio"] for one in figures]
    write_report(build(TERMS, WEEK, [], now=NOW), ("csv",), tmp_path)
    assert (tmp_path / "fivenines-2026-W46-incidents.csv").read_text().startswith("id,severity,state")


def test_percentages_are_rounded_down() -> None:
    """Nobody is told 100 % who did not have it."""
    assert availability(0.99999999) == "99.99999 %"
    assert (availability(1.0), availability(None), availability(0.9999)) == ("100 %", "–", "99.99000 %")
    assert [duration(s) for s in (0.25, 58, 250, 7380, None)] == [
        "0.2 s",
        "58 s",
        "4 min 10 s",
        "2 h 03 min",
        "still open",
    ]


async def test_the_report_travels_from_the_ledger_to_files(tmp_path: Path) -> None:
    """Collector's ledger → judgement's API → CSV and HTML in a folder, and an honest error when nobody answers."""
    collector = FakeCollector(
        entries=[entry(1)],
        intervals=[row(0, {SUCCESS: 99, FAULT: 1}), row(900, {SUCCESS: 5}, Vantage.SERVER, router="r")],
        unobserved=[_hole(WEEK.start, 3)],
    )
    with socket.socket() as probe:
        probe.bind(("127.77.7.1", 0))
        port = probe.getsockname()[1]
    async with serving(collector.application()) as url:
        config = CfaConfig(host="127.77.7.1", port=port, collector=url, data_dir=tmp_path / "cfa")
        ready, api = asyncio.Event(), f"http://127.77.7.1:{port}"
        async with running(server.run(config, ready, ScriptedJudgement)):
            await ready.wait()
            await eventually(lambda: collector.reads > 1)
            paths = await fetch_and_write(api, "2026-W46", ("csv", "html", "json"), tmp_path / "out")
            with pytest.raises(ValueError, match="2026-W47"):
                await fetch_and_write(api, "46", ("csv",), tmp_path)
            with pytest.raises(ValueError, match="html, csv, json"):
                await fetch_and_write(api, "2026-W46", ("docx",), tmp_path)
    assert len(paths) == 7
    report = msgspec.json.decode((tmp_path / "out" / "fivenines-2026-W46.json").read_bytes(), type=Report)
    assert (figure(report, "canary", "sla").n, figure(report, "server", "sla").n) == (100, 5)
    assert report.coverage[0].unobserved == 3
    with pytest.raises(ReportUnavailable, match="fivenines up"):
        await fetch_and_write(api, "2026-W46", ("csv",), tmp_path)


async def test_several_ledgers_make_the_report_of_one() -> None:
    """Rows split over collectors anyhow, and in any order, give the figures of the whole; each table, zone and side."""
    dice = random.Random(7)
    rows = [
        row(number, {SUCCESS: dice.randint(1, 99), FAULT: dice.randint(0, 2)}, table=dice.choice(("orders", "carts")))
        for number in range(40)
        for _ in range(3)
    ]

    class Ledger:
        def __init__(self, mine: list[IntervalRow]) -> None:
            self._rows = mine

        async def totals(self, kind: str, start: float, end: float) -> Totals:
            return of_rows(kind, [one for one in self._rows if start <= one.start < end])

        async def unobserved(self, start: float, end: float) -> list[UnobservedRow]:
            return [_hole(WEEK.start, len(self._rows))] if start == WEEK.start else []

    async def figures(*ledgers: Ledger) -> tuple[list[Any], int]:
        report = await week_report(CfaConfig(), WEEK, Several(ledgers), (), WEEK.end + 1.0)
        return list(report.figures), report.coverage[0].unobserved

    whole = build(TERMS, WEEK, rows, now=WEEK.end + 1.0)
    shuffled = dice.sample(rows, len(rows))
    many = [Ledger(shuffled[:50]), Ledger(shuffled[50:51]), Ledger([]), Ledger(shuffled[51:])]
    assert await figures(Ledger(rows)) == await figures(*many) == await figures(*reversed(many))
    assert (await figures(*many))[1] == len(rows)
    counted = {(f.scope_kind, f.scope, f.view): (f.n, f.bad) for f in (await figures(*many))[0]}
    assert counted == {(f.scope_kind, f.scope, f.view): (f.n, f.bad) for f in whole.figures}


def test_what_was_excluded_is_in_no_figure() -> None:
    """It is counted apart, as the ledger keeps it."""
    fold = Fold(WEEK.starts_until(WEEK.end))
    rows = [row(0, {SUCCESS: 5, FAULT: 5}), row(1, {SUCCESS: 9})]
    fold.add([msgspec.structs.replace(rows[0], excluded=True), rows[1]])
    again = Fold(WEEK.starts_until(WEEK.end))
    kept = [msgspec.structs.replace(rows[0], excluded=True), rows[1]]
    again.add_totals(of_rows("cells", kept), of_rows("tables", kept))
    for one in (fold, again):
        report = report_of(TERMS, WEEK, one, (), now=WEEK.end)
        assert figure(report, "canary", "requests").n == 9
        assert report.provenance.excluded_attempts == {"canary": 10}

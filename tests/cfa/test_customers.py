"""Customers' attempts and calls: kept apart in the judgement and in the report."""

import pytest

from cfa.config import CfaConfig
from cfa.customers import CustomersView
from cfa.judgement import Judgement
from cfa.report.build import build
from cfa.report.html_page import render
from collector.observation import Connection, Level, OperationClass, Outcome, Vantage
from collector.series import FeedEntry, Reading, Series
from collector.wire import UnobservedRow
from tests.cfa.test_report import FAULT, NOW, SUCCESS, TERMS, TIMEOUT, WEEK, row


def entry(
    at: float, level: Level, *, good: int, bad: int, table: str = "orders", vantage: Vantage = Vantage.CUSTOMER
) -> FeedEntry:
    series = Series(
        vantage=vantage,
        host="shop",
        zone="az1",
        operation=OperationClass.WRITE,
        table=table,
        endpoint="standard",
        connection=Connection.POOLED,
        level=level,
    )
    reading = Reading(series=series, at=int(at), counts={Outcome.SUCCESS: good, Outcome.SERVER_FAULT: bad})
    return FeedEntry(cursor=1, received_at=at, host="shop", zone="az1", vantage=vantage, readings=(reading,))


def test_the_report_has_a_figure_of_attempts_and_one_of_calls() -> None:
    """A customer's failed attempts that were retried with success are in the attempts' figure only, and nothing is added up."""
    rows = [
        row(0, {SUCCESS: 90, FAULT: 8, TIMEOUT: 2}, Vantage.CUSTOMER, table="orders"),
        row(0, {SUCCESS: 90}, Vantage.CUSTOMER, table="orders", level=Level.CALL),
    ]
    report = build(TERMS, WEEK, rows, now=NOW)
    for kind, scope in (("region", ""), ("table", "orders")):
        (attempts,) = report.pick(vantage="customer", view="customer", scope_kind=kind)
        (calls,) = report.pick(vantage="customer", view="customer", scope_kind=kind, level="call")
        assert (attempts.scope, attempts.n, attempts.bad, attempts.ratio) == (scope, 100, 10, 0.9)
        assert (calls.scope, calls.n, calls.bad, calls.ratio) == (scope, 90, 0, 1.0)
    assert [(line.source, line.good) for line in report.timeline] == [("customer", 90), ("customer_call", 90)]
    page = render(report)
    assert "SDKs, attempts" in page
    assert "SDKs, calls with retries" in page


def test_what_retries_mask_is_told_from_what_hurts() -> None:
    """Failed attempts whose calls succeed are masked; failing calls are not; without customers nothing is said."""
    view = CustomersView()
    assert not view.about({"table": "orders"}, "write", 0).masked
    view.take(entry(10, Level.ATTEMPT, good=80, bad=20))
    view.take(entry(10, Level.CALL, good=80, bad=0))
    word = view.about({"table": "orders"}, "write", 0)
    assert word.masked
    assert "20 of 100 attempts failed, 0 of 80 calls: retries mask it" in word.text
    assert view.about({"table": "sessions"}, "write", 0).attempts == 0
    assert view.about({}, "read", 0).attempts == 0
    view.take(entry(11, Level.CALL, good=0, bad=20))
    assert not view.about({}, "write", 0).masked


@pytest.mark.parametrize("vantage", [Vantage.CUSTOMER, Vantage.CANARY])
def test_calls_and_customers_are_not_taken_for_servers_or_attempts(vantage: Vantage) -> None:
    """A customer's counts are no server's word, and a canary's calls are no attempts of it."""
    judgement = Judgement(CfaConfig())
    judgement.step(entry(1000.0, Level.CALL, good=3, bad=7, vantage=vantage))
    assert not judgement.servers.counted
    assert judgement.masked.nodes == []
    assert len(judgement.intake.attempts.rows()) == 0
    restored = Judgement.restore(CfaConfig(), judgement.snapshot())
    assert list(restored.masked.customers.heard) == list(judgement.masked.customers.heard)


def test_what_was_not_heard_of_customers_is_told_and_is_no_unwatched_minute() -> None:
    """Dropped events stand in the coverage by their count; canaries were not meant to watch there."""
    lost = UnobservedRow(
        host="csm", zone="", endpoint="csm", connection=Connection.POOLED, operation=OperationClass.CHECK,
        start=WEEK.start, reason="csm_dropped", count=7,
    )  # fmt: skip
    (line,) = build(TERMS, WEEK, [], [lost], now=NOW).coverage
    assert (line.unobserved, line.reasons, line.unobserved_minutes) == (7, {"csm_dropped": 7}, 0)

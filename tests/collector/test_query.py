"""Query strings are read strictly."""

import pytest

from collector import query
from collector.observation import Vantage
from collector.query import QueryError


def test_a_full_interval_query_is_understood() -> None:
    """All parameters reach the ledger."""
    asked = query.intervals(
        {"start": "0", "end": "300", "vantage": "canary", "by": "zone,endpoint,operation", "version": "2"}
    )
    assert asked == query.IntervalQuery(0.0, 300.0, Vantage.CANARY, ("zone", "endpoint"), 2)


def test_limits_are_kept_within_bounds() -> None:
    """Too much is cut down, nothing at all is one."""
    assert query.feed({"limit": "999999", "wait": "1000"}) == query.FeedQuery(
        0, query.FEED_LIMIT_MAX, query.WAIT_SECONDS_MAX
    )
    assert query.feed({"limit": "0"}).limit == 1


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"after": "-1"}, "after"),
        ({"after": "9" * 30}, "after"),
        ({"wait": "nan"}, "wait"),
        ({"wait": "soon"}, "wait"),
        ({"from": "1"}, "from"),
        ({"limit": "x"}, "limit"),
    ],
)
def test_a_wrong_feed_parameter_is_named(parameters: dict[str, str], named: str) -> None:
    """Nothing wrong is silently ignored."""
    with pytest.raises(QueryError, match=named):
        query.feed(parameters)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"end": "1"}, "start"),
        ({"start": "2", "end": "1"}, "end"),
        ({"start": "1", "end": "2", "vantage": "moon"}, "vantage"),
        ({"start": "1", "end": "2", "by": "zone,colour"}, "by"),
        ({"start": "1", "end": "2", "version": "-1"}, "version"),
        ({"start": "1", "end": "1e400"}, "end"),
    ],
)
def test_a_wrong_interval_parameter_is_named(parameters: dict[str, str], named: str) -> None:
    """The text names the parameter."""
    with pytest.raises(QueryError, match=named):
        query.intervals(parameters)

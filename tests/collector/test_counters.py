"""Counters of servers become readings of what happened since the last look."""

import pytest

from collector import counters, exposition
from collector.config import ScrapeTarget
from collector.exposition import NODE_FAMILY, ROUTER_FAMILY, NotMetricsError, Page
from collector.observation import OperationClass, Outcome, Vantage

ROUTER = ScrapeTarget(name="az1-router-1", zone="az1", role="router", url="http://127.0.0.1/metrics")
NODE = ScrapeTarget(name="az1-node-1", zone="az1", role="node", url="http://127.0.0.1/metrics")
PAGE = """# HELP store_requests_total requests
# TYPE store_requests_total counter
store_requests_total{table="canary",operation="write",endpoint="standard",outcome="success"} 12.0
store_requests_total{table="a \\"b\\" \\\\ }",operation="write",endpoint="fips",outcome="throttled"} 1e+03 1764000000000
store_requests_created{table="canary"} 1.7e9
store_refused_total{reason="unsigned"} 3.0
store_build_info{version="0.1.0"} 1.0
process_start_time_seconds 1764000000.5
"""


def page(life: str = "a", **values: float) -> Page:
    return Page((life,), values)


def test_only_the_wanted_family_is_read() -> None:
    """Counters of the family with their labels as written; start time and build say which life it is."""
    read = exposition.read(PAGE, ROUTER_FAMILY)
    assert list(read.counters.values()) == [12.0, 1000.0]
    assert len(read.life) == 2
    assert exposition.read(PAGE, NODE_FAMILY).counters == {}


def test_labels_are_unescaped() -> None:
    """Quotes, backslashes and braces in a label survive."""
    samples = list(exposition.read(PAGE, ROUTER_FAMILY).counters)
    assert exposition.labels_of(samples[1])["table"] == 'a "b" \\ }'


@pytest.mark.parametrize(
    "line", ['store_requests_total{a="b"} x', 'store_requests_total{a="b"}', "store_requests_total{"]
)
def test_a_broken_sample_is_an_error(line: str) -> None:
    """A page that cannot be read is not taken for an empty one."""
    with pytest.raises(NotMetricsError):
        exposition.read(line, ROUTER_FAMILY)


def test_the_first_page_is_a_baseline() -> None:
    """What happened before we looked was not observed by us."""
    assert counters.increases(None, page(a=100)) == {}


def test_growth_is_the_difference() -> None:
    """Counters that stand still are not told; new ones began at nought."""
    assert counters.increases(page(a=100, b=5), page(a=103, b=5, c=2)) == {"a": 3, "c": 2}


def test_after_a_restart_the_value_is_the_growth() -> None:
    """Another life means that every counter began at nought, even one that is higher than before."""
    assert counters.increases(page("a", a=100, b=1), page("b", a=120, b=4)) == {"a": 120, "b": 4}


def test_most_counters_lower_is_a_restart_too() -> None:
    """A page without a start time shows a restart by its values."""
    assert counters.increases(page(a=100, b=100, c=1), page(a=7, b=8, c=2)) == {"a": 7, "b": 8, "c": 2}


def test_one_counter_lower_is_a_table_made_anew() -> None:
    """A table deleted and created again must not make the whole past count twice."""
    assert counters.increases(page(a=100, b=100, c=100), page(a=1, b=101, c=100)) == {"a": 1, "b": 1}


def test_a_counter_that_is_not_a_number_counts_nothing() -> None:
    """NaN and infinity on a page are not counts."""
    assert counters.increases(page(a=1, b=1), page(a=float("nan"), b=float("inf"))) == {}


def test_routers_and_nodes_are_different_series() -> None:
    """Router rows name no node and node rows name no router, so that nobody adds the one to the other."""
    router = counters.series_of('x{table="t",operation="write",endpoint="fips",outcome="success"}', ROUTER)
    node = counters.series_of('x{table="t",partition="p",operation="strong_read",outcome="server_fault"}', NODE)
    assert router is not None
    assert node is not None
    assert (router[0].vantage, router[0].router, router[0].endpoint, router[0].node) == (
        Vantage.SERVER,
        ROUTER.name,
        "fips",
        None,
    )
    assert (node[0].node, node[0].node_zone, node[0].partition, node[0].router) == (NODE.name, "az1", "p", None)
    assert (node[0].operation, node[1]) == (OperationClass.STRONG_READ, Outcome.SERVER_FAULT)


@pytest.mark.parametrize(
    "sample",
    [
        'x{table="t",operation="nap",endpoint="e",outcome="success"}',
        'x{table="t",operation="write",endpoint="e",outcome="meh"}',
        'x{table="",operation="write",endpoint="e",outcome="success"}',
        'x{table="' + "t" * 300 + '",operation="write",outcome="success"}',
        "x{}",
    ],
)
def test_labels_outside_the_vocabulary_are_left_out(sample: str) -> None:
    """Operations and outcomes are closed sets."""
    assert counters.series_of(sample, ROUTER) is None
